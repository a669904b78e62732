-- Lists the alerts of an incident: those of its key that name it, and those
-- that went on to another one and were archived. Both are in the order of pages
-- and, on a page, of fingerprints: an alert keeps its place when it is archived.
-- KEYS: 1 incidents, 2 keys, 3 order, 4 entries, 5 contents, 6 order of the archive,
--   7 archive, 8 archived contents
-- ARGV: 1 incident, 2 number of a page and fingerprint to go on behind (empty: the first), 3 how many are enough,
--   4 1 if no more of that page is wanted
-- Result: nil if there is no such incident, or {key,
--   {number of the page, fingerprint, entry, content of each live one, whole pages of them}, the number of the last page (empty: all),
--   {the same of the archived ones}, the last page and fingerprint (empty: all)}
local id, behind, enough = ARGV[1], ARGV[2], tonumber(ARGV[3])
local incident = redis.call('HGET', KEYS[1], id)
if not incident then return false end
local key = string.sub(incident, 9, 24)

local live, seen, lastLive = {}, 0, ''
local begun = string.sub(behind, 1, 4)
local pages = redis.call('ZRANGEBYLEX', KEYS[3], (ARGV[4] == '1' and '(' or '[') .. key .. begun, '[' .. key .. string.rep('\255', 5), 'LIMIT', 0, enough + 1)
for p = 1, #pages do
	if seen >= enough then
		lastLive = string.sub(pages[p - 1], 17)
		break
	end
	local fingerprints, fields = listed(KEYS[2], pages[p])
	local rows = fetch(KEYS[4], fields)
	-- What the caller has of a page already does not count, so that there is always more.
	if string.sub(pages[p], 17) ~= begun then seen = seen + #fields end
	for i = 1, #fields do
		if rows[i] and string.sub(rows[i], 1, 16) == id then
			live[#live + 1] = string.sub(pages[p], 17)
			live[#live + 1] = fingerprints[i]
			live[#live + 1] = rows[i]
			live[#live + 1] = redis.call('HGET', KEYS[5], fields[i])
		end
	end
end
if lastLive == '' and #pages > enough then lastLive = string.sub(pages[#pages], 17) end

local archived, lastArchived = {}, ''
local from = behind == '' and '[' .. id or '(' .. id .. behind
local members = redis.call('ZRANGEBYLEX', KEYS[6], from, '[' .. id .. string.rep('\255', 21), 'LIMIT', 0, enough)
for i = 1, #members do
	local fingerprint = string.sub(members[i], 21)
	local now = redis.call('HGET', KEYS[4], key .. fingerprint)
	local entry = redis.call('HGET', KEYS[7], id .. fingerprint)
	if entry and not (now and string.sub(now, 1, 16) == id) then -- else it came back
		archived[#archived + 1] = string.sub(members[i], 17, 20)
		archived[#archived + 1] = fingerprint
		archived[#archived + 1] = entry
		archived[#archived + 1] = redis.call('HGET', KEYS[8], id .. fingerprint)
	end
end
if #members == enough then lastArchived = string.sub(members[#members], 17) end
return {key, live, lastLive, archived, lastArchived}
