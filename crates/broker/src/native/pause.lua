-- ARGV: 1 so that nothing is claimed, 0 to go on.
-- Also where Redis is full: a script that has written is not refused for want of memory.
call('ZREM', LEASES, '')
call('HSET', META, 'paused', ARGV[2])
-- What is new is looked at.
call('HINCRBY', META, 'news', '1')
if ARGV[2] == '0' then
  lines().wake({ [''] = true }, 64, true)
end
return 1
