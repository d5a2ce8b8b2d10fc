-- What all scripts share; it stands before each of them. KEYS[1] is the prefix of the queue's keys, `{queue}:`: every key
-- is made from it, so all are in one slot of a cluster. ARGV[1..8] are the queue's settings, the rest is each script's.
-- Every loop has a cap: no call takes longer when more jobs wait.
local Q = KEYS[1]
local MAX_CRASHES, BASE, MOST = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local DEAD_TTL, CLASS_TTL, EVENTS_TTL = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local SWEEP_EVERY, ROLL = tonumber(ARGV[7]), tonumber(ARGV[8])
local FIRST = 9
local CLASSES, SWEEP = 256, 50

local call = redis.call
local META, LEASES, DELAYED, LIVE = Q .. 'm', Q .. 'l', Q .. 'd', Q .. 'c'

-- The server's time is the queue's time.
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Jobs that enter a line in this call, as arguments of ZADD; the best score of each line; bytes that came or went.
local entering, best, weight = {}, {}, 0

-- Puts a job into its line, once `flush` is called.
local function enter(id, sig, score)
  local line = entering[sig]
  if not line then
    line = {}
    entering[sig] = line
  end
  line[#line + 1] = score
  line[#line + 1] = id
  score = tonumber(score)
  if not best[sig] or score < best[sig] then best[sig] = score end
end

-- Writes down what was gathered; tells every class that takes from a line about its better head, and wakes one worker of
-- each. A call gathers at most 100 jobs, far below what `unpack` can take.
local function flush()
  if weight ~= 0 then
    call('HINCRBY', META, 'bytes', weight)
    weight = 0
  end
  local heads = {}
  for sig, score in pairs(best) do
    call('ZADD', Q .. 'w:' .. sig, unpack(entering[sig]))
    for _, class in ipairs(call('ZRANGE', Q .. 'q:' .. sig, 0, CLASSES - 1)) do
      local of = heads[class] or {}
      heads[class] = of
      of[#of + 1] = score
      of[#of + 1] = sig
    end
  end
  for class, of in pairs(heads) do
    if call('ZSCORE', LIVE, class) then
      call('ZADD', Q .. 'h:' .. class, 'LT', unpack(of))
      call('ZADD', Q .. 'wake:' .. class, 0, '1')
    else
      for at = 2, #of, 2 do call('ZREM', Q .. 'q:' .. of[at], class) end
    end
  end
  entering, best = {}, {}
end

-- One worker of every live class looks again.
local function wake_all()
  for _, class in ipairs(call('ZRANGE', LIVE, 0, CLASSES - 1)) do
    call('ZADD', Q .. 'wake:' .. class, 0, '1')
  end
end

-- Says what happened: to whoever listens now, and to the job's stream if someone has begun it (`y`).
local function tell(id, news, y)
  if y then
    local stream = Q .. 'p:' .. id
    call('XADD', stream, 'MAXLEN', '~', 1000, '*', 'n', news)
    call('PEXPIRE', stream, EVENTS_TTL)
  end
  call('PUBLISH', Q .. 'events', id .. ' ' .. news)
end

-- What `ended` and all that lead to it have to know of a job `j`.
local FIELDS = { 's', 'f', 'x', 'a', 'A', 'g', 'p', 'b', 'L', 'y', 'c', 'e' }
local function look(id)
  local j = call('HMGET', Q .. 'j:' .. id, unpack(FIELDS))
  return {
    id = id, state = j[1], fence = j[2], cancel = j[3] == '1', attempts = tonumber(j[4] or '0'), most = tonumber(j[5]),
    sig = j[6], score = j[7], bytes = tonumber(j[8] or '0'), ttl = j[9], y = j[10], crashes = tonumber(j[11] or '0'),
    deadline = tonumber(j[12] or '0'),
  }
end

-- A job has ended in a state: its bytes are free, its hash and document stay for `ttl`.
local function ended(j, ttl, news, ...)
  local key, body = Q .. 'j:' .. j.id, Q .. 'b:' .. j.id
  weight = weight - j.bytes
  tell(j.id, news, j.y)
  if tonumber(ttl) > 0 then
    call('HSET', key, 'z', now, ...)
    call('PEXPIRE', key, ttl)
    call('PEXPIRE', body, ttl)
  else
    call('DEL', key, body)
  end
end

local function cancelled(j)
  ended(j, j.ttl, '{"event":"cancelled"}', 's', 'C')
end

local function dead(j, kind, message)
  call('ZADD', Q .. 'x:' .. kind, now, j.id)
  ended(j, DEAD_TTL, '{"event":"dead"}', 's', 'X', 'K', kind, 'E', message, 'a', j.attempts, 'c', j.crashes)
end

-- A failed attempt: again after the back-off, or dead. The same as `failed` in life.rs.
local function failed(j, retryable, message)
  j.attempts = j.attempts + 1
  if not retryable then return dead(j, 'permanent', message) end
  if j.attempts >= j.most then return dead(j, 'attempts', message) end
  local wait = math.min(MOST, BASE * 2 ^ math.min(j.attempts - 1, 30)) * (1 + ROLL) / 2
  local due = math.floor(now + wait)
  call('HSET', Q .. 'j:' .. j.id, 's', 'd', 'u', due, 'a', j.attempts, 'E', message)
  call('ZADD', DELAYED, due, j.id)
  tell(j.id, '{"event":"returned"}', j.y)
end

-- A running job waits again.
local function returned(j)
  call('HSET', Q .. 'j:' .. j.id, 's', 'w')
  enter(j.id, j.sig, j.score)
  tell(j.id, '{"event":"returned"}', j.y)
end

-- Returns jobs whose lease ran out and those whose time has come, and forgets dead jobs and classes that are gone.
local function sweep()
  call('HSET', META, 'swept', now)
  local expired = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, SWEEP)
  for _, id in ipairs(expired) do
    call('ZREM', LEASES, id)
    local j = look(id)
    if j.state == 'r' then
      if j.cancel then
        cancelled(j)
      elseif j.deadline <= now then
        failed(j, true, "the attempt took longer than the job's timeout")
      else
        j.crashes = j.crashes + 1
        local lost = 'its workers were lost while they had it'
        if j.crashes >= MAX_CRASHES then
          dead(j, 'crashes', lost)
        else
          call('HSET', Q .. 'j:' .. id, 'c', j.crashes, 'E', lost)
          returned(j)
        end
      end
    end
  end
  local due = call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, SWEEP)
  for _, id in ipairs(due) do
    call('ZREM', DELAYED, id)
    local j = call('HMGET', Q .. 'j:' .. id, 's', 'g', 'p')
    if j[1] == 'd' then
      call('HSET', Q .. 'j:' .. id, 's', 'w')
      enter(id, j[2], j[3])
    end
  end
  for _, kind in ipairs({ 'permanent', 'attempts', 'crashes' }) do
    for _, id in ipairs(call('ZRANGEBYSCORE', Q .. 'x:' .. kind, '-inf', now - DEAD_TTL, 'LIMIT', 0, SWEEP)) do
      call('ZREM', Q .. 'x:' .. kind, id)
    end
  end
  for _, class in ipairs(call('ZRANGEBYSCORE', LIVE, '-inf', now - CLASS_TTL, 'LIMIT', 0, SWEEP)) do
    call('ZREM', LIVE, class)
    call('HDEL', Q .. 'k', class)
    call('HDEL', META, 'v:' .. class, 't:' .. class)
    call('DEL', Q .. 'h:' .. class, Q .. 'wake:' .. class)
  end
  flush()
  return #expired, #due
end
