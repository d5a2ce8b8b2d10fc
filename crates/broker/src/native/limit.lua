-- Sets a limit. ARGV: the key, and the limit as `<concurrency> <jobs> <per, ms>` or '' for none.
local key, limit = ARGV[2], ARGV[3]
if limit ~= '' then call('HSET', Q .. 'n', key, limit) else call('HDEL', Q .. 'n', key) end
-- What starts have taken up under a slower rate does not count for longer than it could under this one.
local per, taken = string.match(limit, '(%d+)$'), call('HGET', Q .. 'a', key)
if taken and not per then
  call('HDEL', Q .. 'a', key)
elseif taken and tonumber(taken) > now + per then
  call('HSET', Q .. 'a', key, after(per))
end
lines().open(key)
lines().flush()
return 1
