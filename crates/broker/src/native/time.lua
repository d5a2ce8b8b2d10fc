-- The server's time is the queue's time.
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
