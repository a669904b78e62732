-- Leases jobs of one shard that are due.
-- KEYS: 1 jobs, 2 due, 3 statistics
-- ARGV: 1 now, 2 end of the lease, then for each job: subject, kind and target, token
-- Result: for each job that the caller has now: subject, kind and target, due, token, attempts, error
local now, out = milliseconds(ARGV[1]), {}
for i = 3, #ARGV, 3 do
	local subject, name = ARGV[i], ARGV[i + 1]
	local member = subject .. '\0' .. name
	local whole, jobs = pcall(jobsOf, KEYS[1], subject)
	local job = whole and jobs[name]
	if not whole then
		redis.log(redis.LOG_WARNING, jobs) -- damaged: the others are claimed all the same
	elseif not job then
		redis.call('ZREM', KEYS[2], member)
	elseif job[1] == NONE and not after(job[2], ARGV[1]) then -- disarmed, and whoever was at it is gone
		jobs[name] = nil
		redis.call('ZREM', KEYS[2], member)
		countJobs(KEYS[3], name, -1)
		keepJobs(KEYS[1], subject, jobs)
	elseif position(job) <= now or job[4] == ARGV[i + 2] and job[1] ~= NONE then -- or the answer to this very call was lost
		if job[4] ~= ARGV[i + 2] then
			job[2], job[3], job[4], job[5], job[7] = ARGV[2], ARGV[i + 2], ARGV[i + 2], job[5] + 1, NONE
			redis.call('ZADD', KEYS[2], position(job), member)
			keepJobs(KEYS[1], subject, jobs)
		end
		for _, v in ipairs({subject, name, job[1], job[4], math.max(job[5], 1), job[6]}) do out[#out + 1] = v end
	end
end
return out
