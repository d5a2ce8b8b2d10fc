-- Finishes jobs and claims the next. ARGV: worker, class, lease, most, whether it was woken, whether it will wait, the number
-- done; then of each: id, fence, outcome (S succeeded, F failed, P failed for good, H handed back, X stopped), text (the
-- result or the message).
-- Returns: for each done 1 or 0; of each claim id, fence, document with its head, attempts, crashes, until, deadline;
-- signatures that the class has not judged (id, document or a job of it); the numbers up to which it has and will have;
-- milliseconds until something happens by itself, 0 to ask again at once, -1 for nothing.
local worker, class, lease = ARGV[FIRST], ARGV[FIRST + 1], tonumber(ARGV[FIRST + 2])
local most, woken, done = tonumber(ARGV[FIRST + 3]), ARGV[FIRST + 4] == '1', tonumber(ARGV[FIRST + 6])
local at, heard = FIRST + 7, {}

local m = call('HMGET', META, 'bytes', 'fence', 'paused', 'swept', 'signatures', 'news', 'v:' .. class, 't:' .. class,
  'n:' .. class)
-- It rises with the clock: a server that has lost its last writes, or a replica that never had them, would otherwise give
-- the same fence to another worker, and hear the one from before.
local fence, cursor = math.max(tonumber(m[2] or '0'), now * 1000), tonumber(m[9] or '0')
-- Fields of META to be written at the end.
local meta = {}
local function note(field, value)
  meta[#meta + 1] = field
  meta[#meta + 1] = value
end

local over = {}
for n = 1, done do
  local id, ticket, outcome, said = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  local j = look(id)
  local ours = j.state == 'r' and j.fence == ticket
  -- A success that is told again, because the answer was lost, is no news and no lie.
  local again = j.state == 'S' and j.fence == ticket and outcome == 'S' and call('HGET', Q .. 'j:' .. id, 'R') == said
  heard[n] = (ours or again) and 1 or 0
  if ours then
    over[#over + 1] = id
    if j.key then lines().leave(id, j.key) end
    if outcome == 'S' then
      ended(j, j.ttl, '{"event":"succeeded"}', 's', 'S', 'R', said)
    elseif outcome == 'X' or (j.cancel and outcome == 'H') then
      cancelled(j)
    elseif j.cancel then
      ended(j, j.ttl, '{"event":"cancelled"}', 's', 'C', 'E', said)
    elseif outcome == 'H' then
      running().returned(j)
    else
      running().failed(j, outcome == 'F', said)
    end
  end
end
if over[1] then call('ZREM', LEASES, unpack(over)) end
if made then made.flush() end

local claims, count, leases, learn, upto = {}, 0, {}, {}, '0'

-- Writes down what is left and answers.
local function answer(next)
  if weight ~= 0 then note('bytes', (m[1] or 0) + weight) end
  weight = 0
  if leases[1] then
    note('fence', text('%d', fence))
    call('ZADD', LEASES, unpack(leases))
  end
  if meta[1] then call('HSET', META, unpack(meta)) end
  settle()
  return { heard, claims, learn, m[7] or '0', upto, tostring(next) }
end
if most == 0 then return answer(-1) end

-- Often enough that a class which claims never looks gone.
if now - (m[8] or 0) >= ARGV[5] / 4 then
  call('ZADD', Q .. 'c', now, class)
  note('t:' .. class, now)
end
if not m[9] then
  -- It reads all lines when it judges them; only what comes later is news.
  cursor = tonumber(made and made.news or m[6] or '0')
  note('n:' .. class, cursor)
end

local judged, signatures = tonumber(m[7] or '0'), tonumber(m[5] or '0')
if judged < signatures then
  -- Ask the worker first: what it has not judged may be better than what it could claim.
  local page = call('ZRANGEBYSCORE', Q .. 'so', '(' .. judged, 'inf', 'WITHSCORES', 'LIMIT', 0, 32)
  for n = 1, #page, 2 do
    local sig = page[n]
    local document = call('HGET', Q .. 's', sig)
    if document == '' then
      -- It was forgotten, and a job came back: a job tells it again.
      local id = call('ZRANGE', Q .. 'w:' .. sig, 0, 0)[1]
      if id and string.byte(id) == 64 then
        id = call('ZRANGE', Q .. 'g:' .. string.sub(id, 2) .. ':' .. sig, 0, 0)[1]
      end
      document = id and call('GET', Q .. 'b:' .. id)
    end
    if document then
      learn[#learn + 1] = sig
      learn[#learn + 1] = document
    else
      -- The next job of it brings it back.
      call('ZREM', Q .. 'su', sig)
      call('ZREM', Q .. 'so', sig)
      call('HDEL', Q .. 's', sig)
    end
  end
  upto = #page == 64 and page[64] or tostring(signatures)
  return answer(0)
end

local heads = Q .. 'h:' .. class

-- Reads what is new of the lines that the class takes from. Returns true if there is more.
local function read()
  local newest = tonumber(made and made.news or m[6] or '0')
  if cursor >= newest then return false end
  local page, better = call('ZRANGEBYSCORE', Q .. 'news', '(' .. cursor, 'inf', 'WITHSCORES', 'LIMIT', 0, 32), {}
  for n = 1, #page, 2 do
    if call('ZSCORE', Q .. 'q:' .. page[n], class) then
      local first = call('ZRANGE', Q .. 'w:' .. page[n], 0, 0, 'WITHSCORES')
      if first[1] then
        better[#better + 1] = first[2]
        better[#better + 1] = page[n]
      end
    end
  end
  if better[1] then call('ZADD', heads, 'LT', unpack(better)) end
  cursor = #page == 64 and tonumber(page[64]) or newest
  note('n:' .. class, cursor)
  return #page == 64
end

local given = 0

-- Gives a job that is taken from its line.
local function give(id)
  local body = call('GET', Q .. 'b:' .. id)
  if not body then return end
  local _, length, timeout, ttl, key = string.find(body, '^%d+ %-?%d+ %x+ %d+ (%d+) (%d+) ?([^\n]*)\n')
  fence = fence + 1
  local deadline = now + (timeout or 0)
  -- Each is needed as text several times.
  local ticket, till, over = text('%d', fence), text('%d', math.min(now + lease, deadline)), text('%d', deadline)
  local hash, attempts, crashes = Q .. 'j:' .. id, '0', '0'
  local new = call('HSET', hash, 's', 'r', 'f', ticket, 'o', worker, 'u', till, 'e', over, 'L', ttl or '0', 'b',
    text('%d', #body - (length or 0)))
  if new < 7 then attempts, crashes = running().counters(id) end
  if key and key ~= '' then
    call('HSET', hash, 'k', key)
    lines().start(id, key)
  end
  leases[2 * count + 1], leases[2 * count + 2] = till, id
  local n = 7 * count
  claims[n + 1], claims[n + 2], claims[n + 3], claims[n + 4] = id, ticket, body, tostring(attempts)
  claims[n + 5], claims[n + 6], claims[n + 7] = tostring(crashes), till, over
  count = count + 1
  given = given + #body
end

-- Gives the best job of the group whose token stands first in a line.
local function give_group(sig, token, score)
  local key, line = string.sub(token, 2), Q .. 'w:' .. sig
  local open, at = lines().room(key)
  if not open then
    -- Back when a slot is free or its time has come.
    call('ZREM', line, token)
    call('ZADD', Q .. 'y:' .. key, 0, sig)
    call('ZADD', Q .. 'ks', at or 'inf', key)
    return
  end
  local group = Q .. 'g:' .. key .. ':' .. sig
  local first = call('ZRANGE', group, 0, 1, 'WITHSCORES')
  if first[1] and tonumber(first[2]) > tonumber(score) then
    call('ZADD', line, first[2], token)
    return
  end
  if first[1] then
    call('ZREM', group, first[1])
    give(first[1])
  end
  if first[3] then
    call('ZADD', line, first[4], token)
  else
    call('ZREM', line, token)
    lines().emptied(key, sig)
  end
end

-- Gives the best jobs of all lines that the class takes from: from the best line as many as are not worse than the head of
-- the next. A head may be listed better than it is; it is put right when that matters. Returns true if it has looked often
-- enough.
local function claim()
  for _ = 1, most + 24 do
    local free = most - count
    if free <= 0 or given > 262144 then return false end
    local head = call('ZRANGE', heads, 0, 1)
    local sig = head[1]
    if not sig then return false end
    local line, limit, last, step, ids = Q .. 'w:' .. sig
    if head[2] then
      -- Where lines vie, one seldom gives more than its best.
      limit, last, step = tonumber(call('ZSCORE', heads, head[2])), 1, 2
      ids = call('ZRANGE', line, 0, last, 'WITHSCORES')
    else
      -- Nothing to compare with; a score as text takes as long as a small command.
      last, step = free, 1
      ids = call('ZRANGE', line, 0, last)
    end
    if not ids[1] then
      call('ZREM', heads, sig)
    elseif limit and tonumber(ids[2]) > limit then
      call('ZADD', heads, ids[2], sig)
    elseif string.byte(ids[1]) == 64 then
      give_group(sig, ids[1], limit and ids[2] or call('ZSCORE', line, ids[1]))
    else
      local taken, n = {}, 1
      repeat
        taken[#taken + 1] = ids[n]
        give(ids[n])
        n = n + step
      until #taken >= free or not ids[n] or given > 262144 or string.byte(ids[n]) == 64
        or (limit and tonumber(ids[n + 1]) > limit)
      call('ZREM', line, unpack(taken))
      if not ids[n] then
        -- A full page says nothing of what follows; its head is looked at again.
        if #taken <= last then call('ZREM', heads, sig) end
      elseif limit and tonumber(ids[n + 1]) > limit then
        call('ZADD', heads, ids[n + 1], sig)
      end
    end
  end
  return true
end

local paused, swept, more = m[3] == '1', false, false
if paused or now - (m[4] or 0) >= tonumber(ARGV[7]) then
  running().sweep()
  swept = true
end
if not paused then
  for turn = 1, 2 do
    more = read()
    more = claim() or more
    if count > 0 or more or swept or turn == 2 then break end
    running().sweep()
  end
  -- One marker wakes one worker; each that was woken passes it on while there is something to claim, to its own class and to
  -- two others.
  local sig = woken and count > 0 and call('ZRANGE', heads, 0, 0)[1]
  if sig then
    call('ZADD', Q .. 'wake:' .. class, 0, '1')
    lines().wake({ [sig] = true }, 2)
  end
end
if count > 0 then return answer(-1) end
if more then return answer(0) end

local next = -1
for _, dates in ipairs({ Q .. 'd', LEASES, Q .. 'ks' }) do
  local first = call('ZRANGE', dates, 0, 0, 'WITHSCORES')
  if first[1] and first[2] ~= 'inf' then
    local wait = math.max(tonumber(first[2]) - now, 1)
    if next < 0 or wait < next then next = wait end
  end
end
-- A little longer than it will wait: the answer has to get there.
if ARGV[FIRST + 5] == '1' then call('ZADD', Q .. 'idle', now + ARGV[7] + 1000, class) end
return answer(math.floor(next))
