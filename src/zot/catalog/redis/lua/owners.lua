-- Commands on owners, named leases and the change log.

local function drop_claims(owner)
  for _, member in ipairs(call('SMEMBERS', key('claims', owner))) do
    local name, digest, token = string.match(member, '^(%S+) (%S+) (.*)$')
    repository = name
    claims.drop(digest, token)
  end
  repository = command.repository
end

local function end_owner(owner)
  local known = row(key('owners'), owner) or { expires_us = us }
  known.ended = known.ended or us
  put(key('owners'), owner, known)
  drop_claims(owner)
  local leases = call('HGETALL', key('leases'))
  for i = 1, #leases, 2 do
    local lease = cmsgpack.unpack(leases[i + 1])
    if lease.owner == owner then
      put(key('leases'), leases[i], { fence = lease.fence })
    end
  end
end

-- End the leases of other owners: of those that have expired, or of all. Return them, sorted.
local function end_others(is_ending)
  local owners, ended = call('HGETALL', key('owners')), {}
  for i = 1, #owners, 2 do
    local known = cmsgpack.unpack(owners[i + 1])
    if known.ended then
      if known.ended <= us - 7 * 86400 * 1000000 then
        call('HDEL', key('owners'), owners[i])
      end
    elseif owners[i] ~= command.owner and is_ending(known) then
      ended[#ended + 1] = owners[i]
    end
  end
  table.sort(ended)
  for _, owner in ipairs(ended) do
    end_owner(owner)
  end
  return ended
end

function handlers.RenewOwner()
  local known = row(key('owners'), command.owner) or {}
  if known.ended then
    return false
  end
  known.expires_us = us + command.lease_s * 1000000
  put(key('owners'), command.owner, known)
  return true
end

function handlers.EndOwner()
  end_owner(command.owner)
end

function handlers.EndExpiredOwners()
  return end_others(function(known) return known.expires_us <= us end)
end

-- No command of the catalog: a start on the store of that id begins. With `is_alone` its locks prove that the processes
-- of all earlier owners are gone. Returns the store that the catalog belongs to.
function handlers.Begin()
  local store = call('GET', key('store'))
  if not store then
    store = command.store
    call('SET', key('store'), store)
  end
  if store == command.store then
    if command.is_alone then
      end_others(function() return true end)
    end
    handlers.RenewOwner()
  end
  return store
end

function handlers.AcquireLease()
  local lease = row(key('leases'), command.name) or { fence = 0 }
  if not lease.owner then
    lease = { owner = command.owner, fence = lease.fence + 1 }
    put(key('leases'), command.name, lease)
  end
  return lease.owner == command.owner and { name = command.name, owner = lease.owner, fence = lease.fence } or nil
end

function handlers.ReleaseLease()
  local lease = row(key('leases'), command.lease.name)
  if not lease or lease.owner ~= command.lease.owner or lease.fence ~= command.lease.fence then
    return false
  end
  put(key('leases'), command.lease.name, { fence = lease.fence })
  return true
end

-- Tell whether an entry is the history of a tag: of a repository that exists, since it was created.
local function is_history(entry, sequence)
  local created = entry.tag and call('HGET', key('r', entry.repository), 'created')
  return created and sequence > tonumber(created)
end

function handlers.TrimChanges()
  local trimmed, newest, aged = trimmed_changes(), newest_change(), 0
  local limit = math.max(0, command.limit)
  local until_us = us - command.older_than_s * 1000000
  for sequence = trimmed + 1, math.min(trimmed + limit, newest) do
    if row(key('log'), integer(sequence)).at_us > until_us then
      break
    end
    aged = sequence
  end
  local wanted = math.max(newest - command.keep, aged)
  local horizon = math.max(trimmed, math.min(wanted, trimmed + limit, newest - 1))
  for sequence = trimmed + 1, horizon do
    if not is_history(row(key('log'), integer(sequence)), sequence) then
      call('HDEL', key('log'), integer(sequence))
    end
  end
  call('SET', key('trimmed'), integer(horizon))
  return horizon - trimmed
end
