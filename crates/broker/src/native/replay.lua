-- Puts dead jobs back into their lines. ARGV: how many at most, up to 16; the id or '', then the kinds. Returns their ids.
local most, one = tonumber(ARGV[2]), ARGV[3]
local ids, line = {}, lines()
local function again(id, kind)
  call('ZREM', Q .. 'x:' .. kind, id)
  local j, h = look(id), line.head(id)
  if j.state ~= 'X' or not h then return end
  j.state, j.failed, j.lost, j.at, j.who = 'w', 0, 0, 0, '-'
  keep(j)
  call('PERSIST', JOB .. id)
  call('PERSIST', BODY .. id)
  weight = weight + j.bytes
  line.enter(id, h.sig, h.score, h.key)
  ids[#ids + 1] = id
end
if one ~= '' then
  local j = look(one)
  if j.state == 'X' then again(one, j.who) end
else
  for at = 4, #ARGV do
    for _, id in ipairs(call('ZRANGE', Q .. 'x:' .. ARGV[at], 0, most - #ids - 1)) do again(id, ARGV[at]) end
    if #ids >= most then break end
  end
end
line.flush()
settle()
return ids
