-- Ends a lease: the job is done, or comes again; what was armed meanwhile stays.
-- KEYS: 1 jobs, 2 due, 3 statistics
-- ARGV: 1 subject, 2 kind and target, 3 token of the lease, 4 when it comes again (empty: it is done), 5 why
-- Result: 1, or 0 if the lease was not the caller's any more
local subject, name = ARGV[1], ARGV[2]
local jobs = jobsOf(KEYS[1], subject)
local job = jobs[name]
if not job or job[4] ~= ARGV[3] then return 0 end
local keep = job[1] ~= NONE
if job[3] == ARGV[3] then
	keep = ARGV[4] ~= ''
	if keep then job[1], job[6] = ARGV[4], ARGV[5] end
end
job[2], job[4] = NONE, ''
if keep then
	redis.call('ZADD', KEYS[2], position(job), subject .. '\0' .. name)
else
	jobs[name] = nil
	redis.call('ZREM', KEYS[2], subject .. '\0' .. name)
	countJobs(KEYS[3], name, -1)
end
keepJobs(KEYS[1], subject, jobs)
return 1
