-- Sets a limit. ARGV: the key, and the limit as `<concurrency> <jobs> <per, ms>` or '' for none.
local key, limit = ARGV[2], ARGV[3]
if limit ~= '' then
  call('HSET', Q .. 'n', key, limit)
else
  call('HDEL', Q .. 'n', key)
  call('HDEL', Q .. 'a', key)
end
lines().open(key)
lines().flush()
return 1
