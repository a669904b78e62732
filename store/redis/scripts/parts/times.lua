-- Times are 12 bytes: seconds since the beginning of the year 1 and
-- nanoseconds, big endian; all zero is no time. Numbers are compared as numbers
-- and never as strings, because the server's locale orders those.
local NONE = string.rep('\0', 12)

local function after(a, b)
	local as, an = struct.unpack('>I8I4', a)
	local bs, bn = struct.unpack('>I8I4', b)
	return as > bs or as == bs and an > bn
end

local function later(a, b)
	if after(b, a) then return b end
	return a
end

local function milliseconds(t)
	local s, n = struct.unpack('>I8I4', t)
	return (s - 62135596800) * 1000 + math.floor(n / 1000000)
end

local function number(s) return (struct.unpack('>I8', s)) end
