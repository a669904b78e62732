-- Commits what the steps of one group decided about one key, if nobody else
-- changed the key since it was read.
-- KEYS: 1 keys, 2 entries, 3 contents, 4 incidents, 5 timeline, 6 statistics,
--   7 order, 8 lease; then, if the commit needs any of them, 9 references,
--   10 numbers, 11 jobs, 12 due, 13 archive, 14 archived contents, 15 order of the
--   archive, and indexes
-- ARGV: key, its version as it was read (empty: it was new), the caller, epoch (empty: any),
--   lease that the caller holds (empty: none), the key's new record, now, shard, number of
--   jobs, page that new alerts are listed on (empty: none), their fingerprints; then lists,
--   each behind its length:
--   incidents: id, day (empty: it exists), occurrences that are added, the rest
--   more pages: page, fingerprints
--   archived entries: fingerprint, incident, entry, content (empty: the stored one)
--   removed entries: key and fingerprint
--   new entries: key and fingerprint, entry, content (empty: none)
--   changed entries: key and fingerprint, valid until as it was read, entry whose
--     count is what is added
--   contents of changed entries: key and fingerprint, content
--   occurrences of other incidents: id, number that is added
--   moves in indexes: number of the index's key, + or -, position
--   timeline: incident and number, entry
--   statistics: name, number that is added
--   and at the end, without a length, jobs: subject, kind and target, due, token, 1 to keep an earlier time,
--   token of the lease that ends with this (empty: none)
-- Result: OK and the references of the new incidents; DONE if this was committed
--   before; CONFLICT if the key changed since; LEASED if somebody else has the key;
--   EPOCH if the generations are others.
local at = 0
local function take()
	at = at + 1
	return ARGV[at]
end
local function count() return tonumber(take()) end

local key, expected, caller, epoch, lease, record, now, shard, toArm, first, listed = take(), take(), take(), take(), take(), take(), take(), count(), count(), take(), take()
local stored = redis.call('HMGET', KEYS[1], key, 'epoch', first)
local known = stored[1]
if (known and string.sub(known, 1, 8) or '') ~= expected then
	if known and lastOf(known, caller) == string.sub(record, 1, 8) then return {'DONE'} end
	return {'CONFLICT'}
end
local holder = redis.call('GET', KEYS[8])
if holder and holder ~= lease then return {'LEASED'} end
if epoch ~= '' and (stored[2] or '0') ~= epoch then return {'EPOCH'} end

-- What may be damaged, or gone, is looked at before anything is written.
local incidents = {}
for n = 1, count() do
	local i = {id = take(), day = take(), added = count(), rest = take()}
	if i.day == '' then
		i.old = redis.call('HGET', KEYS[4], i.id)
		if not i.old then return {'CONFLICT'} end -- somebody removed it
		if #i.old < 33 then error('the incident is damaged') end
	end
	incidents[n] = i
end
local jobsBySubject = {}
for i = #ARGV - 6 * toArm + 1, #ARGV, 6 do
	jobsBySubject[ARGV[i]] = jobsBySubject[ARGV[i]] or jobsOf(KEYS[11], ARGV[i])
end

if holder then redis.call('DEL', KEYS[8]) end

local result = {'OK'}
for _, i in ipairs(incidents) do
	local head
	if i.old then
		head = struct.pack('>I8', number(i.old) + i.added) .. string.sub(i.old, 9, 25 + string.byte(i.old, 25))
	else
		local v, digits = redis.call('HINCRBY', KEYS[10], i.day, 1) * 64 + shard, ''
		while v > 0 or #digits < 4 do
			digits = string.sub('0123456789ABCDEFGHJKMNPQRSTVWXYZ', v % 32 + 1, v % 32 + 1) .. digits
			v = math.floor(v / 32)
		end
		local name = 'INC-' .. i.day .. '-' .. digits
		redis.call('HSET', KEYS[9], name, i.id)
		result[#result + 1] = name
		head = struct.pack('>I8', i.added) .. key .. string.char(#name) .. name
	end
	redis.call('HSET', KEYS[4], i.id, head .. i.rest)
end

-- The key's record and pages are written by one command, when all pages are known.
local rows = {key, record}
local pages = pagesOf(KEYS[1], KEYS[7], rows)
if first ~= '' then pages.add(first, listed, stored[3]) end
for _ = 1, count() do
	local page, fingerprints = take(), take()
	pages.add(page, fingerprints)
end

for _ = 1, count() do
	local fingerprint, owner, entry, content = take(), take(), take(), take()
	if redis.call('HEXISTS', KEYS[4], owner) == 1 then -- else nobody could find it, or would ever remove it
		local field = owner .. fingerprint
		local before = redis.call('HGET', KEYS[13], field)
		if before then redis.call('ZREM', KEYS[15], owner .. pageOf(before) .. fingerprint) end
		if content == '' then content = redis.call('HGET', KEYS[3], key .. fingerprint) end
		redis.call('HSET', KEYS[13], field, entry)
		if content then redis.call('HSET', KEYS[14], field, content) end
		redis.call('ZADD', KEYS[15], 0, owner .. pageOf(entry) .. fingerprint)
	end
end

local n = count()
for i = at + 1, at + n do
	local entry = redis.call('HGET', KEYS[2], ARGV[i])
	if entry then pages.take(key .. pageOf(entry), string.sub(ARGV[i], 17)) end
end
all('HDEL', KEYS[2], ARGV, at + 1, at + n)
all('HDEL', KEYS[3], ARGV, at + 1, at + n)
at = at + n
pages.keep()
all('HSET', KEYS[1], rows, 1, #rows)

n = count()
if n > 0 then
	local entries, contents = {}, {}
	for i = 1, n do
		local field, content = ARGV[at + 1], ARGV[at + 3]
		entries[2 * i - 1], entries[2 * i] = field, ARGV[at + 2]
		if content ~= '' then
			contents[#contents + 1] = field
			contents[#contents + 1] = content
		end
		at = at + 3
	end
	all('HSET', KEYS[2], entries, 1, 2 * n)
	all('HSET', KEYS[3], contents, 1, #contents)
end

for _ = 1, count() do
	local field, read, entry = take(), take(), take()
	local old = redis.call('HGET', KEYS[2], field)
	if old then -- else unreachable: what removes an entry changes the key's version
		local valid = string.sub(entry, 37, 48)
		-- Somebody else stored repeats of the same alert meanwhile.
		if string.sub(old, 37, 48) ~= read and string.sub(old, 61, 61) == string.sub(entry, 61, 61) then
			valid = later(valid, string.sub(old, 37, 48))
		end
		entry = counted(entry, number(string.sub(old, 17, 24)), string.sub(old, 25, 36), valid)
	end
	redis.call('HSET', KEYS[2], field, entry)
end

n = count()
all('HSET', KEYS[3], ARGV, at + 1, at + 2 * n)
at = at + 2 * n

for _ = 1, count() do
	local incident, added = take(), count()
	occurred(KEYS[4], incident, added)
end

for _ = 1, count() do
	local index, move, place = KEYS[count()], take(), take()
	if move == '+' then redis.call('ZADD', index, 0, place) else redis.call('ZREM', index, place) end
end

n = count()
all('HSET', KEYS[5], ARGV, at + 1, at + 2 * n)
at = at + 2 * n

for _ = 1, count() do
	local name, added = take(), take()
	redis.call('HINCRBY', KEYS[6], name, added)
end

-- A leased job keeps its lease but gets a new token, so that whoever is at it
-- cannot finish what was armed meanwhile, and nobody else begins before they are done;
-- or the commit itself is the end of the lease. To be no later does not put off what is
-- leased either, which may never be finished.
for _ = 1, toArm do
	local subject, name, due, token, keep, ended = take(), take(), take(), take(), take() == '1', take()
	local jobs = jobsBySubject[subject]
	local job = jobs[name]
	local waiting = job and waits(job) or NONE
	local earlier = keep and waiting ~= NONE and (due == NONE or not after(waiting, due))
	local ends = ended ~= '' and job and job[4] == ended
	if earlier then due = waiting end
	if ends then job[2], job[4], job[7] = NONE, '', NONE end
	local held = keep and job and busy(job)
	if ends or not earlier and not (due == NONE and held) then
		local member = subject .. '\0' .. name
		if due == NONE and not (job and after(job[2], now)) then
			if job then
				jobs[name] = nil
				redis.call('ZREM', KEYS[12], member)
				countJobs(KEYS[6], name, -1)
				keepJobs(KEYS[11], subject, jobs)
			end
		else
			if not job then countJobs(KEYS[6], name, 1) end
			job = {held and job[1] or due, job and job[2] or NONE, token, job and job[4] or '', 0, '', held and due or NONE}
			jobs[name] = job
			redis.call('ZADD', KEYS[12], position(job), member)
			keepJobs(KEYS[11], subject, jobs)
		end
	end
end
return result
