-- Stores gathered repeats of entries of one shard. It changes no version, so
-- that it is in nobody's way.
-- KEYS: 1 entries, 2 incidents, 3 the number of the caller's latest call
-- ARGV: 1 number of this call, then for each entry: key and fingerprint; number of
--   messages (8 bytes), last seen, valid until, start of the episode
-- Result: 1, also if this call was carried out before
if redis.call('GET', KEYS[3]) == ARGV[1] then return 1 end
redis.call('SET', KEYS[3], ARGV[1], 'EX', 3600)
local fields, changed, occurrences = {}, {}, {}
for i = 2, #ARGV, 2 do fields[#fields + 1] = ARGV[i] end
local entries = fetch(KEYS[1], fields)
for i = 1, #fields do
	local entry = entries[i]
	if entry and #entry >= 61 then -- else it was removed, or is damaged and says so when it is read
		local n, seenNow, validNow, startNow = struct.unpack('>I8c12c12c12', ARGV[2 * i + 1])
		local incident, count, seen, valid, start, firing = struct.unpack('>c16I8c12c12c12B', entry)
		if firing == 1 and valid ~= NONE and start == startNow then valid = later(valid, validNow) end
		changed[#changed + 1] = fields[i]
		changed[#changed + 1] = struct.pack('>c16I8c12c12', incident, count + n, later(seen, seenNow), valid) .. string.sub(entry, 49)
		if incident ~= NOBODY then occurrences[incident] = (occurrences[incident] or 0) + n end
	end
end
all('HSET', KEYS[1], changed, 1, #changed)
for incident, n in pairs(occurrences) do occurred(KEYS[2], incident, n) end
return 1
