-- Stores gathered repeats of entries of one shard. It changes no version, so
-- that it is in nobody's way.
-- KEYS: 1 entries, 2 incidents, 3 the number of the caller's latest call
-- ARGV: 1 number of this call, then for each entry: key and fingerprint, number of
--   messages, last seen, valid until, start of the episode
-- Result: 1, also if this call was carried out before
if redis.call('GET', KEYS[3]) == ARGV[1] then return 1 end
redis.call('SET', KEYS[3], ARGV[1], 'EX', 3600)
local occurrences = {}
for i = 2, #ARGV, 5 do
	local entry = redis.call('HGET', KEYS[1], ARGV[i])
	if entry then
		local n, valid = tonumber(ARGV[i + 1]), string.sub(entry, 37, 48)
		if string.byte(entry, 61) == 1 and valid ~= NONE and string.sub(entry, 49, 60) == ARGV[i + 4] then
			valid = later(valid, ARGV[i + 3])
		end
		redis.call('HSET', KEYS[1], ARGV[i], counted(entry, n, ARGV[i + 2], valid))
		local incident = string.sub(entry, 1, 16)
		if incident ~= NOBODY then occurrences[incident] = (occurrences[incident] or 0) + n end
	end
end
for incident, n in pairs(occurrences) do occurred(KEYS[2], incident, n) end
return 1
