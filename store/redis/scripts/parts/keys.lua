-- The record of a key: version (1-8), its incident (9-24), number of its latest page
-- (25-28), how many were listed on that (29), number of ids (30) and of callers (31),
-- the ids of the latest changes (8 each), the callers with the version that each
-- committed last (16 each), then what no script looks at.
-- lastOf returns the version that a caller committed last, as far as that is kept.
local function lastOf(record, caller)
	local at = 32 + 8 * (string.byte(record, 30) or 0)
	for i = at, at + 16 * ((string.byte(record, 31) or 0) - 1), 16 do
		if string.sub(record, i, i + 7) == caller then return string.sub(record, i + 8, i + 15) end
	end
end
