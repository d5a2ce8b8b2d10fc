#!lua name=jobMatching

-- The library `jobMatching` of the TypeScript system, written anew from its documented behaviour: a fixture for tests, which
-- install it as that system's operators install theirs. It errs where that errs.

local function log(message)
  redis.log(redis.LOG_NOTICE, message)
end

local function stamp()
  local time = redis.call('TIME')
  return time[1] .. '.' .. string.format('%06d', tonumber(time[2])), tonumber(time[1] .. '000')
end

local function decode(text)
  if not text or text == '' then return nil end
  local ok, value = pcall(cjson.decode, text)
  if ok then return value end
  return nil
end

local function is_list(value)
  return type(value) == 'table' and (#value > 0 or next(value) == nil)
end

local function contains(list, wanted)
  if type(list) ~= 'table' then return false end
  for _, it in ipairs(list) do
    if it == wanted then return true end
  end
  return false
end

local function find(capabilities, name)
  local value = capabilities
  for part in string.gmatch(name, '[^.]+') do
    if type(value) ~= 'table' then return nil end
    value = value[part]
  end
  return value
end

local function compare(has, wanted, nested)
  if has == nil then return false end
  if is_list(wanted) then
    if type(has) ~= 'table' then return false end
    for _, it in ipairs(wanted) do
      if not contains(has, it) then return false end
    end
    return true
  end
  if type(wanted) == 'table' then
    if not nested or type(has) ~= 'table' then return false end
    for name, it in pairs(wanted) do
      if not compare(has[name], it, false) then return false end
    end
    return true
  end
  if type(has) == 'table' then return contains(has, wanted) end
  if type(wanted) == 'number' then return type(has) == 'number' and has >= wanted end
  return has == wanted
end

local function positive_holds(worker, job, positive)
  if positive.hardware then
    for _, amount in ipairs({ 'gpu_memory_gb', 'cpu_cores', 'ram_gb' }) do
      local least = positive.hardware[amount]
      if least and least ~= 'all' then
        local has = worker.hardware and worker.hardware[amount]
        if not has or has < least then return false end
      end
    end
  end
  if positive.customer_isolation then
    local access = worker.customer_access or {}
    if positive.customer_isolation == 'strict' and access.isolation ~= 'strict' then return false end
    if access.allowed_customers and not contains(access.allowed_customers, job.customer_id) then return false end
    if access.denied_customers and contains(access.denied_customers, job.customer_id) then return false end
  end
  if positive.models and positive.models ~= 'all' and is_list(positive.models) then
    local own = worker.models and worker.models[job.service_required]
    for _, model in ipairs(positive.models) do
      if not contains(own, model) then return false end
    end
  end
  for name, wanted in pairs(positive) do
    if name ~= 'hardware' and name ~= 'customer_isolation' and name ~= 'models' and name ~= 'service_type' then
      if not compare(find(worker, name), wanted, true) then return false end
    end
  end
  return true
end

local function negative_holds(worker, negative)
  if negative.hardware then
    for name, wanted in pairs(negative.hardware) do
      if worker.hardware and compare(worker.hardware[name], wanted, true) then return false end
    end
  end
  for name, wanted in pairs(negative) do
    if name ~= 'hardware' and compare(find(worker, name), wanted, true) then return false end
  end
  return true
end

local function matches(worker, job)
  if worker.workflow_id and worker.workflow_id ~= '' and job.workflow_id ~= worker.workflow_id then return false end
  if not contains(worker.job_service_required_map, job.service_required) then return false end
  local required = decode(job.requirements)
  if required == nil then return true end
  local positive = required.positive_requirements or required
  if not positive_holds(worker, job, positive) then return false end
  if required.negative_requirements then return negative_holds(worker, required.negative_requirements) end
  return true
end

local function find_matching_job(keys, args)
  local worker = cjson.decode(args[1])
  local scan = tonumber(args[2]) or 100
  log('capabilities of ' .. worker.worker_id .. ': ' .. args[1])
  local pending = redis.call('ZREVRANGE', 'jobs:pending', 0, scan - 1)
  for _, id in ipairs(pending) do
    local flat = redis.call('HGETALL', 'job:' .. id)
    if #flat == 0 then
      log('no such job: ' .. id)
    else
      local job = {}
      for n = 1, #flat, 2 do job[flat[n]] = flat[n + 1] end
      if matches(worker, job) and redis.call('ZREM', 'jobs:pending', id) == 1 then
        local at, ms = stamp()
        redis.call('HMSET', 'job:' .. id, 'status', 'assigned', 'worker_id', worker.worker_id, 'assigned_at', at)
        redis.call('HSET', 'jobs:active:' .. worker.worker_id, id, cjson.encode(job))
        redis.call('HMSET', 'worker:' .. worker.worker_id,
          'status', 'busy', 'current_job_id', id, 'last_status_change', at)
        redis.call('PUBLISH', 'job_claimed', cjson.encode({
          job_id = id, worker_id = worker.worker_id, status = 'claimed',
          message = 'Job claimed by worker ' .. worker.worker_id, claimed_at = at, timestamp = ms,
          service_required = job.service_required, customer_id = job.customer_id, workflow_id = job.workflow_id,
          step_number = job.step_number, total_steps = job.total_steps,
        }))
        redis.call('PUBLISH', 'update_job_progress', cjson.encode({
          job_id = id, worker_id = worker.worker_id, progress = 0, timestamp = ms,
        }))
        redis.call('XADD', 'progress:' .. id, '*', 'job_id', id, 'worker_id', worker.worker_id, 'status', 'assigned',
          'progress', '0', 'message', 'Job assigned to worker ' .. worker.worker_id, 'assigned_at', at)
        return cjson.encode({ jobId = id, job = job })
      end
    end
  end
  return nil
end

redis.register_function('findMatchingJob', find_matching_job)
