-- Submits jobs, up to 64 of up to 16 signatures a call. ARGV: the byte budget, the life of a key, the number of signatures,
-- then (id, document) of each; the number of kinds of jobs, then of each: the number of its signature, its delay, its limit
-- key or '', whether its jobs have idempotency keys, and the part of the head that they share; then of each job: id, the
-- number of its kind, score less the time in 1/1024 ms, document, and its key if its kind has them.
-- Returns the bytes in use, the number of jobs that are now in the queue (less than were sent if it is full), and of those
-- that were there before: the number in this call, the id of the job that it is.
local budget, key_ttl, signatures = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local at, line = 5, lines()
local sigs, kinds, stamp = {}, {}, text('%d ', now)
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
local last = at + 5 * ARGV[at]
at = at + 1
while at <= last do
  local key = ARGV[at + 2]
  kinds[#kinds + 1] = {
    sig = sigs[tonumber(ARGV[at])], delay = tonumber(ARGV[at + 1]), key = key ~= '' and key or nil,
    keyed = ARGV[at + 3] == '1', head = ' ' .. ARGV[at + 4] .. '\n',
  }
  at = at + 5
end

local bytes = tonumber(call('HGET', META, 'bytes') or '0')
local told, count = {}, 0
while at <= #ARGV do
  local id, kind, n, document = ARGV[at], kinds[tonumber(ARGV[at + 1])], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  local body, key, same = Q .. 'b:' .. id, nil, nil
  if kind.keyed then
    key = Q .. 'i:' .. ARGV[at]
    same = call('GET', key)
    at = at + 1
  end
  if not same then
    if bytes + weight + #document > budget then
      if call('EXISTS', body) == 0 then break end
      same = id
    elseif not call('SET', body, stamp .. n .. kind.head .. document, 'NX') then
      same = id
    else
      weight = weight + #document
      if key then call('SET', key, id, 'PX', key_ttl) end
      if kind.delay > 0 then
        call('HSET', Q .. 'j:' .. id, 's', 'd', 'u', now + kind.delay)
        call('ZADD', Q .. 'd', now + kind.delay, id)
      else
        line.enter(id, kind.sig, now + n / 1024, kind.key)
      end
    end
  end
  count = count + 1
  if same then
    told[#told + 1] = tostring(count)
    told[#told + 1] = same
  end
end
bytes = bytes + weight
-- A new signature of delayed jobs only has no line yet, but may be judged.
line.flush()
settle()
return { tostring(bytes), count, told }
