-- pagesOf gathers what becomes of pages of one hash; fields that are to be set go to rows.
local function pagesOf(hash, order, rows)
	local before, after = {}, {}
	local function load(page, old)
		if after[page] == nil then
			if old == nil then old = redis.call('HGET', hash, page) end
			before[page], after[page] = old, old or ''
		end
		return after[page]
	end
	return {
		-- add lists more fingerprints on a page. Old is its value, if that was read: false if there is none.
		add = function(page, fingerprints, old) after[page] = load(page, old) .. fingerprints end,
		-- take takes a fingerprint off a page.
		take = function(page, fingerprint)
			local list = load(page)
			for i = 1, #list, 16 do
				if string.sub(list, i, i + 15) == fingerprint then
					after[page] = string.sub(list, 1, i - 1) .. string.sub(list, i + 16)
					return
				end
			end
		end,
		keep = function()
			for page, list in pairs(after) do
				if list == '' then
					redis.call('HDEL', hash, page)
					redis.call('ZREM', order, page)
				else
					rows[#rows + 1] = page
					rows[#rows + 1] = list
					if not before[page] then redis.call('ZADD', order, 0, page) end
				end
			end
		end,
	}
end
