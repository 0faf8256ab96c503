-- Entries of `index.json` that are carried along. `k` has the rows, `K` their keys in order, `kd` and `kn` the keys by
-- digest and by name. A line is text in base64.

function carried.get(entry_key)
  return row(mine('k'), entry_key)
end

function carried.put(entry_key, entry)
  local before = carried.get(entry_key)
  scope.count_unread((entry.unread and 1 or 0) - (before and before.unread and 1 or 0))
  put(mine('k'), entry_key, entry)
  call('ZADD', mine('K'), '0', entry_key)
  if entry.digest then
    call('SADD', mine('kd', entry.digest), entry_key)
  end
  if entry.name then
    call('SADD', mine('kn', entry.name), entry_key)
  end
end

function carried.drop(entry_key, entry)
  scope.count_unread(entry.unread and -1 or 0)
  call('HDEL', mine('k'), entry_key)
  call('ZREM', mine('K'), entry_key)
  if entry.digest then
    call('SREM', mine('kd', entry.digest), entry_key)
  end
  if entry.name then
    call('SREM', mine('kn', entry.name), entry_key)
  end
end

-- Return the entries of a set of keys (`kd` or `kn`), in the order of keys.
function carried.of(set)
  local keys, found = call('SMEMBERS', set), {}
  table.sort(keys)
  for _, entry_key in ipairs(keys) do
    found[#found + 1] = { key = entry_key, entry = carried.get(entry_key) }
  end
  return found
end

function carried.of_digest(digest)
  return carried.of(mine('kd', digest))
end

-- Tell whether `index.json` itself lists a digest.
function carried.lists(digest)
  for _, each in ipairs(carried.of_digest(digest)) do
    if each.entry.line ~= '' then
      return true
    end
  end
  return false
end

-- Count the entries of a manifest that is stored now as read; only a name keeps one.
function carried.read(digest)
  for _, each in ipairs(carried.of_digest(digest)) do
    if each.entry.line == '' or not each.entry.name then
      carried.drop(each.key, each.entry)
    elseif each.entry.unread then
      local entry = carried.get(each.key)
      entry.unread = nil
      carried.put(each.key, entry)
    end
  end
end

-- Drop the entries that a tag stands for now.
function carried.replaced_by_tag(digest, tag, written)
  for _, each in ipairs(carried.of_digest(digest)) do
    if each.entry.name == tag or each.entry.name == written then
      carried.drop(each.key, each.entry)
    end
  end
end
