-- Renews leases. ARGV: class, lease, then (id, fence) of each, up to 32. Returns for each the new end or '', and '1' if the
-- worker is asked to stop.
-- What runs can go on where Redis is full: a script that has written is not refused for want of memory.
call('ZREM', LEASES, '')
call('ZADD', Q .. 'c', 'XX', now, ARGV[2])
local lease, told, leases = tonumber(ARGV[3]), {}, {}
for at = 4, #ARGV, 2 do
  local id, j = ARGV[at], held(ARGV[at])
  local till, stop = '', '0'
  if j and j.state == 'r' and j.fence == ARGV[at + 1] and tonumber(j.at) > now then
    till = text('%d', math.min(now + lease, tonumber(j.deadline)))
    j.at = till
    keep(j)
    leases[#leases + 1] = till
    leases[#leases + 1] = id
    if has(j, 'x') then stop = '1' end
  end
  told[#told + 1] = till
  told[#told + 1] = stop
end
if leases[1] then call('ZADD', LEASES, unpack(leases)) end
-- Where all workers are busy, nobody else looks for lost jobs.
if now >= tonumber(call('HGET', META, 'sweep') or '0') then running().sweep() end
settle()
return told
