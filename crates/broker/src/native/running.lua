-- What happens to running jobs but success, and the sweep.
local done
local function running()
  if done then return done end
  local line, SWEPT = lines(), 8

  local function dead(j, kind, message)
    call('ZADD', Q .. 'x:' .. kind, now, j.id)
    j.who, j.message = kind, message
    ended(j, 'X', setting('dead_ttl'), '{"event":"dead"}')
  end

  -- A failed attempt: again after the back-off, or dead. The same as `failed` in life.rs.
  local function failed(j, retryable, message)
    j.failed = j.failed + 1
    if not retryable then return dead(j, 'permanent', message) end
    local h = line.head(j.id)
    if not h or j.failed >= h.most then return dead(j, 'attempts', message) end
    local wait = math.min(tonumber(setting('backoff_most')), setting('backoff_base') * 2 ^ math.min(j.failed - 1, 30))
      * (1 + setting('roll')) / 2
    local due = math.floor(now + wait)
    j.state, j.at, j.deadline, j.who, j.message = 'd', due, 0, '-', message
    keep(j)
    call('ZADD', Q .. 'd', due, j.id)
    tell(j.id, '{"event":"returned"}', has(j, 'y'))
  end

  -- A job waits for a worker, again or at last.
  local function waits(j)
    local h = line.head(j.id)
    if h then
      j.state, j.at, j.deadline, j.who = 'w', 0, 0, '-'
      keep(j)
      line.enter(j.id, h.sig, h.score, h.key)
    else
      -- Somebody has taken its document away.
      call('HDEL', JOBS, j.id)
    end
  end

  local function returned(j)
    waits(j)
    tell(j.id, '{"event":"returned"}', has(j, 'y'))
  end

  -- A job no longer runs: its limit key, if it has one, is free again.
  local function stops(j)
    if not has(j, 'k') then return end
    local h = line.head(j.id)
    if h and h.key then line.leave(j.id, h.key) end
  end

  -- A lease that has run out.
  local function expire(id)
    local j = held(id)
    if not j or j.state ~= 'r' then return end
    stops(j)
    if has(j, 'x') then return cancelled(j) end
    if tonumber(j.deadline) <= now then
      return failed(j, true, "the attempt took longer than the job's timeout")
    end
    j.lost = j.lost + 1
    local lost = 'its workers were lost while they had it'
    if j.lost >= tonumber(setting('max_crashes')) then return dead(j, 'crashes', lost) end
    j.message = lost
    returned(j)
  end

  -- Takes what is due from a set.
  local function due(set, upto, most)
    local them = call('ZRANGEBYSCORE', set, '-inf', upto, 'LIMIT', '0', most)
    if them[1] then call('ZREM', set, unpack(them)) end
    return them
  end

  -- Returns jobs whose lease ran out and those whose time has come, opens groups, and forgets dead jobs, classes and
  -- signatures. What is more than its caps is done by the next call that sweeps, without waiting for the next hour.
  local function sweep()
    local expired = due(LEASES, now, SWEPT)
    for _, id in ipairs(expired) do expire(id) end
    local delayed = due(Q .. 'd', now, SWEPT)
    for _, id in ipairs(delayed) do
      local j = held(id)
      if j and j.state == 'd' then waits(j) end
    end
    local keys = call('ZRANGEBYSCORE', Q .. 'ks', '-inf', now, 'LIMIT', '0', line.opened)
    for _, key in ipairs(keys) do line.open(key) end
    local most = math.max(#expired, #delayed, #keys * SWEPT / line.opened)
    for _, kind in ipairs({ 'permanent', 'attempts', 'crashes' }) do
      most = math.max(most, #due(Q .. 'x:' .. kind, now - setting('dead_ttl'), SWEPT))
    end
    for _, class in ipairs(due(Q .. 'c', now - setting('class_ttl'), 4)) do
      call('HDEL', Q .. 'k', class)
      call('HDEL', META, 'c:' .. class)
      call('UNLINK', Q .. 'h:' .. class, Q .. 'wake:' .. class)
      call('ZREM', Q .. 'idle', class)
    end
    line.flush()
    most = math.max(most, line.forget(4) * SWEPT / 4)
    call('HSET', META, 'sweep', most < SWEPT and text('%d', now + setting('sweep_every')) or 0)
    return #expired, #delayed
  end

  done = { failed = failed, returned = returned, stops = stops, sweep = sweep }
  return done
end
