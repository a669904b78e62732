-- The jobs of a subject are one value: a map from kind, zero byte, target to
-- {due, leased until, token, holder, attempts, error, armed}. The member of the
-- index of due times is subject, zero byte, kind, zero byte, target.
-- Armed is when it comes by what was armed since it was leased, to be no later; due is
-- still what was claimed then, which it comes for again if nobody finishes that. It says
-- nothing, and may be missing or old, unless it is leased and token is not holder.
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

local function armed(job) return job[2] ~= NONE and job[3] ~= job[4] and job[7] and job[7] ~= NONE end

-- Whether somebody is at the job who has to finish it.
local function busy(job) return job[2] ~= NONE and (job[3] == job[4] or armed(job)) end

-- When a claim that is not given out yet is ahead, NONE if none is.
local function waits(job)
	if job[2] ~= NONE and job[3] == job[4] then return NONE end
	return armed(job) and job[7] or job[1]
end

-- Not before its lease ends, so that a lease that nobody finished comes up
-- again, nor before it is due.
local function position(job) return milliseconds(later(job[1], job[2])) end

local function countJobs(statistics, name, n)
	redis.call('HINCRBY', statistics, 'jobs\0' .. string.match(name, '^[^%z]*'), n)
end
