-- Lines, groups and signatures: what scripts need that put jobs into lines or let them start under a limit.
local made
local function lines()
  if made then return made end
  local DELAYED, LIVE, IDLE = Q .. 'd', Q .. 'c', Q .. 'idle'
  local SEEN, ORDER, NEWS, KEYED = Q .. 'su', Q .. 'so', Q .. 'news', Q .. 'ks'
  -- Groups of one limit key, and keys, that one call opens; idle classes that one call looks at.
  local GROUPS, OPENED, WOKEN = 4, 4, 16

  -- Jobs that enter a line, as arguments of ZADD; the best score that came to each line; signatures that are known to be
  -- written down; limit keys of which a slot is free.
  local entering, best, known, freed, fresh = {}, {}, {}, {}, false

  -- The part of a job that never changes, from the line before its document.
  local HEAD = '^(%d+) (%-?%d+) (%x+) (%d+) %d+ (%d+) ?([^\n]*)\n'
  local function head(id)
    local first = call('GETRANGE', BODY .. id, '0', '299')
    local _, length, at, n, sig, most, ttl, key = string.find(first, HEAD)
    if not length then return nil end
    return {
      length = length, sig = sig, score = at + n / 1000, most = tonumber(most), ttl = ttl, key = key ~= '' and key or nil,
    }
  end

  -- The record of a job that has none yet: nobody has had it.
  local function untouched(id, h)
    return {
      id = id, state = 'w', fence = '0', ttl = h.ttl, head = h.length, marks = '-', failed = 0, lost = 0, at = 0, deadline = 0,
      who = '-',
    }
  end

  -- What a limit key allows: its limit and what uses it, read once a call.
  local gates = {}
  local function gate(key)
    local it = gates[key]
    if not it then
      it = {}
      local limit = call('HGET', Q .. 'n', key)
      if limit then
        local most, jobs, per = string.match(limit, '^(%d*) (%d*) (%d*)$')
        it.most, it.limited = tonumber(most), true
        if it.most then it.running = call('SCARD', Q .. 'r:' .. key) end
        if jobs ~= '' then
          it.each, it.burst = per / jobs, per / jobs * (jobs - 1)
          it.at = tonumber(call('HGET', Q .. 'a', key) or '0')
        end
      end
      gates[key] = it
    end
    return it
  end

  -- Whether a job of a limit key may start; if not because of its rate, also when. The same as `room` in limit.rs.
  local function room(key)
    local it = gate(key)
    if it.most and it.running >= it.most then return false end
    if it.each and it.at - it.burst > now then return false, math.ceil(it.at - it.burst) end
    return true
  end

  -- A job of a limit key starts.
  local function start(id, key)
    local it = gate(key)
    call('SADD', Q .. 'r:' .. key, id)
    if it.most then it.running = it.running + 1 end
    if it.each then
      it.at = math.max(it.at, now) + it.each
      call('HSET', Q .. 'a', key, it.at)
    end
  end

  -- A job of a limit key no longer runs.
  local function leave(id, key)
    local it = gate(key)
    made.keyed = made.keyed + 1
    call('SREM', Q .. 'r:' .. key, id)
    if it.most then it.running = it.running - 1 end
    if it.limited then freed[key] = true end
  end

  local function touch(sig, score)
    if not best[sig] or score < best[sig] then best[sig] = score end
  end

  -- Puts jobs without a limit key into their line, once `flush` is called: scores and ids, of which the best score is `score`.
  local function join(sig, rows, score)
    local line = entering[sig]
    if line then
      for n = 1, #rows do line[#line + 1] = rows[n] end
    else
      entering[sig] = rows
    end
    touch(sig, score)
  end

  -- Puts a job into its line, once `flush` is called. One with a limit key goes into its group; for the group, if its key has
  -- room, a token `@key` stands in the line.
  local function enter(id, sig, score, key)
    if not key then return join(sig, { score, id }, score) end
    made.keyed = made.keyed + 1
    call('ZADD', Q .. 'g:' .. key .. ':' .. sig, score, id)
    local open, at = room(key)
    if open then
      if call('ZADD', Q .. 'y:' .. key, 1, sig) == 1 then call('ZADD', KEYED, 'NX', 'inf', key) end
      call('ZADD', Q .. 'w:' .. sig, 'LT', score, '@' .. key)
      touch(sig, score)
    else
      call('ZADD', Q .. 'y:' .. key, 'NX', 0, sig)
      call('ZADD', KEYED, 'LT', at or 'inf', key)
    end
  end

  -- A group is empty.
  local function emptied(key, sig)
    call('ZREM', Q .. 'y:' .. key, sig)
    if call('EXISTS', Q .. 'y:' .. key) == 0 then call('ZREM', KEYED, key) end
  end

  -- Puts the tokens of a key's groups back into their lines, if it has room: some now, the rest by the sweep.
  local function open(key)
    local may, at = room(key)
    local more = false
    made.keyed = made.keyed + 1
    if may then
      local sigs = call('ZRANGEBYSCORE', Q .. 'y:' .. key, '0', '0', 'LIMIT', '0', GROUPS)
      more = #sigs == GROUPS
      for _, sig in ipairs(sigs) do
        local first = call('ZRANGE', Q .. 'g:' .. key .. ':' .. sig, '0', '0', 'WITHSCORES')
        if first[1] then
          call('ZADD', Q .. 'w:' .. sig, 'LT', first[2], '@' .. key)
          call('ZADD', Q .. 'y:' .. key, 1, sig)
          touch(sig, tonumber(first[2]))
        else
          emptied(key, sig)
        end
      end
    end
    call('ZADD', KEYED, 'XX', more and now or at or 'inf', key)
  end

  -- Gives a signature the next number, by which the classes learn of it.
  local function register(sig, document)
    call('HSET', Q .. 's', sig, document)
    local number = call('HINCRBY', META, 'news', '1')
    call('HSET', META, 'signatures', number)
    made.news = number
    call('ZADD', ORDER, number, sig)
    fresh = true
  end

  -- Forgets up to `most` signatures that nobody has submitted for long and whose lines are empty. A job that returns to such a
  -- line brings its signature back.
  local function forget(most)
    local old = call('ZRANGEBYSCORE', SEEN, '-inf', '(' .. now - setting('signature_ttl'), 'LIMIT', '0', most)
    for _, sig in ipairs(old) do
      if call('EXISTS', Q .. 'w:' .. sig) == 1 then
        call('ZADD', SEEN, now, sig)
      else
        call('ZREM', SEEN, sig)
        call('ZREM', ORDER, sig)
        call('ZREM', NEWS, sig)
        call('HDEL', Q .. 's', sig)
        call('UNLINK', Q .. 'q:' .. sig)
      end
    end
    return #old
  end

  -- Wakes one worker each of up to `most` idle classes that take from one of these lines, or of any. Where more are idle than
  -- are looked at, chance decides: those that were woken wake more while there are jobs.
  local function wake(sigs, most, any)
    local some = call('ZRANDMEMBER', IDLE, any and 4 * WOKEN or WOKEN, 'WITHSCORES')
    local idle = {}
    for n = 1, #some, 2 do
      if tonumber(some[n + 1]) >= now then idle[#idle + 1] = some[n] else call('ZREM', IDLE, some[n]) end
    end
    if not idle[1] then return end
    local woken = {}
    for sig in pairs(sigs) do
      local found = any
      for n, takes in ipairs(call('ZMSCORE', Q .. 'q:' .. sig, unpack(idle))) do
        if takes or any then
          woken[idle[n]] = true
          found = true
        end
      end
      if not found and #some == 2 * WOKEN then
        -- Perhaps of those that take from the line one is idle.
        local takers = call('ZRANDMEMBER', Q .. 'q:' .. sig, WOKEN)
        if takers[1] then
          for n, till in ipairs(call('ZMSCORE', IDLE, unpack(takers))) do
            if till and tonumber(till) >= now then woken[takers[n]] = true end
          end
        end
      end
    end
    for class in pairs(woken) do
      if most == 0 then return end
      call('ZADD', Q .. 'wake:' .. class, 0, '1')
      most = most - 1
    end
  end

  -- Writes down what was gathered, up to 100 jobs, far below what `unpack` can take. Lines with a better head are news, which
  -- every class reads when it claims.
  local function flush()
    local left = OPENED
    for key in pairs(freed) do
      if left > 0 then open(key) else call('ZADD', KEYED, 'XX', now, key) end
      left = left - 1
    end
    if next(best) then
      local better = {}
      for sig, score in pairs(best) do
        local line = Q .. 'w:' .. sig
        if entering[sig] then call('ZADD', line, unpack(entering[sig])) end
        if not known[sig] and call('ZADD', SEEN, now, sig) == 1 then register(sig, '') end
        if tonumber(call('ZRANGE', line, '0', '0', 'WITHSCORES')[2]) >= score then better[#better + 1] = sig end
      end
      if better[1] then
        local news = call('HINCRBY', META, 'news', #better)
        made.news = news
        local rows = {}
        for n, sig in ipairs(better) do
          rows[2 * n - 1] = news - #better + n
          rows[2 * n] = sig
        end
        call('ZADD', NEWS, unpack(rows))
      end
      -- Nobody has judged a new signature yet: let all look.
      wake(best, fresh and 4 * WOKEN or WOKEN, fresh)
    end
    entering, best, freed, fresh = {}, {}, {}, false
  end

  made = {
    head = head, untouched = untouched, room = room, start = start, leave = leave, join = join, enter = enter, emptied = emptied,
    open = open, register = register, forget = forget, wake = wake, flush = flush, known = known, opened = OPENED,
    -- What was done for limit keys: jobs that came and went, and keys that were opened.
    keyed = 0,
  }
  return made
end
