-- Writes down which signatures a class takes. ARGV: class, its capabilities, the number up to which it had judged, the one up
-- to which it has now, then the signatures that it takes, up to 100.
local class, from, upto = ARGV[FIRST], tonumber(ARGV[FIRST + 2]), tonumber(ARGV[FIRST + 3])
call('HSET', Q .. 'k', class, ARGV[FIRST + 1])
call('ZADD', LIVE, now, class)
for at = FIRST + 4, #ARGV do
  local sig = ARGV[at]
  call('ZADD', Q .. 'q:' .. sig, 0, class)
  local head = call('ZRANGE', Q .. 'w:' .. sig, 0, 0, 'WITHSCORES')
  if head[1] then call('ZADD', Q .. 'h:' .. class, 'LT', head[2], sig) end
end
-- Two workers of one class may judge at once, and the class may have been forgotten meanwhile: only what follows without a
-- gap counts.
local judged = tonumber(call('HGET', META, 'v:' .. class) or '0')
if from <= judged and judged < upto then call('HSET', META, 'v:' .. class, upto) end
return upto
