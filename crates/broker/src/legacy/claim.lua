-- Claims one job, as the Redis Function does once it has found it: removing it from the line is what counts.
-- What the function leaves behind when a key is of another type, a job that is nobody's, cannot happen: types are looked at
-- before.
--
-- ARGV: job, worker, and what the verdict was about: service_required, requirements, customer_id, workflow_id.
local id, worker = ARGV[1], ARGV[2]
local flat = redis.call('HGETALL', 'job:' .. id)
local job = {}
for n = 1, #flat, 2 do job[flat[n]] = flat[n + 1] end
if #flat == 0 then return { 'gone' } end
for n, field in ipairs({ 'service_required', 'requirements', 'customer_id', 'workflow_id' }) do
  if (job[field] or '') ~= ARGV[n + 2] then return { 'changed' } end
end
if job.status == 'completed' or job.status == 'failed' or job.status == 'cancelled' then return { 'ended' } end
local keys = { ['jobs:active:' .. worker] = 'hash', ['worker:' .. worker] = 'hash', ['progress:' .. id] = 'stream' }
for key, kind in pairs(keys) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then return { 'foreign', key } end
end
if redis.call('ZREM', 'jobs:pending', id) ~= 1 then return { 'gone' } end
local time = redis.call('TIME')
local at, ms = time[1] .. '.' .. string.format('%06d', tonumber(time[2])), tonumber(time[1] .. '000')
redis.call('HSET', 'job:' .. id, 'status', 'assigned', 'worker_id', worker, 'assigned_at', at)
local before = cjson.encode(job)
redis.call('HSET', 'jobs:active:' .. worker, id, before)
redis.call('HSET', 'worker:' .. worker, 'status', 'busy', 'current_job_id', id, 'last_status_change', at)
redis.call('PUBLISH', 'job_claimed', cjson.encode({
  job_id = id, worker_id = worker, status = 'claimed', message = 'Job claimed by worker ' .. worker, claimed_at = at,
  timestamp = ms, service_required = job.service_required, customer_id = job.customer_id, workflow_id = job.workflow_id,
  total_steps = job.total_steps,
}))
redis.call('PUBLISH', 'update_job_progress', cjson.encode({
  job_id = id, worker_id = worker, progress = 0, timestamp = ms,
}))
redis.call('XADD', 'progress:' .. id, '*', 'job_id', id, 'worker_id', worker, 'status', 'assigned', 'progress', '0',
  'message', 'Job assigned to worker ' .. worker, 'assigned_at', at)
return { 'claimed', before }
