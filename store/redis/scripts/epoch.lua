-- Lets a shard know the epoch of the list of generations, and counts the firing
-- alerts of each at that moment.
-- KEYS: 1 keys, 2 statistics
-- ARGV: 1 epoch, then generations
-- Result: how many alerts of each fire
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'epoch', ARGV[1]) end
local out = {}
for i = 2, #ARGV do out[i - 1] = tonumber(redis.call('HGET', KEYS[2], 'firing\0' .. ARGV[i]) or '0') end
return out
