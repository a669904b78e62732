-- The jobs of a subject are one value: a map from kind, zero byte, target to
-- {due, leased until, token, holder, attempts, error, claimed}. The member of the
-- index of due times is subject, zero byte, kind, zero byte, target.
-- Claimed is when what is leased was due: that it is again if nobody finishes it,
-- whatever was armed meanwhile to be no later. It is NONE once it was armed otherwise,
-- and may be missing or old where nothing is leased.
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

-- Whether somebody is at the job who has to finish it.
local function claimed(job) return job[2] ~= NONE and job[7] and job[7] ~= NONE end

-- Not before its lease ends, so that a lease that nobody finished comes up
-- again, nor before it is due.
local function position(job) return milliseconds(claimed(job) and job[2] or later(job[1], job[2])) end

local function countJobs(statistics, name, n)
	redis.call('HINCRBY', statistics, 'jobs\0' .. string.match(name, '^[^%z]*'), n)
end
