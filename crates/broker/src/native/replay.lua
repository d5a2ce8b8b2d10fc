-- Puts dead jobs back into their lines. ARGV: how many at most, up to 16; the id or '', then the kinds. Returns '1' if there may
-- be more, and their ids.
local most, one = tonumber(ARGV[2]), ARGV[3]
local ids, looked, line = { '0' }, 0, lines()
local function again(id, kind)
  call('ZREM', Q .. 'x:' .. kind, id)
  local j, h = look(id), line.head(id)
  if j.state ~= 'X' or not h then return end
  if j.said then j.message = string.sub(behind(j, j.said), 2) end
  -- Whoever watches it hears of what comes.
  if call('EXISTS', Q .. 'p:' .. id) == 1 then mark(j, 'y') end
  -- What stands behind its document is of no meaning as long as it has a record, and its bytes do not count.
  j.state, j.failed, j.lost, j.at, j.who = 'w', 0, 0, 0, '-'
  j.head, j.told = j.head + #j.line + (j.said or 0) + (j.told or 0) + 2, nil
  keep(j)
  call('PERSIST', BODY .. id)
  weight = weight + call('STRLEN', BODY .. id) - j.head
  line.enter(id, h.sig, h.score, h.key)
  ids[#ids + 1] = id
end
if one ~= '' then
  local j = look(one)
  if j.state == 'X' then again(one, j.who) end
else
  for at = 4, #ARGV do
    local dead = call('ZRANGE', Q .. 'x:' .. ARGV[at], 0, most - looked - 1)
    for _, id in ipairs(dead) do again(id, ARGV[at]) end
    -- Also those whose time was over, and which no sweep has taken out yet.
    looked = looked + #dead
    if looked >= most then
      ids[1] = '1'
      break
    end
  end
end
line.flush()
settle()
return ids
