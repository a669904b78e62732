-- Reads what a group of changes to one key needs.
-- KEYS: 1 keys, 2 entries, 3 incidents, 4 epoch
-- ARGV: 1 key, 2 number of incidents, their ids, then fingerprints
-- Result: {seconds, microseconds, epoch or nil, the key's record or nil,
--   {incidents asked for, or nil each, and the key's own behind them if it names one},
--   {entries, or nil each}, {id and reference of other incidents that entries name}}
local key, asked = ARGV[1], tonumber(ARGV[2])
local now = redis.call('TIME')
local record = redis.call('HGET', KEYS[1], key)
local ids = {}
for i = 1, asked do ids[i] = ARGV[2 + i] end
local own = record and string.sub(record, 9, 24) or NOBODY
if own ~= NOBODY then ids[asked + 1] = own end
local fields = {}
for i = asked + 3, #ARGV do fields[#fields + 1] = key .. ARGV[i] end
local entries = fetch(KEYS[2], fields)
local others, seen = {}, {[own] = true, [NOBODY] = true}
for i = 1, #entries do
	local id = entries[i] and string.sub(entries[i], 1, 16) or NOBODY
	if not seen[id] then
		seen[id] = true
		local incident = redis.call('HGET', KEYS[3], id)
		if incident then
			others[#others + 1] = id
			others[#others + 1] = reference(incident)
		end
	end
end
return {now[1], now[2], redis.call('GET', KEYS[4]), record, fetch(KEYS[3], ids), entries, others}
