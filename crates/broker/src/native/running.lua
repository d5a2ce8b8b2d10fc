-- What happens to running jobs but success, and the sweep.
local done
local function running()
  if done then return done end
  local line, SWEPT = lines(), 16

  local function dead(j, kind, message, attempts, crashes)
    call('ZADD', Q .. 'x:' .. kind, now, j.id)
    ended(j, setting('dead_ttl'), '{"event":"dead"}', 's', 'X', 'K', kind, 'E', message, 'a', attempts, 'c', crashes)
  end

  local function counters(id)
    local j = call('HMGET', Q .. 'j:' .. id, 'a', 'c')
    return tonumber(j[1] or '0'), tonumber(j[2] or '0')
  end

  -- What of a running job changes, and what it needs to end.
  local function held(id)
    local j = look(id)
    if j.state == 'r' and not j.ttl then j.ttl = (line.head(id) or {}).ttl or '0' end
    return j
  end

  -- A failed attempt: again after the back-off, or dead. The same as `failed` in life.rs.
  local function failed(j, retryable, message)
    local attempts, crashes = counters(j.id)
    attempts = attempts + 1
    if not retryable then return dead(j, 'permanent', message, attempts, crashes) end
    local h = line.head(j.id)
    if not h or attempts >= h.most then return dead(j, 'attempts', message, attempts, crashes) end
    local wait = math.min(tonumber(setting('backoff_most')), setting('backoff_base') * 2 ^ math.min(attempts - 1, 30))
      * (1 + setting('roll')) / 2
    local due = math.floor(now + wait)
    call('HSET', Q .. 'j:' .. j.id, 's', 'd', 'u', due, 'a', attempts, 'E', message)
    call('ZADD', Q .. 'd', due, j.id)
    tell(j.id, '{"event":"returned"}', j.y)
  end

  -- A job waits for a worker, again or at last.
  local function waits(id, ...)
    local h = line.head(id)
    if h then
      call('HSET', Q .. 'j:' .. id, 's', 'w', ...)
      line.enter(id, h.sig, h.score, h.key)
    end
  end

  local function returned(j, ...)
    waits(j.id, ...)
    tell(j.id, '{"event":"returned"}', j.y)
  end

  -- A lease that has run out.
  local function expire(id)
    local j = held(id)
    if j.state ~= 'r' then return end
    if j.key then line.leave(id, j.key) end
    if j.cancel then return cancelled(j) end
    if tonumber(call('HGET', Q .. 'j:' .. id, 'e')) <= now then
      return failed(j, true, "the attempt took longer than the job's timeout")
    end
    local attempts, crashes = counters(id)
    crashes = crashes + 1
    local lost = 'its workers were lost while they had it'
    if crashes >= tonumber(setting('max_crashes')) then return dead(j, 'crashes', lost, attempts, crashes) end
    returned(j, 'c', crashes, 'E', lost)
  end

  -- Takes what is due from a set.
  local function due(set, upto, most)
    local them = call('ZRANGEBYSCORE', set, '-inf', upto, 'LIMIT', 0, most)
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
      if call('HGET', Q .. 'j:' .. id, 's') == 'd' then waits(id) end
    end
    local keys = call('ZRANGEBYSCORE', Q .. 'ks', '-inf', now, 'LIMIT', 0, line.opened)
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

  done = { counters = counters, held = held, failed = failed, returned = returned, sweep = sweep }
  return done
end
