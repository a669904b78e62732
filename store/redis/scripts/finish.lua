-- Ends a lease: the job is done, or comes again; what was armed meanwhile stays,
-- and what was armed to be no later than it comes again as well.
-- KEYS: 1 jobs, 2 due, 3 statistics
-- ARGV: 1 subject, 2 kind and target, 3 token of the lease, 4 when it comes again (empty: it is done), 5 why
-- Result: 1, or 0 if the lease was not the caller's any more
local subject, name = ARGV[1], ARGV[2]
local jobs = jobsOf(KEYS[1], subject)
local job = jobs[name]
if not job or job[4] ~= ARGV[3] then return 0 end
if busy(job) then
	job[1] = waits(job)
	if ARGV[4] ~= '' and (job[1] == NONE or after(job[1], ARGV[4])) then job[1], job[6] = ARGV[4], ARGV[5] end
end
job[2], job[4], job[7] = NONE, '', NONE
if job[1] ~= NONE then
	redis.call('ZADD', KEYS[2], position(job), subject .. '\0' .. name)
else
	jobs[name] = nil
	redis.call('ZREM', KEYS[2], subject .. '\0' .. name)
	countJobs(KEYS[3], name, -1)
end
keepJobs(KEYS[1], subject, jobs)
return 1
