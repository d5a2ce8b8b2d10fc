-- Tells how far a job is. ARGV: id, fence, the news as JSON. Returns 1 if the worker is heard.
local id = ARGV[2]
local j = call('HMGET', Q .. 'j:' .. id, 's', 'f')
if j[1] ~= 'r' or j[2] ~= ARGV[3] then return 0 end
tell(id, ARGV[4], true)
call('HSET', Q .. 'j:' .. id, 'y', 1)
call('HDEL', Q .. 'j:' .. id, 'L')
settle()
return 1
