-- Writes or deletes a document if its version is the expected one.
-- A document: version (1-8), id of the write (9-16), time (17-28), text.
-- KEYS: 1 documents, 2 their order
-- ARGV: 1 id, 2 expected version, 3 id of this write, 4 now, 5 text (empty: delete)
-- Result: {1, version now}, also if this write was carried out before; {0, version} on a conflict
local row = redis.call('HGET', KEYS[1], ARGV[1])
local version = row and number(row) or 0
if row and string.sub(row, 9, 16) == ARGV[3] then return {1, version} end
if not row and ARGV[5] == '' then return {1, 0} end -- gone is gone, and the answer that said so may be lost
if version ~= tonumber(ARGV[2]) then return {0, version} end
if ARGV[5] == '' then
	redis.call('HDEL', KEYS[1], ARGV[1])
	redis.call('ZREM', KEYS[2], ARGV[1])
	return {1, 0}
end
redis.call('HSET', KEYS[1], ARGV[1], struct.pack('>I8', version + 1) .. ARGV[3] .. ARGV[4] .. ARGV[5])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return {1, version + 1}
