-- Finishes jobs and claims the next. ARGV: worker, class, lease, most, whether it was woken, the number done; then of each:
-- id, fence, outcome (S succeeded, F failed, P failed for good, H handed back, X stopped), text (the result or the message).
-- Returns: for each done 1 or 0; of each claim id, fence, document, attempts, crashes, until, deadline; signatures that the
-- class has not judged (id, document); the numbers up to which it has and will have; milliseconds until something happens by
-- itself, 0 to ask again at once, -1 for nothing.
local worker, class, lease = ARGV[FIRST], ARGV[FIRST + 1], tonumber(ARGV[FIRST + 2])
local most, woken, done = tonumber(ARGV[FIRST + 3]), ARGV[FIRST + 4] == '1', tonumber(ARGV[FIRST + 5])
local at, heard = FIRST + 6, {}

for n = 1, done do
  local id, fence, outcome, text = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  local j = look(id)
  local ours = j.state == 'r' and j.fence == fence
  heard[n] = ours and 1 or 0
  if ours then
    call('ZREM', LEASES, id)
    if outcome == 'S' then
      ended(j, j.ttl, '{"event":"succeeded"}', 's', 'S', 'R', text)
    elseif outcome == 'X' or (j.cancel and outcome == 'H') then
      cancelled(j)
    elseif j.cancel then
      ended(j, j.ttl, '{"event":"cancelled"}', 's', 'C', 'E', text)
    elseif outcome == 'H' then
      returned(j)
    else
      failed(j, outcome == 'F', text)
    end
  end
end
flush()

local claims, learn = {}, {}
if most == 0 then return { heard, claims, learn, '0', '0', '-1' } end

local m = call('HMGET', META, 'paused', 'swept', 'signatures', 'v:' .. class, 't:' .. class, 'fence')
-- It rises with the clock: a server that has lost its last writes, or a replica that never had them, would otherwise give
-- the same fence to another worker, and hear the one from before.
local fence = math.max(tonumber(m[6] or '0'), now * 1000)
-- Often enough that a class which claims never looks gone.
if now - tonumber(m[5] or '0') >= CLASS_TTL / 4 then
  call('ZADD', LIVE, now, class)
  call('HSET', META, 't:' .. class, now)
end
local judged, signatures = tonumber(m[4] or '0'), tonumber(m[3] or '0')
if judged < signatures then
  -- Ask the worker first: what it has not judged may be better than what it could claim.
  for _, sig in ipairs(call('ZRANGEBYSCORE', Q .. 'so', judged + 1, judged + 100)) do
    learn[#learn + 1] = sig
    learn[#learn + 1] = call('HGET', Q .. 's', sig)
  end
  return { heard, claims, learn, tostring(judged), tostring(math.min(judged + 100, signatures)), '0' }
end

local heads = Q .. 'h:' .. class

-- Gives a job that was taken from its line.
local function give(id)
  local key = Q .. 'j:' .. id
  local j = call('HMGET', key, 's', 'a', 'c', 'T')
  if j[1] ~= 'w' then return end
  fence = fence + 1
  local number = string.format('%.0f', fence)
  local deadline = now + tonumber(j[4])
  local till = math.min(now + lease, deadline)
  call('HSET', key, 's', 'r', 'f', number, 'o', worker, 'u', till, 'e', deadline, 'x', '0')
  call('ZADD', LEASES, till, id)
  local body = call('GET', Q .. 'b:' .. id) or ''
  for _, part in ipairs({ id, number, body, j[2] or '0', j[3] or '0', tostring(till), tostring(deadline) }) do
    claims[#claims + 1] = part
  end
end

-- Gives the best jobs of all lines that the class takes from: from the best line as many as are not worse than the head of
-- the next. A head that is out of date is put right and looked at again. Returns true if it has looked often enough.
local function claim()
  for _ = 1, 2 * most + 50 do
    local free = most - #claims / 7
    if free <= 0 then return false end
    local head = call('ZRANGE', heads, 0, 1, 'WITHSCORES')
    local sig = head[1]
    if not sig then return false end
    local line = Q .. 'w:' .. sig
    local ids = call('ZRANGE', line, 0, free, 'WITHSCORES')
    if not ids[1] then
      call('ZREM', heads, sig)
    elseif tonumber(ids[2]) > tonumber(head[2]) then
      call('ZADD', heads, ids[2], sig)
    else
      local limit, taken = tonumber(head[4] or 'inf'), {}
      while #taken < free and ids[2 * #taken + 1] and (#taken == 0 or tonumber(ids[2 * #taken + 2]) <= limit) do
        taken[#taken + 1] = ids[2 * #taken + 1]
      end
      call('ZREM', line, unpack(taken))
      local rest = 2 * #taken + 1
      if ids[rest] then call('ZADD', heads, ids[rest + 1], sig) else call('ZREM', heads, sig) end
      for _, id in ipairs(taken) do give(id) end
    end
  end
  return true
end

local paused, more = m[1] == '1', false
if paused or now - tonumber(m[2] or '0') >= SWEEP_EVERY then sweep() end
if not paused then
  more = claim()
  if #claims == 0 and not more then
    sweep()
    more = claim()
  end
  if #claims > 0 then call('HSET', META, 'fence', string.format('%.0f', fence)) end
  -- One marker wakes one worker; each that was woken passes it on while there is something to claim.
  if woken and #claims > 0 and call('ZCARD', heads) > 0 then call('ZADD', Q .. 'wake:' .. class, 0, '1') end
end

local next = more and 0 or -1
if #claims == 0 and not more then
  for _, dates in ipairs({ DELAYED, LEASES }) do
    local first = call('ZRANGE', dates, 0, 0, 'WITHSCORES')
    if first[1] then
      local wait = math.max(tonumber(first[2]) - now, 1)
      if next < 0 or wait < next then next = wait end
    end
  end
end
return { heard, claims, learn, '0', '0', tostring(math.floor(next)) }
