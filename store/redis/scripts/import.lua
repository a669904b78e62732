-- Stores jobs that nobody has leased.
-- KEYS: 1 jobs, 2 due
-- ARGV: for each job: subject, kind and target, due, token, attempts, error
-- Result: 1
for i = 1, #ARGV, 6 do
	local subject, name = ARGV[i], ARGV[i + 1]
	local jobs = jobsOf(KEYS[1], subject)
	local job = {ARGV[i + 2], NONE, ARGV[i + 3], '', tonumber(ARGV[i + 4]), ARGV[i + 5], NONE}
	jobs[name] = job
	redis.call('ZADD', KEYS[2], position(job), subject .. '\0' .. name)
	keepJobs(KEYS[1], subject, jobs)
end
return 1
