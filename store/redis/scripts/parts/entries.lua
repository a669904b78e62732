-- An entry: incident (1-16), count (17-24), last seen (25-36), valid until
-- (37-48), start (49-60), firing (61), number of the page that lists it (62-65),
-- then what no script looks at.
local function pageOf(entry) return string.sub(entry, 62, 65) end

-- counted returns an entry with n more messages, the latest at seen, valid until valid.
local function counted(entry, n, seen, valid)
	return string.sub(entry, 1, 16) .. struct.pack('>I8', number(string.sub(entry, 17, 24)) + n) ..
		later(string.sub(entry, 25, 36), seen) .. valid .. string.sub(entry, 49)
end
