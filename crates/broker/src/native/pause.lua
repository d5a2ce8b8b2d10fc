-- ARGV: 1 so that nothing is claimed, 0 to go on.
call('HSET', META, 'paused', ARGV[FIRST])
if ARGV[FIRST] == '0' then wake_all() end
return 1
