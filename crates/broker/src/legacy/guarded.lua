-- Does what a worker says about a job, all of it or nothing: only if the job is still that worker's, by this claim and in one
-- of these states. `assigned_at` is the number of a claim: every claim writes it anew.
--
-- ARGV: job, worker ('': anyone), claim in microseconds ('': any), states with a space behind each, commands as JSON,
-- commands for when the worker has no other job, and a worker that must be gone ('': none).
local job = redis.call('HMGET', 'job:' .. ARGV[1], 'status', 'worker_id', 'assigned_at')
local status, worker, at = job[1] or '', job[2] or '', job[3] or ''
local seconds, micros = string.match(at, '^(%d+)%.(%d+)$')
local claim = seconds and string.format('%.0f', tonumber(seconds) * 1000000 + tonumber(micros)) or ''
local mine = (ARGV[2] == '' or worker == ARGV[2]) and (ARGV[3] == '' or claim == ARGV[3])
local heard = mine and string.find(ARGV[4], status .. ' ', 1, true) ~= nil and status ~= ''
if ARGV[7] ~= '' and redis.call('EXISTS', 'worker:' .. ARGV[7] .. ':heartbeat') == 1 then heard = false end
if heard then
  for _, command in ipairs(cjson.decode(ARGV[5])) do redis.call(unpack(command)) end
end
if ARGV[2] ~= '' then
  local active, ended = 'jobs:active:' .. ARGV[2], status == 'completed' or status == 'failed' or status == 'cancelled'
  -- Whoever ended the job, or gave it to another, may have left it in the list of this worker.
  if not heard and (worker ~= ARGV[2] or ended) then redis.call('HDEL', active, ARGV[1]) end
  if redis.call('HLEN', active) == 0 then
    for _, command in ipairs(cjson.decode(ARGV[6])) do redis.call(unpack(command)) end
  end
end
return { heard and 1 or 0, mine and 1 or 0, status, claim }
