-- Renews leases. ARGV: class, lease, then (id, fence) of each, up to 32. Returns for each the new end or '', and '1' if the
-- worker is asked to stop.
call('ZADD', Q .. 'c', 'XX', now, ARGV[2])
local lease, told, leases = tonumber(ARGV[3]), {}, {}
for at = 4, #ARGV, 2 do
  local id = ARGV[at]
  local j = call('HMGET', Q .. 'j:' .. id, 's', 'f', 'u', 'e', 'x')
  local till = ''
  if j[1] == 'r' and j[2] == ARGV[at + 1] and tonumber(j[3]) > now then
    till = tostring(math.min(now + lease, tonumber(j[4])))
    call('HSET', Q .. 'j:' .. id, 'u', till)
    leases[#leases + 1] = till
    leases[#leases + 1] = id
  end
  told[#told + 1] = till
  told[#told + 1] = j[5] or '0'
end
if leases[1] then call('ZADD', LEASES, unpack(leases)) end
-- Where all workers are busy, nobody else looks for lost jobs.
if now >= tonumber(call('HGET', META, 'sweep') or '0') then running().sweep() end
settle()
return told
