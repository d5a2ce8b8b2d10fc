-- ARGV: 1 so that nothing is claimed, 0 to go on.
call('HSET', META, 'paused', ARGV[FIRST])
if ARGV[FIRST] == '0' then
  lines().wake({ [''] = true }, 64, true)
end
return 1
