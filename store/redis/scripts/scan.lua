-- Lists entries of one shard in the order of keys and fingerprints.
-- KEYS: 1 order, 2 entries, 3 contents
-- ARGV: 1 from, 2 to (as ZRANGEBYLEX has them), 3 limit, 4 1 for what the alerts said
-- Result: key and fingerprint, entry, content (or nil) of each
local fields = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local rows, out = fetch(KEYS[2], fields), {}
for i = 1, #fields do
	if rows[i] then
		out[#out + 1] = fields[i]
		out[#out + 1] = rows[i]
		out[#out + 1] = ARGV[4] == '1' and redis.call('HGET', KEYS[3], fields[i])
	end
end
return out
