-- Writes down which signatures a class takes. ARGV: class, its capabilities, the number up to which it had judged, the one up
-- to which it has now, then (id, its document if it was told by a job, else '') of the signatures that it takes, up to 24.
local class, from, upto = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
call('HSET', Q .. 'k', class, ARGV[3])
call('ZADD', Q .. 'c', now, class)
local heads = {}
for at = 6, #ARGV, 2 do
  local sig = ARGV[at]
  local takers = Q .. 'q:' .. sig
  if call('ZADD', takers, now, class) == 1 then
    -- Of those that came first, two are looked at: more that are gone are taken out than come.
    for _, other in ipairs(call('ZRANGE', takers, '0', '1')) do
      if call('ZSCORE', Q .. 'c', other) then call('ZADD', takers, now, other) else call('ZREM', takers, other) end
    end
  end
  if ARGV[at + 1] ~= '' then call('HSET', Q .. 's', sig, ARGV[at + 1]) end
  local first = call('ZRANGE', Q .. 'w:' .. sig, '0', '0', 'WITHSCORES')
  if first[1] then
    heads[#heads + 1] = first[2]
    heads[#heads + 1] = sig
  end
end
if heads[1] then call('ZADD', Q .. 'h:' .. class, 'LT', unpack(heads)) end
-- Two workers of one class may judge at once, and the class may have been forgotten meanwhile: only what follows without a
-- gap counts.
local state = call('HGET', META, 'c:' .. class)
local judged, rest = string.match(state or '0 ' .. (call('HGET', META, 'news') or '0') .. ' 0 +', '^(%d+)( .*)$')
judged = tonumber(judged)
if from <= judged and judged < upto then call('HSET', META, 'c:' .. class, text('%d', upto) .. rest) end
return upto
