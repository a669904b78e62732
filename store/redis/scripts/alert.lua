-- Stores alerts that a copy brings. Those that are there already stay on their
-- pages, so that it does not matter if it is repeated, or how they are grouped then.
-- KEYS: 1 keys, 2 order, 3 entries, 4 contents
-- ARGV: for each alert: key and fingerprint, page, entry, content behind a + (empty: none)
-- Result: 1
local rows = {}
local pages = pagesOf(KEYS[1], KEYS[2], rows)
for i = 1, #ARGV, 4 do
	local field, page, entry, content = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
	local known = redis.call('HGET', KEYS[3], field)
	if known then
		entry = string.sub(entry, 1, 61) .. pageOf(known) .. string.sub(entry, 66)
	else
		pages.add(page, string.sub(field, 17))
	end
	redis.call('HSET', KEYS[3], field, entry)
	if content ~= '' then redis.call('HSET', KEYS[4], field, string.sub(content, 2)) end
end
pages.keep()
all('HSET', KEYS[1], rows, 1, #rows)
return 1
