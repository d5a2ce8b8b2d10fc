-- Stops a job. ARGV: id. Returns 'cancelled', 'asked', 'finished' or 'unknown'.
local id = ARGV[FIRST]
local key = Q .. 'j:' .. id
local j = look(id)
if not j.state then return 'unknown' end
if j.state == 'r' then
  call('HSET', key, 'x', '1')
  call('PUBLISH', Q .. 'cancel', id)
  return 'asked'
end
if j.state == 'w' then
  -- Heads that named it are put right when they are looked at.
  call('ZREM', Q .. 'w:' .. j.sig, id)
elseif j.state == 'd' then
  call('ZREM', DELAYED, id)
else
  return 'finished'
end
cancelled(j)
flush()
return 'cancelled'
