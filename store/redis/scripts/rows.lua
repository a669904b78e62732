-- Reads rows of a hash, as many as fit.
-- KEYS: 1 the hash, 2 another one with the same fields (optional)
-- ARGV: 1 how many bytes are enough, then fields
-- Result: for each field from the first on, as far as was read: its value in
--   the one and, if there is another, in the other, nil for what does not exist
local out, size = {}, 0
for i = 2, #ARGV do
	for k = 1, #KEYS do
		local value = redis.call('HGET', KEYS[k], ARGV[i])
		if value then size = size + #value end
		out[#out + 1] = value
	end
	if size >= tonumber(ARGV[1]) then break end
end
return out
