-- Lists positions of incidents in several indexes of one shard, at one moment.
-- KEYS: indexes
-- ARGV: 1 from, 2 to (as ZRANGEBYLEX has them), 3 limit
-- Result: a list for each index
local out = {}
for i = 1, #KEYS do out[i] = redis.call('ZRANGEBYLEX', KEYS[i], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3]) end
return out
