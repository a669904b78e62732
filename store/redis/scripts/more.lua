-- Reads what a step asked for.
-- KEYS: 1 entries, 2 contents, 3 incidents
-- ARGV: 1 number of incidents, their ids, then key and fingerprint of entries
-- Result: {{incidents}, {entries}, {contents}}, nil for what does not exist
local asked = tonumber(ARGV[1])
local ids, fields = {}, {}
for i = 1, asked do ids[i] = ARGV[1 + i] end
for i = asked + 2, #ARGV do fields[#fields + 1] = ARGV[i] end
return {fetch(KEYS[3], ids), fetch(KEYS[1], fields), fetch(KEYS[2], fields)}
