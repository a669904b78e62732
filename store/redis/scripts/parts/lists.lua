-- all calls a command with key and list[from..to], a thousand arguments at a time.
local function all(command, key, list, from, to)
	for i = from, to, 1000 do
		redis.call(command, key, unpack(list, i, math.min(i + 999, to)))
	end
end

-- fetch is HMGET of any number of fields.
local function fetch(key, fields)
	if #fields == 0 then return {} end
	if #fields <= 1000 then return redis.call('HMGET', key, unpack(fields)) end
	local out = {}
	for i = 1, #fields, 1000 do
		for _, v in ipairs(redis.call('HMGET', key, unpack(fields, i, math.min(i + 999, #fields)))) do
			out[#out + 1] = v
		end
	end
	return out
end
