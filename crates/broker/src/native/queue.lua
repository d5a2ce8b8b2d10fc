-- What most scripts need. A function takes as long to make as a small command, so what not every call needs is made when it
-- is needed: see `lines` and `running`.

-- Gathered by one call: bytes that came or went, events.
local weight, events = 0, nil

-- The settings, as scripts.rs writes them: without their names, for all of it is read by every call, and hashed.
local settings
local function setting(name)
  if not settings then
    local names = {
      'max_crashes', 'backoff_base', 'backoff_most', 'dead_ttl', 'class_ttl', 'events_ttl', 'sweep_every', 'signature_ttl',
      'roll',
    }
    settings = {}
    for value in string.gmatch(ARGV[1], '%S+') do settings[table.remove(names, 1)] = value end
  end
  return settings[name]
end

-- The time in so many ms.
local function after(ttl)
  return text('%d', now + ttl)
end

-- Says what happened in this call to whoever listens, and counts the bytes. The last thing that a script does.
local function settle()
  if weight ~= 0 then call('HINCRBY', META, 'bytes', weight) end
  if events then call('PUBLISH', Q .. 'events', events) end
end

-- An event of a job; also for its stream, if someone has begun it (`y`).
local function tell(id, event, y)
  if y then
    local stream = Q .. 'p:' .. id
    call('XADD', stream, 'MAXLEN', '~', 1000, '*', 'n', event)
    call('PEXPIREAT', stream, after(setting('events_ttl')))
  end
  event = id .. ' ' .. event
  events = events and events .. '\n' .. event or event
end

-- What of a job changes, from the line of its record: docs/broker.md tells what stands there. `head` are the bytes of `b:<job>`
-- that are not its document.
local RECORD = '^(%a) (%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+)'
local function read(id, was)
  local _, last, state, fence, ttl, head, marks, failed, lost, at, deadline, who, said, told = find(was, RECORD)
  -- Of a later version.
  if not last then return { id = id, state = '?' } end
  return {
    id = id, state = state, fence = fence, ttl = ttl, head = head, marks = marks, failed = failed + 0, lost = lost + 0,
    at = at, deadline = deadline, who = who, said = tonumber(said), told = tonumber(told),
  }, last
end

-- A job that has not ended, if it has a record.
local function held(id)
  local was = call('HGET', JOBS, id)
  if not was then return nil end
  local j, last = read(id, was)
  if j.said then j.message = string.sub(was, last + 2) end
  return j
end

-- A job whatever became of it. One that waits and has no record has no state either, and one that is not there.
local function look(id)
  local j = held(id)
  if j then return j end
  local line = string.match(call('GETRANGE', BODY .. id, '-400', '-1'), '^.*\n(%u [^\n]*)$')
  if not line then return { id = id } end
  j = read(id, line)
  if j.state ~= '?' then j.line = line end
  return j
end

-- What stands before the line of a job that has ended, up to so many bytes.
local function behind(j, bytes)
  local last = -#j.line - 2
  return call('GETRANGE', BODY .. j.id, text('%d', last - bytes), text('%d', last))
end

local function has(j, mark)
  return find(j.marks, mark, 1, true)
end

local function mark(j, letter)
  if j.marks == '-' then j.marks = letter elseif not has(j, letter) then j.marks = j.marks .. letter end
end

local function line(j)
  local message, result = j.message, j.result
  if message then mark(j, 'e') end
  return table.concat({
    j.state, j.fence, j.ttl, j.head, j.marks, j.failed, j.lost, j.at, j.deadline, j.who, message and #message or '-',
    result and #result or '-',
  }, ' ')
end

-- Writes the record of a job that has not ended. Returns its line.
local function keep(j)
  local first = line(j)
  call('HSET', JOBS, j.id, j.message and first .. '\n' .. j.message or first)
  return first
end

-- A job has ended in a state: its bytes are free, its document and behind it its record stay for `ttl`. Whose document somebody
-- has taken away leaves nothing.
local function ended(j, state, ttl, event)
  local body = BODY .. j.id
  tell(j.id, event, has(j, 'y'))
  call('HDEL', JOBS, j.id)
  local length = call('STRLEN', body)
  if length > 0 then weight = weight - (length - j.head) end
  if length == 0 or ttl == '0' then
    if state == 'X' then call('ZREM', Q .. 'x:' .. j.who, j.id) end
    call('UNLINK', body)
    return
  end
  j.state, j.at, j.deadline = state, now, 0
  if state ~= 'X' then j.who = '-' end
  length = call('APPEND', body, '\n' .. (j.result or '') .. (j.message or '') .. '\n' .. line(j))
  call('PEXPIREAT', body, after(ttl))
  fit(body, length)
end

local function cancelled(j)
  ended(j, 'C', j.ttl, '{"event":"cancelled"}')
end
