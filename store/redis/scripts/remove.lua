-- Removes an incident with all that belongs to it, a bounded number of rows at a
-- time: what is left names it until the last call, which takes the incident itself.
-- KEYS: 1 keys, 2 entries, 3 contents, 4 order, 5 incidents, 6 timeline,
--   7 references, 8 statistics, 9 jobs, 10 due, 11 archive, 12 archived contents,
--   13 order of the archive, then indexes that it may be in
-- ARGV: 1 incident, 2 fingerprint to go on behind (empty: the first), 3 limit,
--   4 its version, 5 length of its timeline, 6 its position, 7 name of the statistics that count it,
--   8 the key's new version
-- Result: {MORE, fingerprint to go on behind}, {DONE}, {GONE} if there is none, {CHANGED} if it is not in that version
local id, limit = ARGV[1], tonumber(ARGV[3])
local incident = redis.call('HGET', KEYS[5], id)
if not incident then return {'GONE'} end
local key, name = string.sub(incident, 9, 24), reference(incident)
-- The version is at the end of the fixed part, behind the reference.
if string.sub(incident, 26 + #name, 33 + #name) ~= ARGV[4] then return {'CHANGED'} end

local archived = redis.call('ZRANGEBYLEX', KEYS[13], '[' .. id, '[' .. id .. string.rep('\255', 17), 'LIMIT', 0, limit)
if #archived > 0 then
	all('HDEL', KEYS[11], archived, 1, #archived)
	all('HDEL', KEYS[12], archived, 1, #archived)
	all('ZREM', KEYS[13], archived, 1, #archived)
	return {'MORE', ARGV[2]}
end

local from = ARGV[2] == '' and '[' .. key or '(' .. key .. ARGV[2]
local fields = redis.call('ZRANGEBYLEX', KEYS[4], from, '[' .. key .. string.rep('\255', 17), 'LIMIT', 0, limit)
local rows, gone = fetch(KEYS[2], fields), {}
for i = 1, #fields do
	local row = rows[i]
	if row and string.sub(row, 1, 16) == id and string.byte(row, 61) == 0 then gone[#gone + 1] = fields[i] end
end
all('HDEL', KEYS[2], gone, 1, #gone)
all('HDEL', KEYS[3], gone, 1, #gone)
all('ZREM', KEYS[4], gone, 1, #gone)
local record = redis.call('HGET', KEYS[1], key)
if record and #gone > 0 then -- whoever has read them is to read again
	record = ARGV[8] .. string.sub(record, 9)
	redis.call('HSET', KEYS[1], key, record)
end
if #fields == limit then return {'MORE', string.sub(fields[#fields], 17)} end

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

if record and string.sub(record, 9, 24) == id then
	if #redis.call('ZRANGEBYLEX', KEYS[4], '[' .. key, '[' .. key .. string.rep('\255', 17), 'LIMIT', 0, 1) == 0 then
		redis.call('HDEL', KEYS[1], key)
	else
		redis.call('HSET', KEYS[1], key, ARGV[8] .. NOBODY .. string.sub(record, 25))
	end
end
return {'DONE'}
