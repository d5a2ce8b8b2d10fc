-- What all scripts share; it stands before each of them. KEYS[1] is the prefix of the queue's keys, `{queue}:`: every key
-- is made from it, so all are in one slot of a cluster. ARGV[1] are the queue's settings, the rest is each script's. Every
-- loop has a cap: no call takes longer when more jobs wait.
local Q = KEYS[1]
local META, LEASES = Q .. 'm', Q .. 'l'
local JOB, BODY = Q .. 'j:', Q .. 'b:'
-- Numbers as arguments of commands are printed with 17 digits, which takes longer than the command: so strings, where they can be.
local call, text, find = redis.call, string.format, string.find
