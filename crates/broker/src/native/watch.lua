-- Begins the stream of a job, so that what happens from now on is kept. ARGV: id. Returns 1 if there is such a job.
local id = ARGV[2]
local stream = Q .. 'p:' .. id
if call('EXISTS', Q .. 'b:' .. id) == 0 then return call('EXISTS', stream) end
local state = call('HGET', Q .. 'j:' .. id, 's')
if call('EXISTS', stream) == 0 then
  local last = { S = 'succeeded', C = 'cancelled', X = 'dead' }
  last = last[state]
  call('XADD', stream, '*', 'n', '{"event":"' .. (last or '') .. '"}')
  -- A stream without entries stays.
  if not last then call('XTRIM', stream, 'MAXLEN', 0) end
end
if state == 'r' then
  call('HSET', Q .. 'j:' .. id, 'y', 1)
  call('HDEL', Q .. 'j:' .. id, 'L')
else
  -- By a field of its own the claim sees that the hash is not new, and looks for what is special.
  call('HSET', Q .. 'j:' .. id, 'y', 1, 'L', '')
end
call('PEXPIRE', stream, setting('events_ttl'))
return 1
