-- Lists the alerts of an incident: those of its key that name it, and those
-- that went on to another one and were archived.
-- KEYS: 1 incidents, 2 order, 3 entries, 4 contents, 5 order of the archive,
--   6 archive, 7 archived contents
-- ARGV: 1 incident, 2 fingerprint that the page before ended with (empty: none), 3 limit
-- Result: nil if there is no such incident, or {key,
--   {fingerprint, entry, content of each live one}, the last fingerprint that was looked at (empty: all),
--   {the same of the archived ones}, the last fingerprint}
local id, limit = ARGV[1], tonumber(ARGV[3])
local incident = redis.call('HGET', KEYS[1], id)
if not incident then return false end
local key = string.sub(incident, 9, 24)

local function part(owner, order, entries, contents)
	local from = ARGV[2] == '' and '[' .. owner or '(' .. owner .. ARGV[2]
	local fields = redis.call('ZRANGEBYLEX', order, from, '[' .. owner .. string.rep('\255', 17), 'LIMIT', 0, limit)
	local rows, found = fetch(entries, fields), {}
	for i = 1, #fields do
		if rows[i] and string.sub(rows[i], 1, 16) == id then
			found[#found + 1] = string.sub(fields[i], 17)
			found[#found + 1] = rows[i]
			found[#found + 1] = redis.call('HGET', contents, fields[i])
		end
	end
	return found, #fields < limit and '' or string.sub(fields[#fields], 17)
end

local live, lastLive = part(key, KEYS[2], KEYS[3], KEYS[4])
local archived, lastArchived = part(id, KEYS[5], KEYS[6], KEYS[7])
return {key, live, lastLive, archived, lastArchived}
