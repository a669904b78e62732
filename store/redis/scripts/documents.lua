-- Lists documents of one type in the order of ids.
-- KEYS: 1 documents, 2 their order
-- ARGV: 1 from (as ZRANGEBYLEX has it), 2 limit
-- Result: id and row of each
local ids = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local rows, out = fetch(KEYS[1], ids), {}
for i = 1, #ids do
	if rows[i] then
		out[#out + 1] = ids[i]
		out[#out + 1] = rows[i]
	end
end
return out
