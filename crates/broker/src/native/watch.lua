-- Begins the stream of a job, so that what happens from now on is kept. ARGV: id. Returns 1 if there is such a job.
local id = ARGV[2]
local stream, h = Q .. 'p:' .. id, lines().head(id)
if not h then return call('EXISTS', stream) end
local j = look(id)
local last = ({ S = 'succeeded', C = 'cancelled', X = 'dead' })[j.state]
if call('EXISTS', stream) == 0 then
  call('XADD', stream, '*', 'n', '{"event":"' .. (last or '') .. '"}')
  -- A stream without entries stays.
  if not last then call('XTRIM', stream, 'MAXLEN', 0) end
end
if j.state ~= '?' and not last then
  -- By a record of its own the claim sees that the job is not new, and by the mark that its end is told here.
  if not j.state then j = lines().untouched(id, h) end
  mark(j, 'y')
  keep(j)
end
call('PEXPIREAT', stream, after(setting('events_ttl')))
return 1
