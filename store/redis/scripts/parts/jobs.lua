-- The jobs of a subject are one value: a map from kind, zero byte, target to
-- {due, leased until, token, holder, attempts, error}. The member of the index
-- of due times is subject, zero byte, kind, zero byte, target.
local function jobsOf(key, subject)
	local packed = redis.call('HGET', key, subject)
	if not packed then return {} end
	local whole, jobs = pcall(cmsgpack.unpack, packed)
	if not whole or type(jobs) ~= 'table' then error('the jobs of ' .. subject .. ' are damaged') end
	return jobs
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
