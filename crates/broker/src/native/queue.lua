-- What most scripts need. A function takes as long to make as a small command, so what not every call needs is made when it
-- is needed: see `lines` and `running`.

-- Gathered by one call: bytes that came or went, events.
local weight, events = 0, nil

-- The settings, as scripts.rs writes them.
local settings
local function setting(name)
  if not settings then
    settings = {}
    for key, value in string.gmatch(ARGV[1], '(%S+)=(%S+)') do settings[key] = value end
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

-- What of a job changes, from its record: docs/broker.md tells what stands there. Without one it has no state yet.
local RECORD = '^(%a) (%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+)\n?'
local function look(id)
  local was = call('GET', JOB .. id)
  if not was then return { id = id } end
  local _, last, state, fence, ttl, bytes, marks, failed, lost, at, deadline, who, length = find(was, RECORD)
  -- Of a later version.
  if not last then return { id = id, state = '?' } end
  local j = {
    id = id, state = state, fence = fence, ttl = ttl, bytes = bytes, marks = marks, failed = failed + 0, lost = lost + 0,
    at = at, deadline = deadline, who = who,
  }
  if length ~= '-' then
    j.message = string.sub(was, last + 1, last + length)
    last = last + length
  end
  if last < #was then j.result = string.sub(was, last + 1) end
  return j
end

local function has(j, mark)
  return find(j.marks, mark, 1, true)
end

local function mark(j, letter)
  if j.marks == '-' then j.marks = letter elseif not has(j, letter) then j.marks = j.marks .. letter end
end

-- Writes the record of a job, with the end that it has or another. Returns its first line.
local function keep(j, ends)
  local message, result = j.message, j.result
  if message then mark(j, 'e') end
  local line = table.concat({
    j.state, j.fence, j.ttl, j.bytes, j.marks, j.failed, j.lost, j.at, j.deadline, j.who, message and #message or '-',
  }, ' ')
  local record = line
  if message or result then record = line .. '\n' .. (message or '') .. (result or '') end
  if ends then call('SET', JOB .. j.id, record, 'PXAT', ends) else call('SET', JOB .. j.id, record, 'KEEPTTL') end
  return line
end

-- A job has ended in a state: its bytes are free, its record and document stay for `ttl`.
local function ended(j, state, ttl, event)
  local body = BODY .. j.id
  weight = weight - j.bytes
  tell(j.id, event, has(j, 'y'))
  if ttl ~= '0' then
    j.state, j.at, j.deadline = state, now, 0
    if state ~= 'X' then j.who = '-' end
    local ends = after(ttl)
    keep(j, ends)
    call('PEXPIREAT', body, ends)
  else
    call('UNLINK', JOB .. j.id, body)
  end
end

local function cancelled(j)
  ended(j, 'C', j.ttl, '{"event":"cancelled"}')
end
