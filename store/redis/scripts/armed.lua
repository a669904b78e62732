-- Says when jobs are due that nobody is at.
-- KEYS: 1 jobs
-- ARGV: 1 kind and target, then subjects
-- Result: for each subject: due, or empty if no such job waits
local out = {}
for i = 2, #ARGV do
	local job = jobsOf(KEYS[1], ARGV[i])[ARGV[1]]
	local due = job and waits(job) or NONE
	out[#out + 1] = due ~= NONE and due or ''
end
return out
