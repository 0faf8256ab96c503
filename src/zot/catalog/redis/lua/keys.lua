-- Keys and rows, for commands and reads alike.
--
-- KEYS[1] is the prefix of all keys of the store. It has the one hash tag, so that a cluster keeps them in one slot.
-- A row is a MessagePack map in a hash. Lua's numbers are doubles, so times are microseconds here; a time in
-- nanoseconds that other programs gave is text. Scores are text where they are 0: Redis prints a number that a script
-- passes with 17 digits first.

local call, NULL, PREFIX = redis.call, cjson.null, KEYS[1]

-- The most values that one call gets: Lua's stack has about 8,000.
local SLICE = 4000

local function key(kind, name, part)
  if part then
    return PREFIX .. kind .. ':' .. name .. ':' .. part
  end
  return name and PREFIX .. kind .. ':' .. name or PREFIX .. kind
end

local function row(hash, field)
  local packed = call('HGET', hash, field)
  return packed and cmsgpack.unpack(packed) or nil
end

local function put(hash, field, value)
  call('HSET', hash, field, cmsgpack.pack(value))
end

-- Return the values of many fields of a hash, in slices; false where there is none.
local function values(hash, fields)
  local found = {}
  for start = 1, #fields, SLICE do
    local slice = call('HMGET', hash, unpack(fields, start, math.min(start + SLICE - 1, #fields)))
    for _, value in ipairs(slice) do
      found[#found + 1] = value
    end
  end
  return found
end

local function integer(number)
  return string.format('%.0f', number)
end

-- Return a time of this clock in nanoseconds, as text.
local function ns(us)
  return us == 0 and '0' or integer(us) .. '000'
end

local function now_us()
  local time = call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function newest_change()
  return tonumber(call('GET', key('sequence')) or 0)
end

local function trimmed_changes()
  return tonumber(call('GET', key('trimmed')) or 0)
end

-- Tell whether a start has begun the catalog: not if the server was emptied since.
local function is_begun()
  return call('EXISTS', key('store')) == 1
end

local function is_alive(owner)
  local known = row(key('owners'), owner)
  return known ~= nil and not known.ended
end
