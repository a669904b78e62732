-- Reads what a group of changes to one key needs.
-- KEYS: 1 keys, 2 entries, 3 incidents
-- ARGV: 1 key, 2 fields of entries, 32 bytes each, then ids of incidents that are asked for
-- Result: {epoch or nil, the key's record or nil, {incidents asked for, or nil each,
--   and the key's own behind them if it names one}, {entries, or nil each},
--   {id and reference of other incidents that entries name}}
local NOBODY = string.rep('\0', 16)
local record, wanted = redis.call('HGET', KEYS[1], ARGV[1]), ARGV[2]
local own = record and string.sub(record, 9, 24) or NOBODY
local incidents = {}
for i = 3, #ARGV do incidents[i - 2] = redis.call('HGET', KEYS[3], ARGV[i]) end
if own ~= NOBODY then incidents[#ARGV - 1] = redis.call('HGET', KEYS[3], own) end

local entries, fields = nil, {}
for at = 1, #wanted, 32 do
	fields[#fields + 1] = string.sub(wanted, at, at + 31)
	if #fields == 1000 and at + 32 < #wanted then
		entries = entries or {}
		for _, v in ipairs(redis.call('HMGET', KEYS[2], unpack(fields))) do entries[#entries + 1] = v end
		fields = {}
	end
end
if entries then
	for _, v in ipairs(redis.call('HMGET', KEYS[2], unpack(fields))) do entries[#entries + 1] = v end
elseif #fields > 0 then
	entries = redis.call('HMGET', KEYS[2], unpack(fields))
else
	entries = {}
end

local others, seen = {}, nil
for i = 1, #entries do
	local entry = entries[i]
	local id = entry and string.sub(entry, 1, 16) or own
	if id ~= own and id ~= NOBODY and not (seen and seen[id]) then
		seen = seen or {}
		seen[id] = true
		local incident = redis.call('HGET', KEYS[3], id)
		if incident then
			others[#others + 1] = id
			others[#others + 1] = string.sub(incident, 26, 25 + string.byte(incident, 25))
		end
	end
end
return {redis.call('HGET', KEYS[1], 'epoch'), record, incidents, entries, others}
