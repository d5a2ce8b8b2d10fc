-- Tells how far a job is. ARGV: id, fence, the news as JSON. Returns 1 if the worker is heard.
local id = ARGV[2]
local j = held(id)
if not j or j.state ~= 'r' or j.fence ~= ARGV[3] then return 0 end
tell(id, ARGV[4], true)
if not has(j, 'y') then
  mark(j, 'y')
  keep(j)
end
settle()
return 1
