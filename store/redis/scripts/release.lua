-- Gives a key back that was taken by a lease.
-- KEYS: 1 lease
-- ARGV: 1 token of the lease
-- Result: 1 if it was the caller's
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
