-- Begins the stream of a job, so that what happens from now on is kept. ARGV: id. Returns 1 if there is such a job.
local id = ARGV[2]
local stream = Q .. 'p:' .. id
if call('EXISTS', Q .. 'b:' .. id) == 0 then return call('EXISTS', stream) end
if call('EXISTS', stream) == 0 then
  local last = { S = 'succeeded', C = 'cancelled', X = 'dead' }
  last = last[call('HGET', Q .. 'j:' .. id, 's')]
  call('XADD', stream, '*', 'n', '{"event":"' .. (last or '') .. '"}')
  -- A stream without entries stays.
  if not last then call('XTRIM', stream, 'MAXLEN', 0) end
end
call('HSET', Q .. 'j:' .. id, 'y', 1)
call('HDEL', Q .. 'j:' .. id, 'L')
call('PEXPIRE', stream, setting('events_ttl'))
return 1
