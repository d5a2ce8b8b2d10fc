-- What all scripts share; it stands before each of them. KEYS[1] is the prefix of the queue's keys, `{queue}:`: every key
-- is made from it, so all are in one slot of a cluster. ARGV[1] are the queue's settings, the rest is each script's. Every
-- loop has a cap: no call takes longer when more jobs wait.
local Q = KEYS[1]
local META, LEASES, JOBS = Q .. 'm', Q .. 'l', Q .. 'j'
local BODY = Q .. 'b:'
-- Numbers as arguments of commands are printed with 17 digits, which takes longer than the command: so strings, where they can
-- be.
local call, text, find = redis.call, string.format, string.find

-- APPEND leaves as much room as there are bytes. What is larger than 1 KiB is copied to its own size, about 256 KiB a call.
local copied = 0
local function fit(key, length)
  if length > 1024 and copied < 262144 then
    copied = copied + length
    call('COPY', key, key .. '~')
    call('RENAME', key .. '~', key)
  end
end
