-- Submits jobs, up to 50 a call. ARGV: the byte budget, the life of a key, the number of signatures, then (id, document) of
-- each; then of each job: id, the number of its signature, document, score less the time, delay, attempts, timeout, life of
-- its result, key or ''.
-- Returns the bytes in use and for each job '' or the id of the job that it is; fewer than were sent if the queue is full.
local budget, key_ttl, signatures = tonumber(ARGV[FIRST]), ARGV[FIRST + 1], tonumber(ARGV[FIRST + 2])
local at = FIRST + 3
local sigs, fresh = {}, false
for n = 1, signatures do
  local sig = ARGV[at]
  sigs[n] = sig
  if call('HSETNX', Q .. 's', sig, ARGV[at + 1]) == 1 then
    call('ZADD', Q .. 'so', call('HINCRBY', META, 'signatures', 1), sig)
    fresh = true
  end
  at = at + 2
end

local bytes = tonumber(call('HGET', META, 'bytes') or '0')
local before, told = bytes, {}
while at <= #ARGV do
  local id, key, doc = ARGV[at], ARGV[at + 8], ARGV[at + 2]
  local known = key ~= '' and call('GET', Q .. 'i:' .. key)
  if not known and call('EXISTS', Q .. 'j:' .. id) == 1 then known = id end
  if not known then
    local used = bytes
    bytes = bytes + #doc
    if bytes > budget then
      bytes = used
      break
    end
    local sig, delay = sigs[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 4])
    local score = string.format('%.17g', now + tonumber(ARGV[at + 3]))
    call('SET', Q .. 'b:' .. id, doc)
    call('HSET', Q .. 'j:' .. id, 's', delay > 0 and 'd' or 'w', 'g', sig, 'p', score, 't', now,
      'A', ARGV[at + 5], 'T', ARGV[at + 6], 'L', ARGV[at + 7], 'b', #doc)
    if key ~= '' then call('SET', Q .. 'i:' .. key, id, 'PX', key_ttl) end
    if delay > 0 then
      call('HSET', Q .. 'j:' .. id, 'u', now + delay)
      call('ZADD', DELAYED, now + delay, id)
    else
      enter(id, sig, score)
    end
  end
  told[#told + 1] = known or ''
  at = at + 9
end
weight = bytes - before
flush()
-- A class that has not judged a new signature is not in its takers yet: let it look.
if fresh then wake_all() end
return { tostring(bytes), told }
