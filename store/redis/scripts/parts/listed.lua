-- A page lists entries of a key: its field is key and number, its value the
-- fingerprints in the order in which they came. The order has a member for each
-- page, which is its field.
-- listed returns the fingerprints on a page, and the fields of their entries.
local function listed(hash, page)
	local list, key = redis.call('HGET', hash, page) or '', string.sub(page, 1, 16)
	local fingerprints, fields = {}, {}
	for i = 1, #list, 16 do
		local fingerprint = string.sub(list, i, i + 15)
		fingerprints[#fingerprints + 1] = fingerprint
		fields[#fields + 1] = key .. fingerprint
	end
	return fingerprints, fields
end
