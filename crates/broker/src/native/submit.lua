-- Submits jobs, up to 44 of up to 16 signatures a call. ARGV: the byte budget, the life of a key, the number of signatures,
-- then (id, document) of each; the number of kinds of jobs, then of each: the number of its signature, its delay, its limit
-- key or '', whether its jobs have idempotency keys, and the part of the head that they share; then of each job: id, the
-- number of its kind, score less the time in microseconds, document, and its key if its kind has them.
-- Returns the bytes in use, the number of jobs that are now in the queue (less than were sent if it is full), and of those
-- that were there before: the number in this call, the id of the job that it is.
local budget, key_ttl, signatures = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local at, line = 5, lines()
local sigs, kinds, stamp, point = {}, {}, text('%d ', now), text('%d.', now)
for n = 1, signatures do
  local sig = ARGV[at]
  sigs[n] = sig
  line.known[sig] = true
  if call('ZADD', Q .. 'su', now, sig) == 1 then
    line.register(sig, ARGV[at + 1])
    -- More are forgotten than come, so they do not grow without end.
    line.forget(2)
  end
  at = at + 2
end
local last, keyed, plain = at + 5 * ARGV[at], false, true
at = at + 1
while at <= last do
  local key = ARGV[at + 2]
  kinds[#kinds + 1] = {
    sig = sigs[tonumber(ARGV[at])], delay = tonumber(ARGV[at + 1]), key = key ~= '' and key or nil,
    keyed = ARGV[at + 3] == '1', head = ' ' .. ARGV[at + 4] .. '\n', ttl = string.match(ARGV[at + 4], '^%x+ %d+ %d+ (%d+)'),
    rows = {},
  }
  keyed, plain = keyed or ARGV[at + 3] == '1', plain and key == '' and ARGV[at + 1] == '0'
  at = at + 5
end

local bytes = tonumber(call('HGET', META, 'bytes') or '0')
local told, count, delayed, dues = {}, 0, {}, {}
-- Where all jobs are new, as most are, one command writes them; and where they wait for nothing but a worker, one more for each
-- line.
local written = false
if not keyed then
  local bodies, size, seen, doubled = {}, 0, {}, false
  for n = at, #ARGV, 4 do
    local id, kind, offset, document = ARGV[n], kinds[ARGV[n + 1] + 0], ARGV[n + 2], ARGV[n + 3]
    bodies[#bodies + 1] = BODY .. id
    bodies[#bodies + 1] = stamp .. offset .. kind.head .. document
    size = size + #document
    doubled = doubled or seen[id]
    seen[id] = true
    if plain then
      local rows, score = kind.rows, now + offset / 1000
      if not kind.best or score < kind.best then kind.best = score end
      -- What is less than 1 ms has three digits, and its sum with the time is quickly written.
      rows[#rows + 1] = #offset == 3 and string.byte(offset) ~= 45 and point .. offset or score
      rows[#rows + 1] = id
    end
  end
  written = bodies[1] and not doubled and bytes + size <= budget and call('MSETNX', unpack(bodies)) == 1
  if written and plain then
    for _, kind in ipairs(kinds) do line.join(kind.sig, kind.rows, kind.best) end
    weight, count, at = size, #bodies / 2, #ARGV + 1
  end
end
while at <= #ARGV do
  local id, kind, n, document = ARGV[at], kinds[ARGV[at + 1] + 0], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  local key, same
  if kind.keyed then
    key = Q .. 'i:' .. ARGV[at]
    same = call('GET', key)
    at = at + 1
  end
  if not (same or written) then
    if bytes + weight + #document > budget then
      if call('EXISTS', BODY .. id) == 0 then break end
      same = id
    elseif not call('SET', BODY .. id, stamp .. n .. kind.head .. document, 'NX') then
      same = id
    elseif key then
      call('SET', key, id, 'PX', key_ttl)
    end
  end
  if not same then
    weight = weight + #document
    if kind.delay > 0 then
      local due = text('%d', now + kind.delay)
      delayed[#delayed + 1] = id
      delayed[#delayed + 1] = 'd 0 ' .. kind.ttl .. ' ' .. #stamp + #n + #kind.head .. ' - 0 0 ' .. due .. ' 0 - - -'
      dues[#dues + 1] = due
      dues[#dues + 1] = id
    else
      line.enter(id, kind.sig, now + n / 1000, kind.key)
    end
  end
  count = count + 1
  if same then
    told[#told + 1] = tostring(count)
    told[#told + 1] = same
  end
end
if delayed[1] then
  call('HSET', JOBS, unpack(delayed))
  call('ZADD', Q .. 'd', unpack(dues))
end
bytes = bytes + weight
-- A new signature of delayed jobs only has no line yet, but may be judged.
line.flush()
settle()
return { tostring(bytes), count, told }
