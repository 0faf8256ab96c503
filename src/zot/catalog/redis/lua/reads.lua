-- The reads of the catalog. Each returns rows as they are stored; nothing, or an empty list, if there is none.

local reads = {}

local function page(zset, after, limit)
  return call('ZRANGEBYLEX', zset, '(' .. after, '+', 'LIMIT', 0, limit)
end

-- Return each of some fields with its value in a hash.
local function with_values(hash, fields)
  local found = {}
  for i, value in ipairs(values(hash, fields)) do
    found[i] = { fields[i], value }
  end
  return found
end

local function lists(name, digest)
  for _, entry_key in ipairs(call('SMEMBERS', key('kd', name, digest))) do
    if row(key('k', name), entry_key).line ~= '' then
      return 1
    end
  end
  return 0
end

local function details(name, digest)
  local packed = call('HGET', key('m', name), digest)
  return packed and { digest, packed, call('ZRANGE', key('g', name, digest), 0, -1), lists(name, digest) }
end

function reads.repository(name)
  local fields = call('HMGET', key('r', name), 'imported', 'revision', 'exported')
  return fields[1] and { fields[1], call('HGET', key('bytes'), name), fields[2], fields[3] }
end

function reads.repositories(after, limit)
  return page(key('repositories'), after, limit)
end

function reads.names(after, limit)
  return is_begun() and { call('GET', key('names')), page(key('repositories'), after, limit) }
end

function reads.resolve(name, reference)
  local digest = reference
  if not string.find(reference, ':', 1, true) then
    local tag = row(key('t', name), reference)
    digest = tag and tag.digest
  end
  local packed = digest and call('HGET', key('m', name), digest)
  return packed and { digest, packed, call('HEXISTS', key('mm', name), digest) }
end

function reads.manifest_content(name, digest)
  return call('HGET', key('c', name), digest)
end

function reads.manifest(name, digest)
  return details(name, digest)
end

function reads.manifests(name, after, limit)
  local found = {}
  for i, digest in ipairs(page(key('M', name), after, limit)) do
    found[i] = details(name, digest)
  end
  return found
end

function reads.tags(name, after, limit)
  return with_values(key('t', name), page(key('T', name), after, limit))
end

function reads.tag(name, tag)
  return call('HGET', key('t', name), tag)
end

function reads.tag_log(name, before, limit, tag)
  local sequences = {}
  if tag then
    local last = '(' .. tag .. ' ' .. (before ~= '' and string.format('%016.0f', tonumber(before)) or ':')
    for i, member in ipairs(call('ZREVRANGEBYLEX', key('ht', name), last, '[' .. tag .. ' ', 'LIMIT', 0, limit)) do
      sequences[i] = integer(tonumber(string.sub(member, -16)))
    end
  else
    local last = before ~= '' and '(' .. before or '+inf'
    sequences = call('ZREVRANGEBYSCORE', key('hl', name), last, '-inf', 'LIMIT', 0, limit)
  end
  return with_values(key('log'), sequences)
end

function reads.changes(after, limit)
  if not is_begun() then
    return nil
  end
  local trimmed, newest, wanted = trimmed_changes(), newest_change(), {}
  local from = math.max(tonumber(after), trimmed) + 1
  for sequence = from, math.min(from + tonumber(limit) - 1, newest) do
    wanted[#wanted + 1] = integer(sequence)
  end
  return {
    trimmed, newest, call('HGET', key('log'), integer(newest)), call('HGET', key('log'), after),
    with_values(key('log'), wanted),
  }
end

function reads.referrers(name, subject, after, limit, ...)
  local wanted, found = {}, {}
  local types, digests = { ... }, nil
  for _, each in ipairs(types) do
    wanted[each] = true
  end
  limit = tonumber(limit)
  repeat
    digests = page(key('s', name, subject), after, 1000)
    for _, digest in ipairs(digests) do
      after = digest
      local packed = call('HGET', key('m', name), digest)
      if #found < limit and (#types == 0 or wanted[cmsgpack.unpack(packed).artifact_type or false]) then
        found[#found + 1] = { digest, packed }
      end
    end
  until #digests < 1000 or #found >= limit
  return found
end

function reads.blob(name, digest)
  local packed = call('HGET', key('b', name), digest)
  return packed and { packed, call('ZRANGE', key('x', name, digest), 0, 0)[1] or false }
end

function reads.blobs(name, after, limit)
  return with_values(key('b', name), page(key('B', name), after, limit))
end

function reads.held_content(name, digest)
  return call('HGET', key('h', name), digest)
end

function reads.held_blobs(name, after, limit)
  return with_values(key('b', name), page(key('H', name), after, limit))
end

function reads.repositories_with(digest, after, limit)
  return page(key('w', digest), after, limit)
end

function reads.upload(session)
  return call('GET', key('u', session))
end

function reads.uploads(idle_s, after, limit)
  local found, sessions, until_us = {}, nil, now_us() - tonumber(idle_s) * 1000000
  limit = tonumber(limit)
  repeat
    sessions = page(key('uploads'), after, 1000)
    for _, session in ipairs(sessions) do
      after = session
      local packed = call('GET', key('u', session))
      if #found < limit and cmsgpack.unpack(packed).updated_us <= until_us then
        found[#found + 1] = { session, packed }
      end
    end
  until #sessions < 1000 or #found >= limit
  return found
end

function reads.unreferenced_blobs(name, after, limit)
  return with_values(key('b', name), page(key('lb', name), after, limit))
end

function reads.dangling_manifests(name, after, limit)
  local found = {}
  for i, digest in ipairs(page(key('lm', name), after, limit)) do
    found[i] = { digest, call('HGET', key('m', name), digest), call('HGET', key('mm', name), digest) }
  end
  return found
end

function reads.doomed(limit)
  local abandoned, others = {}, {}
  limit = tonumber(limit)
  for _, member in ipairs(call('ZRANGE', key('doomed'), 0, -1)) do
    local name, digest = string.match(member, '^(%S+) (%S+)$')
    local packed = call('HGET', key('b', name), digest)
    local is_abandoned = not is_alive(cmsgpack.unpack(packed).owner)
    local list = is_abandoned and abandoned or others
    list[#list + 1] = { name, digest, packed, is_abandoned and 1 or 0 }
    if #abandoned >= limit then
      break
    end
  end
  for _, each in ipairs(others) do
    if #abandoned < limit then
      abandoned[#abandoned + 1] = each
    end
  end
  return limit > 0 and abandoned or {}
end

function reads.export(name)
  local fields = call('HMGET', key('r', name), 'revision', 'exported', 'digest', 'signature', 'intent')
  return fields[1] and fields
end

function reads.exports_due(limit)
  return call('ZRANGEBYSCORE', key('due'), '-inf', '+inf', 'LIMIT', 0, limit)
end

function reads.carried(name, after, limit)
  return with_values(key('k', name), page(key('K', name), after, limit))
end

function reads.carried_as(name, reference)
  local is_digest = string.find(reference, ':', 1, true)
  return with_values(key('k', name), call('SMEMBERS', key(is_digest and 'kd' or 'kn', name, reference)))
end

function reads.absent_children(name, after, limit)
  local found = {}
  for i, digest in ipairs(page(key('ac', name), after, limit)) do
    local index = call('ZRANGE', key('xc', name, digest), 0, 0)[1]
    for _, edge in ipairs(row(key('e', name), index)) do
      if edge.digest == digest then
        found[i] = { digest, edge.media_type }
      end
    end
  end
  return found
end

function reads.unread(name)
  return call('HGET', key('r', name), 'unread')
end

function reads.usage(after, limit)
  local found = {}
  for i, name in ipairs(page(key('repositories'), after, limit)) do
    found[i] = {
      name, call('HGET', key('bytes'), name) or 0, call('HLEN', key('t', name)), call('HLEN', key('m', name)),
      call('ZCARD', key('B', name)), call('HGET', key('r', name), 'unread'),
    }
  end
  return found
end
