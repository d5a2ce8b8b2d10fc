-- Puts dead jobs back into their lines. ARGV: how many at most, up to 16; the id or '', then the kinds. Returns their ids.
local most, one = tonumber(ARGV[2]), ARGV[3]
local ids, line = {}, lines()
local function again(id, kind)
  call('ZREM', Q .. 'x:' .. kind, id)
  local key, body = Q .. 'j:' .. id, Q .. 'b:' .. id
  local j, h = call('HMGET', key, 's', 'b'), line.head(id)
  if j[1] ~= 'X' or not h then return end
  call('PERSIST', key)
  call('PERSIST', body)
  call('HSET', key, 's', 'w')
  call('HDEL', key, 'z', 'K', 'a', 'c')
  weight = weight + j[2]
  line.enter(id, h.sig, h.score, h.key)
  ids[#ids + 1] = id
end
if one ~= '' then
  local kind = call('HGET', Q .. 'j:' .. one, 'K')
  if kind then again(one, kind) end
else
  for at = 4, #ARGV do
    for _, id in ipairs(call('ZRANGE', Q .. 'x:' .. ARGV[at], 0, most - #ids - 1)) do again(id, ARGV[at]) end
    if #ids >= most then break end
  end
end
line.flush()
settle()
return ids
