-- Says when jobs are due that nobody is at.
-- KEYS: 1 jobs
-- ARGV: 1 kind and target, then subjects
-- Result: for each subject: due, or empty if no such job waits
local out = {}
for i = 2, #ARGV do
	local job = jobsOf(KEYS[1], ARGV[i])[ARGV[1]]
	local waits = job and job[1] ~= NONE and (job[2] == NONE or job[3] ~= job[4])
	out[#out + 1] = waits and job[1] or ''
end
return out
