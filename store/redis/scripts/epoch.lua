-- Lets a shard know the epoch of the list of generations, and counts the firing
-- alerts of each at that moment.
-- KEYS: 1 keys, 2 statistics
-- ARGV: 1 epoch, then generations
-- Result: the shard's epoch, which is larger if the list is an old one, and how
--   many alerts of each generation fire
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if epoch < tonumber(ARGV[1]) then
	epoch = tonumber(ARGV[1])
	redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
end
local out = {epoch}
for i = 2, #ARGV do out[i] = tonumber(redis.call('HGET', KEYS[2], 'firing\0' .. ARGV[i]) or '0') end
return out
