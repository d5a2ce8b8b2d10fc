-- Begins the stream of a job, so that what happens from now on is kept. ARGV: id. Returns 1 if there is such a job.
local id = ARGV[FIRST]
local stream = Q .. 'p:' .. id
local state = call('HGET', Q .. 'j:' .. id, 's')
if not state then return call('EXISTS', stream) end
if call('EXISTS', stream) == 0 then
  local last = { S = 'succeeded', C = 'cancelled', X = 'dead' }
  call('XADD', stream, '*', 'n', '{"event":"' .. (last[state] or '') .. '"}')
  -- A stream without entries stays.
  if not last[state] then call('XTRIM', stream, 'MAXLEN', 0) end
end
call('HSET', Q .. 'j:' .. id, 'y', 1)
call('PEXPIRE', stream, EVENTS_TTL)
return 1
