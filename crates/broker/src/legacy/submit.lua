-- Submits one job as the API does, in one step. A job of this id that is known is left as it is.
--
-- ARGV: job, its score, its fields as JSON, and messages before and behind it, each a list of channel and text.
local key = 'job:' .. ARGV[1]
if redis.call('EXISTS', key) == 1 then return 0 end
local function publish(messages)
  for _, it in ipairs(cjson.decode(messages)) do redis.call('PUBLISH', it[1], it[2]) end
end
publish(ARGV[4])
redis.call('HSET', key, unpack(cjson.decode(ARGV[3])))
redis.call('ZADD', 'jobs:pending', ARGV[2], ARGV[1])
publish(ARGV[5])
return 1
