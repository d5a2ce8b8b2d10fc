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
    call('PEXPIRE', stream, setting('events_ttl'))
  end
  event = id .. ' ' .. event
  events = events and events .. '\n' .. event or event
end

-- What of a job changes, and what it needs to end.
local function look(id)
  local j = call('HMGET', Q .. 'j:' .. id, 's', 'f', 'x', 'y', 'L', 'b', 'k')
  return {
    id = id, state = j[1], fence = j[2], cancel = j[3] == '1', y = j[4], ttl = j[5], bytes = j[6] or 0, key = j[7],
  }
end

-- A job has ended in a state: its bytes are free, its hash and document stay for `ttl`.
local function ended(j, ttl, event, ...)
  local key, body = Q .. 'j:' .. j.id, Q .. 'b:' .. j.id
  weight = weight - j.bytes
  tell(j.id, event, j.y)
  if ttl ~= '0' then
    call('HSET', key, 'z', text('%d', now), ...)
    call('PEXPIRE', key, ttl)
    call('PEXPIRE', body, ttl)
  else
    call('UNLINK', key, body)
  end
end

local function cancelled(j)
  ended(j, j.ttl, '{"event":"cancelled"}', 's', 'C')
end
