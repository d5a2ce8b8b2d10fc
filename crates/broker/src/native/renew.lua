-- Renews leases. ARGV: class, lease, then (id, fence) of each, up to 100. Returns for each the new end or '', and '1' if the
-- worker is asked to stop.
call('ZADD', LIVE, 'XX', now, ARGV[FIRST])
local lease, told = tonumber(ARGV[FIRST + 1]), {}
for at = FIRST + 2, #ARGV, 2 do
  local id = ARGV[at]
  local j = call('HMGET', Q .. 'j:' .. id, 's', 'f', 'u', 'e', 'x')
  local till = ''
  if j[1] == 'r' and j[2] == ARGV[at + 1] and tonumber(j[3]) > now then
    till = tostring(math.min(now + lease, tonumber(j[4])))
    call('HSET', Q .. 'j:' .. id, 'u', till)
    call('ZADD', LEASES, till, id)
  end
  told[#told + 1] = till
  told[#told + 1] = j[5] or '0'
end
return told
