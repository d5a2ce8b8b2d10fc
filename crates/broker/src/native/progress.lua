-- Tells how far a job is. ARGV: id, fence, the news as JSON. Returns 1 if the worker is heard.
local id = ARGV[FIRST]
local j = call('HMGET', Q .. 'j:' .. id, 's', 'f')
if j[1] ~= 'r' or j[2] ~= ARGV[FIRST + 1] then return 0 end
tell(id, ARGV[FIRST + 2], true)
call('HSET', Q .. 'j:' .. id, 'y', 1)
settle()
return 1
