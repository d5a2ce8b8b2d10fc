-- Puts dead jobs back into their lines. ARGV: how many at most, the id or '', then the kinds. Returns their ids.
local most, one = tonumber(ARGV[FIRST]), ARGV[FIRST + 1]
local ids = {}
local function again(id, kind)
  call('ZREM', Q .. 'x:' .. kind, id)
  local key = Q .. 'j:' .. id
  local j = call('HMGET', key, 's', 'g', 'p', 'b')
  if j[1] ~= 'X' then return end
  call('PERSIST', key)
  call('PERSIST', Q .. 'b:' .. id)
  call('HSET', key, 's', 'w', 'a', 0, 'c', 0)
  call('HDEL', key, 'z', 'K')
  weight = weight + tonumber(j[4])
  enter(id, j[2], j[3])
  ids[#ids + 1] = id
end
if one ~= '' then
  local kind = call('HGET', Q .. 'j:' .. one, 'K')
  if kind then again(one, kind) end
else
  for at = FIRST + 2, #ARGV do
    for _, id in ipairs(call('ZRANGE', Q .. 'x:' .. ARGV[at], 0, most - #ids - 1)) do again(id, ARGV[at]) end
    if #ids >= most then break end
  end
end
flush()
return ids
