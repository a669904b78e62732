-- What several scripts share; it stands at the beginning of each.
--
-- Times are 12 bytes: seconds since the beginning of the year 1 and
-- nanoseconds, big endian; all zero is no time. Numbers are compared as numbers
-- and never as strings, because the server's locale orders those.
local NONE, NOBODY = string.rep('\0', 12), string.rep('\0', 16)

local function after(a, b)
	local as, an = struct.unpack('>I8I4', a)
	local bs, bn = struct.unpack('>I8I4', b)
	return as > bs or as == bs and an > bn
end

local function later(a, b)
	if after(b, a) then return b end
	return a
end

local function milliseconds(t)
	local s, n = struct.unpack('>I8I4', t)
	return (s - 62135596800) * 1000 + math.floor(n / 1000000)
end

local function number(s) return (struct.unpack('>I8', s)) end

-- all calls a command with key and list[from..to], a thousand arguments at a time.
local function all(command, key, list, from, to)
	for i = from, to, 1000 do
		redis.call(command, key, unpack(list, i, math.min(i + 999, to)))
	end
end

-- fetch is HMGET of any number of fields.
local function fetch(key, fields)
	if #fields == 0 then return {} end
	if #fields <= 1000 then return redis.call('HMGET', key, unpack(fields)) end
	local out = {}
	for i = 1, #fields, 1000 do
		for _, v in ipairs(redis.call('HMGET', key, unpack(fields, i, math.min(i + 999, #fields)))) do
			out[#out + 1] = v
		end
	end
	return out
end

-- An entry: incident (1-16), count (17-24), last seen (25-36), valid until
-- (37-48), start (49-60), firing (61), then what no script looks at.
-- counted returns an entry with n more messages, the latest at seen, valid until valid.
local function counted(entry, n, seen, valid)
	return string.sub(entry, 1, 16) .. struct.pack('>I8', number(string.sub(entry, 17, 24)) + n) ..
		later(string.sub(entry, 25, 36), seen) .. valid .. string.sub(entry, 49)
end

-- An incident: occurrences (1-8), key (9-24), the length of its reference (25),
-- the reference, then what no script looks at.
local function reference(incident) return string.sub(incident, 26, 25 + string.byte(incident, 25)) end

-- occurred adds n occurrences to an incident that exists.
local function occurred(key, id, n)
	local known = redis.call('HGET', key, id)
	if known then
		redis.call('HSET', key, id, struct.pack('>I8', number(known) + n) .. string.sub(known, 9))
	end
end

-- The jobs of a subject are one value: a map from kind, zero byte, target to
-- {due, leased until, token, holder, attempts, error}. The member of the index
-- of due times is subject, zero byte, kind, zero byte, target.
local function jobsOf(key, subject)
	local packed = redis.call('HGET', key, subject)
	if packed then return cmsgpack.unpack(packed) end
	return {}
end

local function keepJobs(key, subject, jobs)
	if next(jobs) == nil then
		redis.call('HDEL', key, subject)
	else
		redis.call('HSET', key, subject, cmsgpack.pack(jobs))
	end
end

-- Not before its lease ends, so that a lease that nobody finished comes up
-- again, nor before it is due.
local function position(job) return milliseconds(later(job[1], job[2])) end

local function countJobs(statistics, name, n)
	redis.call('HINCRBY', statistics, 'jobs\0' .. string.match(name, '^[^%z]*'), n)
end
