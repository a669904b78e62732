-- Removes an incident with all that belongs to it, a bounded number of rows at a
-- time: what is left names it until the last call, which takes the incident itself.
-- KEYS: 1 keys, 2 entries, 3 contents, 4 order, 5 incidents, 6 timeline,
--   7 references, 8 statistics, 9 jobs, 10 due, 11 archive, 12 archived contents,
--   13 order of the archive, then indexes that it may be in
-- ARGV: 1 incident, 2 page to go on behind (empty: the first), 3 how many are enough,
--   4 its version, 5 length of its timeline, 6 its position, 7 name of the statistics that count it,
--   8 the key's new version
-- Result: {MORE, page to go on behind}, {DONE}, {GONE} if there is none, {CHANGED} if it is not in that version
local id, enough = ARGV[1], tonumber(ARGV[3])
local incident = redis.call('HGET', KEYS[5], id)
if not incident then return {'GONE'} end
local key, name = string.sub(incident, 9, 24), reference(incident)
-- The version is at the end of the fixed part, behind the reference.
if string.sub(incident, 26 + #name, 33 + #name) ~= ARGV[4] then return {'CHANGED'} end

local archived = redis.call('ZRANGEBYLEX', KEYS[13], '[' .. id, '[' .. id .. string.rep('\255', 21), 'LIMIT', 0, enough)
if #archived > 0 then
	local fields = {}
	for i = 1, #archived do fields[i] = id .. string.sub(archived[i], 21) end
	all('HDEL', KEYS[11], fields, 1, #fields)
	all('HDEL', KEYS[12], fields, 1, #fields)
	all('ZREM', KEYS[13], archived, 1, #archived)
	return {'MORE', ARGV[2]}
end

local rows, gone, seen, last = {}, {}, 0, ''
local pages = pagesOf(KEYS[1], KEYS[4], rows)
local from = ARGV[2] == '' and '[' .. key or '(' .. ARGV[2]
local some = redis.call('ZRANGEBYLEX', KEYS[4], from, '[' .. key .. string.rep('\255', 5), 'LIMIT', 0, enough + 1)
for p = 1, #some do
	if seen >= enough then
		last = some[p - 1]
		break
	end
	local fingerprints, fields = listed(KEYS[1], some[p])
	local entries = fetch(KEYS[2], fields)
	seen = seen + #fields
	if #fields == 0 then redis.call('ZREM', KEYS[4], some[p]) end -- damaged: nothing stands there
	for i = 1, #fields do
		local entry = entries[i]
		if not entry or string.sub(entry, 1, 16) == id and string.byte(entry, 61) == 0 then
			gone[#gone + 1] = fields[i]
			pages.take(some[p], fingerprints[i])
		end
	end
end
if last == '' and #some > enough then last = some[#some] end
all('HDEL', KEYS[2], gone, 1, #gone)
all('HDEL', KEYS[3], gone, 1, #gone)
pages.keep()
local record = redis.call('HGET', KEYS[1], key)
if record and #gone > 0 then -- whoever has read them is to read again
	record = ARGV[8] .. string.sub(record, 9)
	rows[#rows + 1] = key
	rows[#rows + 1] = record
end
all('HSET', KEYS[1], rows, 1, #rows)
if last ~= '' then return {'MORE', last} end

local numbers = {}
for i = 1, tonumber(ARGV[5]) do numbers[i] = id .. struct.pack('>I8', i) end
all('HDEL', KEYS[6], numbers, 1, #numbers)
local subject = string.format('%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x', string.byte(id, 1, 16))
for job in pairs(jobsOf(KEYS[9], subject)) do
	redis.call('ZREM', KEYS[10], subject .. '\0' .. job)
	countJobs(KEYS[8], job, -1)
end
redis.call('HDEL', KEYS[9], subject)
redis.call('HDEL', KEYS[7], name)
for i = 14, #KEYS do redis.call('ZREM', KEYS[i], ARGV[6]) end
redis.call('HINCRBY', KEYS[8], ARGV[7], -1)
redis.call('HDEL', KEYS[5], id)

-- Whoever is about to change the incident is to read again, whether the key names it or not.
if record and string.sub(record, 9, 24) ~= id then
	redis.call('HSET', KEYS[1], key, ARGV[8] .. string.sub(record, 9))
elseif record and #redis.call('ZRANGEBYLEX', KEYS[4], '[' .. key, '[' .. key .. string.rep('\255', 5), 'LIMIT', 0, 1) == 0 then
	redis.call('HDEL', KEYS[1], key)
elseif record then
	redis.call('HSET', KEYS[1], key, ARGV[8] .. NOBODY .. string.sub(record, 25))
end
return {'DONE'}
