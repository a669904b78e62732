-- Replaces a value if it is still the expected one.
-- KEYS: 1 the value
-- ARGV: 1 expected (empty: none), 2 new
-- Result: the value now
local now = redis.call('GET', KEYS[1]) or ''
if now == ARGV[1] and now ~= ARGV[2] then
	redis.call('SET', KEYS[1], ARGV[2])
	return ARGV[2]
end
return now
