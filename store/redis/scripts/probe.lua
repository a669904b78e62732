-- Tries every command that the other scripts use.
-- KEYS: 1 a key that nobody uses
-- Result: what the user may not do, each with the server's words behind it
local refused = {}
local function try(...)
	local reply = redis.pcall(...)
	if type(reply) == 'table' and reply.err then refused[#refused + 1] = (...) .. ': ' .. reply.err end
end
local key = KEYS[1]
try('DEL', key)
try('SET', key, '1', 'EX', 60)
try('GET', key)
try('DEL', key)
try('HSET', key, 'f', '1')
try('HGET', key, 'f')
try('HMGET', key, 'f')
try('HGETALL', key)
try('HINCRBY', key, 'f', 1)
try('HDEL', key, 'f')
try('ZADD', key, 0, 'm')
try('ZRANGEBYLEX', key, '-', '+', 'LIMIT', 0, 1)
try('ZRANGEBYSCORE', key, '-inf', '+inf', 'LIMIT', 0, 1)
try('ZCOUNT', key, '-inf', '+inf')
try('ZREM', key, 'm')
try('ZREMRANGEBYSCORE', key, '-inf', '+inf')
try('TIME')
return refused
