-- What only some exchanges need; `exchange.lua` makes all of the above with it, when it does.

-- A worker says how a job of its ended. Returns whether it was heard, and whether it was now that the job's run ended.
local function finish(id, ticket, outcome, said)
  local j = look(id)
  if j.fence ~= ticket then return false end
  -- A success that is told again, because the answer was lost, is no news and no lie.
  if j.state ~= 'r' then
    local same = j.state == 'S' and outcome == 'S' and j.told == #said
    return same and string.sub(behind(j, #said + (j.said or 0)), 2, #said + 1) == said
  end
  running().stops(j)
  local stop = has(j, 'x')
  if outcome == 'S' then
    j.result = said
    ended(j, 'S', j.ttl, '{"event":"succeeded"}')
  elseif outcome == 'X' or (stop and outcome == 'H') then
    cancelled(j)
  elseif stop then
    j.message = said
    cancelled(j)
  elseif outcome == 'H' then
    running().returned(j)
  else
    running().failed(j, outcome == 'F', said)
  end
  return true, true
end

-- Writes down what was gathered. Returns the number of the last news, if there are some.
local function flush()
  if made then made.flush() end
  return made and made.news and text('%d', made.news)
end

local function sweep()
  running().sweep()
  return flush()
end

-- Whether what was done for limit keys is enough for one call.
local function busy()
  return made and made.keyed > 8
end

-- A page of the signatures that a class has yet to judge: ` <how far it has> <how far it will have>`, then each with its
-- document or a job of it.
local function unjudged(judged, signatures)
  local learn = { '' }
  local page = call('ZRANGEBYSCORE', Q .. 'so', '(' .. judged, 'inf', 'WITHSCORES', 'LIMIT', '0', 24)
  for n = 1, #page, 2 do
    local sig = page[n]
    local document = call('HGET', Q .. 's', sig)
    if document == '' then
      -- It was forgotten, and a job came back: a job tells it again.
      local id = call('ZRANGE', Q .. 'w:' .. sig, '0', '0')[1]
      if id and string.byte(id) == 64 then
        id = call('ZRANGE', Q .. 'g:' .. string.sub(id, 2) .. ':' .. sig, 0, 0)[1]
      end
      document = id and call('GET', BODY .. id)
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
  learn[1] = ' ' .. judged .. ' ' .. (#page == 48 and page[48] or signatures)
  return learn
end

-- The best job of the group whose token stands first in a line, if it may start.
local function take(sig, token, score)
  local key, line = string.sub(token, 2), Q .. 'w:' .. sig
  local open, at = lines().room(key)
  if not open then
    -- Back when a slot is free or its time has come.
    call('ZREM', line, token)
    call('ZADD', Q .. 'y:' .. key, 0, sig)
    call('ZADD', Q .. 'ks', at or 'inf', key)
    return nil
  end
  local group = Q .. 'g:' .. key .. ':' .. sig
  local first = call('ZRANGE', group, '0', '1', 'WITHSCORES')
  if first[1] and tonumber(first[2]) > tonumber(score) then
    call('ZADD', line, first[2], token)
    return nil
  end
  if first[1] then call('ZREM', group, first[1]) end
  if first[3] then
    call('ZADD', line, first[4], token)
  else
    call('ZREM', line, token)
    lines().emptied(key, sig)
  end
  return first[1]
end

-- A job starts that has a record from before, or a limit key. `record` is the one that another would have now; returns the
-- line of its own.
local function start(id, record, key)
  local was, j = held(id), read(id, record)
  if was and was.fence then
    j.head, j.marks, j.failed, j.lost, j.message = was.head, was.marks, was.failed, was.lost, was.message
    -- However the clock has gone.
    if tonumber(was.fence) >= tonumber(j.fence) then j.fence = text('%d', was.fence + 1) end
  end
  if key ~= '' then
    mark(j, 'k')
    lines().start(id, key)
  end
  return keep(j)
end

-- One marker wakes one worker; each that was woken passes it on while there is something to claim, to its own class and to
-- two others.
local function pass(class, sig)
  call('ZADD', Q .. 'wake:' .. class, 0, '1')
  lines().wake({ [sig] = true }, 2)
end

return {
  finish = finish, flush = flush, sweep = sweep, unjudged = unjudged, take = take, start = start, pass = pass,
  setting = setting, busy = busy,
  gathered = function() return weight, events end,
}
