-- Lists entries of one shard, whole pages of them.
-- KEYS: 1 keys, 2 order, 3 entries, 4 contents
-- ARGV: 1 from, 2 to (as ZRANGEBYLEX has them), 3 how many are enough, 4 1 for what the alerts said
-- Result: page, fingerprint, entry, content (or nil) of each; then the page to go on behind, empty at the end
local enough, out, last = tonumber(ARGV[3]), {}, ''
local pages = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, enough + 1)
for p = 1, #pages do
	if #out >= 4 * enough then
		last = pages[p - 1]
		break
	end
	local fingerprints, fields = listed(KEYS[1], pages[p])
	local rows = fetch(KEYS[3], fields)
	for i = 1, #fields do
		if rows[i] then
			out[#out + 1] = pages[p]
			out[#out + 1] = fingerprints[i]
			out[#out + 1] = rows[i]
			out[#out + 1] = ARGV[4] == '1' and redis.call('HGET', KEYS[4], fields[i])
		end
	end
end
if last == '' and #pages > enough then last = pages[#pages] end
return {out, last}
