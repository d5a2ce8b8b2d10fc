-- Stops a job. ARGV: id. Returns 'cancelled', 'asked', 'finished' or 'unknown'.
local id = ARGV[2]
-- Also where Redis is full: a script that has written is not refused for want of memory.
call('ZREM', Q .. 'd', '')
local j, h = look(id), lines().head(id)
if not h then return 'unknown' end
if j.state == 'r' then
  mark(j, 'x')
  keep(j)
  call('PUBLISH', Q .. 'cancel', id)
  return 'asked'
end
if j.state == 'd' then
  call('ZREM', Q .. 'd', id)
elseif j.state and j.state ~= 'w' then
  return 'finished'
elseif h.key then
  -- A token or a head that stood for it is put right when it is looked at.
  local group = Q .. 'g:' .. h.key .. ':' .. h.sig
  call('ZREM', group, id)
  if call('EXISTS', group) == 0 then
    call('ZREM', Q .. 'w:' .. h.sig, '@' .. h.key)
    lines().emptied(h.key, h.sig)
  end
else
  call('ZREM', Q .. 'w:' .. h.sig, id)
end
cancelled(j.state and j or lines().untouched(id, h))
settle()
return 'cancelled'
