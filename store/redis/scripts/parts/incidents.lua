local NOBODY = string.rep('\0', 16)

-- An incident: occurrences (1-8), key (9-24), the length of its reference (25),
-- the reference, then what no script looks at.
local function reference(incident) return string.sub(incident, 26, 25 + string.byte(incident, 25)) end

-- occurred adds n occurrences to an incident that exists.
local function occurred(key, id, n)
	local known = redis.call('HGET', key, id)
	if known and #known >= 33 then -- else it is damaged, and says so when it is read
		redis.call('HSET', key, id, struct.pack('>I8', number(known) + n) .. string.sub(known, 9))
	end
end
