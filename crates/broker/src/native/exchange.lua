-- Finishes jobs and claims the next, for workers of one class. ARGV: class, lease, a number: 1 if one was woken and 2 if one will
-- wait, or 4 if Redis is full, how many ask, then (worker, most) of each; of each run of jobs done with one fence in one way: the
-- fence, the outcome (S succeeded, F failed, P failed for good, H handed back, X stopped), how many, then (id, text) of each, the
-- result or the message. Claims go to the first until it has its most, and so on.
-- Returns a line, `<milliseconds until something happens by itself, 0 to ask again at once, -1 for nothing> <for each done 1 or
-- 0>`; then of each claim the id, the line of its record, and the document with its head. Where the class has signatures to
-- judge, ` <number up to which it has> <and will have>` ends the first line, and of each of them the id and the document, or a
-- job of it, follow instead.
--
-- A job is done by one call of this, or by a part of one, so what most calls do is written out here in one go: making and
-- calling functions would take as long as Redis needs for the commands. What is not common is in `rare`.
local argv = ARGV
local class, lease, flags, asks = argv[2], argv[3], argv[4], argv[5] + 0
-- Who gets the next claim, how many more it may get, and how many all together.
local whose, worker, left = 6, argv[6], argv[7] + 0
local most = left
for n = 2, asks do most = most + argv[2 * n + 5] end
local weight, events, R, woken = 0, nil, nil, flags == '1' or flags == '3'

local m = call('HMGET', META, 'news', 'sweep', 'c:' .. class)
local news = m[1] or '0'

local heard, first, busy = '', 6 + 2 * asks, false
if argv[first] then
  -- A script that has written is not refused for want of memory.
  if flags == '4' then call('ZREM', LEASES, '') end
  local ids, at = {}, first
  while argv[at] do
    local last = at + 1 + 2 * argv[at + 2]
    for n = at + 3, last, 2 do ids[#ids + 1] = argv[n] end
    at = last + 2
  end
  local records, n, hears, seen, over, gone = call('HMGET', JOBS, unpack(ids)), 0, {}, {}, {}, {}
  local stamp = text('%d', now)
  -- Most ends are successes of jobs without marks that have never failed and were never lost. How the record of such a one
  -- begins, and the record that was looked at last.
  local plain, known
  -- The bytes beside its document, when it is forgotten, the line of its end; the last result, and that with all around it.
  local head, ends, ending, result, framed
  at = first
  while argv[at] do
    local ticket, outcome, count = argv[at], argv[at + 1], argv[at + 2]
    at, plain, known = at + 3, nil, nil
    for _ = 1, count do
      n = n + 1
      local id, said, record = argv[at], argv[at + 1], records[n] or ''
      at = at + 2
      if outcome == 'S' and record ~= known then
        known = record
        if not (plain and find(record, plain, 1, true) == 1) then
          local _, fence, ttl
          _, _, plain, fence, ttl, head = find(record, '^(r (%d+) (%d+) (%d+) %- 0 0 )')
          if plain and fence == ticket and ttl ~= '0' then
            ends, result = text('%d', now + ttl), nil
            ending = '\nS ' .. fence .. ' ' .. ttl .. ' ' .. head .. ' - 0 0 ' .. stamp .. ' 0 - - '
          else
            plain = nil
          end
        end
      end
      if plain and not seen[id] then
        -- As `ended` does it.
        if said ~= result then result, framed = said, '\n' .. said .. ending .. #said end
        local body = BODY .. id
        local length = call('APPEND', body, framed)
        if length == #framed then
          call('UNLINK', body)
        else
          weight = weight + #framed + head - length
          call('PEXPIREAT', body, ends)
          fit(body, length)
        end
        hears[n], seen[id] = '1', 'over'
        over[#over + 1] = id
      else
        R = R or rare(now)
        -- It is told twice, and the first is not yet written down.
        if seen[id] == 'over' then call('HDEL', JOBS, id) end
        local hear, stops = R.finish(id, ticket, outcome, said)
        hears[n], seen[id] = hear and '1' or '0', 'told'
        if stops then gone[#gone + 1] = id end
      end
    end
  end
  if over[1] then
    call('HDEL', JOBS, unpack(over))
    call('ZREM', LEASES, unpack(over))
    events = table.concat(over, ',') .. ' {"event":"succeeded"}'
  end
  heard = table.concat(hears)
  if gone[1] then call('ZREM', LEASES, unpack(gone)) end
end
if R then
  news = R.flush() or news
  busy = R.busy()
end

local told, count, wait = { '' }, 0, busy and '0' or '-1'

if most > 0 and not busy then
  local _, _, judged, cursor, due, unsure = find(m[3] or '0 - 0 +', '^(%d+) (%S+) (%d+)( ?%+?)$')
  -- Whatever is new to a class has a higher number than the last news that it has read.
  local signatures, paused, known = judged, false, cursor == news and unsure == ''
  if not known then
    local said = call('HMGET', META, 'signatures', 'paused')
    signatures, paused = said[1] or '0', said[2] == '1'
    unsure = paused and ' +' or ''
    -- A new class reads all lines when it judges them; only what comes later is news.
    if cursor == '-' then cursor = news end
  end
  if now >= due + 0 then
    -- Often enough that a class which claims never looks gone.
    R = R or rare(now)
    call('ZADD', Q .. 'c', text('%d', now), class)
    due, known = text('%d', now + R.setting('class_ttl') / 4), false
  end

  if tonumber(judged) < tonumber(signatures) then
    -- Ask the worker first: what it has not judged may be better than what it could claim.
    R = R or rare(now)
    told = R.unjudged(judged, signatures)
    wait, unsure = '0', ' +'
  else
    -- A fence is the time in microseconds, or one more than the last of its job. By the time, a server that has lost its last
    -- writes, or a replica that never had them, gives none a second time and so does not hear the worker from before.
    local fence = time[1] .. text('%06d', time[2])
    local heads, leases, given = Q .. 'h:' .. class, {}, 0
    local more, swept = false, false
    -- The end of the last job's head, and what it says: the limit key, when the lease will be over, the record. Most heads end
    -- like the one before.
    local tail, key, till, record
    -- Ids and records of those that nobody has had before, as far as can be told: see below.
    local records = {}
    if paused or now >= (m[2] or 0) + 0 then
      R = R or rare(now)
      local newest = R.sweep()
      if newest then news, unsure, known = newest, ' +', false end
      swept, more = true, R.busy()
      -- And the next call claims before it sweeps.
      if more then call('HSET', META, 'sweep', text('%d', now + 2)) end
    end
    for turn = 1, (paused or more) and 0 or 2 do
      -- What is new of the lines that the class takes from.
      if cursor ~= news then
        local page, better = call('ZRANGEBYSCORE', Q .. 'news', '(' .. cursor, 'inf', 'WITHSCORES', 'LIMIT', '0', 32), {}
        for n = 1, #page, 2 do
          if call('ZSCORE', Q .. 'q:' .. page[n], class) then
            local first = call('ZRANGE', Q .. 'w:' .. page[n], '0', '0', 'WITHSCORES')
            if first[1] then
              better[#better + 1] = first[2]
              better[#better + 1] = page[n]
            end
          end
        end
        if better[1] then call('ZADD', heads, 'LT', unpack(better)) end
        more = #page == 64
        cursor = more and page[64] or news
      end

      -- The best jobs of all lines that the class takes from: from the best line as many as are not worse than the head of
      -- the next. A head may be listed better than it is; it is put right when that matters.
      local looks, vie, VYING = most + 24, false, 10
      while count < most and given <= 262144 do
        local top, sig, rival, bound
        if vie then
          top = call('ZRANGE', heads, '0', '1', 'WITHSCORES')
          sig, rival, bound = top[1], top[3], top[4]
        else
          top = call('ZRANGE', heads, '0', '1')
          sig, rival = top[1], top[2]
        end
        if not sig then break end
        -- Lines that vie cost several commands a job.
        if looks == 0 or vie and count >= VYING then
          more = true
          break
        end
        looks = looks - 1
        local line, free, limit, step, ids, popped = Q .. 'w:' .. sig, most - count, nil, 1, nil, false
        if rival then
          -- Where lines vie, one seldom gives more than its best.
          limit, step, vie = tonumber(bound or call('ZSCORE', heads, rival)), 2, true
          ids = call('ZRANGE', line, '0', '1', 'WITHSCORES')
        elseif free == 1 and not woken then
          popped, ids = true, call('ZPOPMIN', line)
        else
          -- Nothing to compare with; a score as text takes as long as a small command.
          ids = call('ZRANGE', line, '0', free)
        end
        local first, mine, grouped = ids[1], {}, false
        if not first then
          call('ZREM', heads, sig)
        elseif limit and tonumber(ids[2]) > limit then
          call('ZADD', heads, ids[2], sig)
        elseif string.byte(first) == 64 then
          R = R or rare(now)
          if popped then call('ZADD', line, ids[2], first) end
          mine[1] = R.take(sig, first, (popped or limit) and ids[2] or call('ZSCORE', line, first))
          grouped = true
        else
          mine[1] = first
          for n = 1 + step, free > 1 and #ids or 0, step do
            if #mine == free or string.byte(ids[n]) == 64 or (limit and tonumber(ids[n + 1]) > limit) then break end
            mine[#mine + 1] = ids[n]
          end
        end

        local taken, last = 0, #mine
        while taken < last and given <= 262144 do
          local bodies
          if last == 1 then
            bodies = { call('GET', BODY .. mine[1]) }
          else
            -- A few at once: none of them says before how long it is.
            local names = {}
            for n = taken + 1, math.min(taken + 4, last) do names[#names + 1] = BODY .. mine[n] end
            bodies = call('MGET', unpack(names))
          end
          for n = 1, #bodies do
            local body, id = bodies[n], mine[taken + 1]
            taken = taken + 1
            if body then
              while left == 0 do
                whose, tail = whose + 2, nil
                worker, left = argv[whose], argv[whose + 1] + 0
              end
              left = left - 1
              -- From within the signature: see lines.lua.
              local length = find(body, '\n', 48, true) or 0
              local terms = string.sub(body, 48, length)
              if terms ~= tail then
                local _, timeout, ttl
                _, _, timeout, ttl, key = find(terms, '^%x* %d+ (%d+) (%d+) ?([^\n]*)\n')
                local ends = now + (timeout or 0)
                tail, till = terms, text('%d', math.min(now + lease, ends))
                record = 'r ' .. fence .. ' ' .. (ttl or '0') .. ' ' .. length .. ' - 0 0 ' .. till .. ' ' .. text('%d', ends)
                  .. ' ' .. worker .. ' - -'
              end
              local own = record
              if key and key ~= '' then
                R = R or rare(now)
                own = R.start(id, record, key)
              else
                records[#records + 1] = id
                records[#records + 1] = record
              end
              leases[2 * count + 1], leases[2 * count + 2] = till, id
              told[3 * count + 2], told[3 * count + 3], told[3 * count + 4] = id, own, body
              count = count + 1
              given = given + #body
            end
          end
        end

        if taken > 0 and not (popped or grouped) then
          if taken == 1 then call('ZREM', line, first) else call('ZREMRANGEBYRANK', line, '0', taken - 1) end
          local n = taken * step + 1
          if not ids[n] then
            -- A full page says nothing of what follows; its head is looked at again.
            if taken < (limit and 2 or free + 1) then call('ZREM', heads, sig) end
          elseif limit and tonumber(ids[n + 1]) > limit then
            call('ZADD', heads, ids[n + 1], sig)
          end
        end
      end

      if count > 0 or more or swept or turn == 2 then break end
      R = R or rare(now)
      local newest = R.sweep()
      if newest then news, unsure, known = newest, ' +', false end
      more = R.busy()
      if more then break end
    end

    if records[1] then
      local new = true
      if records[3] then
        local ids = {}
        for n = 1, #records, 2 do ids[#ids + 1] = records[n] end
        for _, old in ipairs(call('HMGET', JOBS, unpack(ids))) do new = new and not old end
        if new then call('HSET', JOBS, unpack(records)) end
      else
        new = call('HSETNX', JOBS, records[1], records[2]) == 1
      end
      if not new then
        -- Some have a record from before.
        R = R or rare(now)
        for n = 3, #told, 3 do
          if find(told[n], ' - 0 0 ', 1, true) then told[n] = R.start(told[n - 1], told[n], '') end
        end
      end
    end
    if count > 0 then
      call('ZADD', LEASES, unpack(leases))
      local sig = woken and call('ZRANGE', heads, '0', '0')[1]
      if sig then
        R = R or rare(now)
        R.pass(class, sig)
      end
    elseif more then
      wait = '0'
    else
      local soonest = -1
      for _, dates in ipairs({ Q .. 'd', LEASES, Q .. 'ks' }) do
        local first = call('ZRANGE', dates, '0', '0', 'WITHSCORES')
        if first[1] and first[2] ~= 'inf' then
          local left = math.max(tonumber(first[2]) - now, 1)
          if soonest < 0 or left < soonest then soonest = left end
        end
      end
      wait = text('%d', soonest)
      -- A little longer than it will wait: the answer has to get there.
      if flags > '1' then
        R = R or rare(now)
        call('ZADD', Q .. 'idle', now + R.setting('sweep_every') + 1000, class)
      end
    end
  end
  if not known then call('HSET', META, 'c:' .. class, judged .. ' ' .. cursor .. ' ' .. due .. unsure) end
end

-- Writes down what is left and answers.
if R then
  local more_weight, more_events = R.gathered()
  weight = weight + more_weight
  events = events and more_events and events .. '\n' .. more_events or events or more_events
end
if weight ~= 0 then call('HINCRBY', META, 'bytes', text('%d', weight)) end
if events then call('PUBLISH', Q .. 'events', events) end
told[1] = wait .. ' ' .. heard .. told[1]
return told
