-- What a command works with: its repository, at one time of the catalog's clock.

local command = cmsgpack.unpack(ARGV[2])
local repository, handlers = command.repository, {}
local blobs, claims, uploads, carried, tags, manifests = {}, {}, {}, {}, {}, {}

-- The time of the last command, the outcome of this one if it was carried out before, and whether a start has begun.
local begin = call('MGET', key('clock'), key('id', command.id), key('store'))

-- Later than in every command before, whatever the server's clock does.
local us = math.max(now_us(), tonumber(begin[1] or 0) + 1)

local function mine(kind, part)
  return key(kind, repository, part)
end

-- The i-th of the contents that travel beside the command, as they are.
local function content(i)
  return ARGV[3 + i]
end

local scope = { is_changed = false }

function scope.exists()
  if scope.is_there == nil then
    scope.is_there = call('EXISTS', mine('r')) == 1
  end
  return scope.is_there
end

function scope.log(kind, tag, before, after, media_type)
  local sequence = call('INCR', key('sequence'))
  put(key('log'), integer(sequence), {
    kind = kind, repository = repository, tag = tag, before = before, after = after, media_type = media_type,
    at_us = us, by = command.by, source = command.source,
  })
  if tag then
    call('ZADD', mine('hl'), sequence, integer(sequence))
    call('ZADD', mine('ht'), '0', tag .. ' ' .. string.format('%016.0f', sequence))
  end
  return sequence
end

function scope.create()
  if scope.exists() then
    return
  end
  local created = scope.log('repository created')
  call('HSET', mine('r'), 'created', integer(created), 'imported', 0, 'revision', 0, 'exported', 0, 'unread', 0)
  call('ZADD', key('repositories'), '0', repository)
  call('INCR', key('names'))
  scope.is_there = true
end

-- Give the repository a new revision, once a command, and make an export due.
function scope.changed()
  if scope.is_changed or not scope.exists() then
    return
  end
  scope.is_changed = true
  call('HINCRBY', mine('r'), 'revision', 1)
  if call('HSETNX', mine('r'), 'due', integer(us)) == 1 and call('HGET', mine('r'), 'imported') == '1' then
    call('ZADD', key('due'), us, repository)
  end
end

function scope.grow(bytes)
  if bytes ~= 0 then
    call('HINCRBY', key('bytes'), repository, bytes)
    call('INCRBY', key('total'), bytes)
  end
end

function scope.is_unread()
  return tonumber(call('HGET', mine('r'), 'unread') or 0) > 0
end

function scope.count_unread(count)
  if count ~= 0 then
    call('HINCRBY', mine('r'), 'unread', count)
  end
end

-- Remove the repository, its uploads, and what is kept as history of its tags alone.
function scope.forget()
  for _, session in ipairs(call('SMEMBERS', mine('ur'))) do
    call('DEL', key('u', session))
    call('ZREM', key('uploads'), session)
  end
  call('DEL', mine('ur'))
  if not scope.exists() then
    return
  end
  for _, sequence in ipairs(call('ZRANGEBYSCORE', mine('hl'), '-inf', trimmed_changes())) do
    call('HDEL', key('log'), sequence)
  end
  call('DEL', mine('r'), mine('hl'), mine('ht'))
  scope.is_there = false
  call('HDEL', key('bytes'), repository)
  call('ZREM', key('repositories'), repository)
  call('ZREM', key('due'), repository)
  call('INCR', key('names'))
  scope.log('repository removed')
end

-- What is used of a quota: `names` are the repositories that match, which the caller found at a count of names.
local function used_bytes(quota)
  if quota.everything then
    return tonumber(call('GET', key('total')) or 0)
  end
  local used = 0
  for _, bytes in ipairs(values(key('bytes'), quota.names or { repository })) do
    used = used + tonumber(bytes or 0)
  end
  return used
end

-- Return the first quota that would be exceeded. A change that adds no bytes is never refused.
local function exceeded_quota(growth_bytes)
  if growth_bytes <= 0 then
    return nil
  end
  for _, quota in ipairs(command.quotas) do
    local used = used_bytes(quota)
    if used + growth_bytes > tonumber(quota.limit_bytes) then
      return {
        type = 'OverQuota', limit = quota.limit_bytes, used = used, of_repositories = false, patterns = quota.patterns,
      }
    end
  end
  return nil
end
