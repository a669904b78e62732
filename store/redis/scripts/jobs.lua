-- Lists the jobs of subjects.
-- KEYS: 1 jobs
-- ARGV: subjects
-- Result: for each job: subject, kind and target, due, attempts, error, and how
--   many things are known of it, which is at most 7 in this version
local out = {}
for i = 1, #ARGV do
	for name, job in pairs(jobsOf(KEYS[1], ARGV[i])) do
		for _, v in ipairs({ARGV[i], name, job[1], job[5], job[6], #job}) do out[#out + 1] = v end
	end
end
return out
