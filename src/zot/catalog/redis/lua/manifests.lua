-- Commands on manifests. `m` has the rows, `M` their digests in order, `c` the contents, `e` what each names; `x` which
-- manifests name a digest, oldest first, `xc` which indexes list it, `s` the manifests with a subject; `ac` listed
-- manifests that are not here; `lm` what nothing keeps, `lmu` of these what has no mark, `mm` the marks.

function manifests.get(digest)
  return row(mine('m'), digest)
end

local function is_listed(digest)
  return call('EXISTS', mine('xc', digest)) == 1
end

local function is_kept(digest, manifest)
  if call('EXISTS', mine('g', digest)) == 1 or is_listed(digest) then
    return true
  end
  if manifest.subject and call('HEXISTS', mine('m'), manifest.subject) == 1 then
    return true
  end
  return carried.lists(digest)
end

-- Record whether something keeps a manifest. Called whenever that may have changed.
function manifests.settle(digest)
  local manifest = manifests.get(digest)
  if not manifest or is_kept(digest, manifest) then
    -- What has a mark or lacks one is among those that nothing keeps.
    if call('ZREM', mine('lm'), digest) == 1 then
      call('ZREM', mine('lmu'), digest)
      call('HDEL', mine('mm'), digest)
    end
    return
  end
  call('ZADD', mine('lm'), '0', digest)
  if call('HEXISTS', mine('mm'), digest) == 0 then
    call('ZADD', mine('lmu'), '0', digest)
  end
end

-- Clear the mark of a manifest that nothing keeps.
local function clear_mark(digest)
  if call('HDEL', mine('mm'), digest) == 1 then
    call('ZADD', mine('lmu'), '0', digest)
  end
end

-- Settle what a manifest keeps: what it lists, and what refers to it.
local function settle_dependents(digest, edges)
  for _, edge in ipairs(edges) do
    if edge.child then
      manifests.settle(edge.digest)
    end
  end
  for _, referrer in ipairs(call('ZRANGE', mine('s', digest), 0, -1)) do
    manifests.settle(referrer)
  end
end

local function named_as(digest, edge)
  return digest .. ' ' .. edge.media_type
end

local function add_edges(digest, edges, number)
  for _, edge in ipairs(edges) do
    call('ZADD', mine('x', edge.digest), number, named_as(digest, edge))
    if edge.child then
      call('ZADD', mine('xc', edge.digest), '0', digest)
      if call('HEXISTS', mine('m'), edge.digest) == 0 then
        call('ZADD', mine('ac'), '0', edge.digest)
      end
    end
    local blob = blobs.get(edge.digest)
    if blob then
      blobs.referenced(edge.digest, blob)
    end
  end
end

local function remove_edges(digest, edges)
  for _, edge in ipairs(edges) do
    call('ZREM', mine('x', edge.digest), named_as(digest, edge))
    if edge.child then
      call('ZREM', mine('xc', edge.digest), digest)
      if not is_listed(edge.digest) then
        call('ZREM', mine('ac'), edge.digest)
        for _, each in ipairs(carried.of_digest(edge.digest)) do
          if each.entry.line == '' then
            carried.drop(each.key, each.entry)
          end
        end
      end
    end
    blobs.settle(edge.digest, blobs.get(edge.digest))
  end
end

function manifests.mend(digest, bytes)
  if call('HGET', mine('c'), digest) ~= bytes then
    call('HSET', mine('c'), digest, bytes)
    scope.changed()
  end
end

-- Date a manifest as pushed now.
function manifests.renew(digest)
  local manifest = manifests.get(digest)
  manifest.pushed_ns = ns(us)
  put(mine('m'), digest, manifest)
end

-- Store a manifest unless it is there; return whether it was stored. What it names loses its mark.
function manifests.store(entry, bytes, pushed_ns, whole)
  scope.create()
  local digest = entry.digest
  if manifests.get(digest) then
    manifests.mend(digest, bytes)
    return false
  end
  local edges = {}
  for i, edge in ipairs(entry.edges) do
    edges[i] = { digest = edge.digest, media_type = edge.media_type, child = edge.child }
  end
  put(mine('m'), digest, {
    media_type = entry.media_type, size = #bytes, artifact_type = entry.artifact_type, subject = entry.subject,
    annotations = cjson.encode(entry.annotations), pushed_ns = pushed_ns, by = command.by, whole = whole,
  })
  call('HSET', mine('c'), digest, bytes)
  call('ZADD', mine('M'), '0', digest)
  call('SADD', key('holding'), repository)
  if #edges > 0 then
    put(mine('e'), digest, edges)
  end
  if entry.subject then
    call('ZADD', mine('s', entry.subject), '0', digest)
  end
  call('ZREM', mine('ac'), digest)
  add_edges(digest, edges, call('HINCRBY', mine('r'), 'number', 1))
  scope.count_unread(whole and 0 or 1)
  carried.read(digest)
  local blob = blobs.get(digest)
  if blob then
    blobs.referenced(digest, blob)
  end
  -- Beside a present blob it weighs nothing.
  scope.grow(blob and not blob.doom and 0 or #bytes)
  settle_dependents(digest, edges)
  -- A tag that comes to it now settles it.
  if #(entry.tags or {}) == 0 then
    manifests.settle(digest)
  end
  scope.changed()
  scope.log('manifest stored', nil, nil, digest, entry.media_type)
  return true
end

local function too_many_repositories()
  local limit = command.repositories_limit
  if not limit or call('HLEN', mine('m')) > 0 then
    return nil
  end
  local used = call('SCARD', key('holding'))
  return used >= limit and { type = 'OverQuota', limit = limit, used = used, of_repositories = true, patterns = {} }
end

local function missing_blobs()
  local needed, missing = {}, {}
  for _, edge in ipairs(command.edges) do
    if not edge.child and not edge.optional then
      needed[#needed + 1] = edge.digest
    end
  end
  for i, packed in ipairs(values(mine('b'), needed)) do
    if not packed or cmsgpack.unpack(packed).doom then
      missing[#missing + 1] = needed[i]
    end
  end
  return #missing > 0 and { type = 'MissingBlobs', digests = missing }
end

function handlers.PutManifest()
  local digest, bytes = command.digest, content(1)
  local refused = tags.refused(command.tags, digest) or too_many_repositories() or missing_blobs()
    or blobs.over_quota(digest, #bytes)
  if refused then
    return refused
  end
  local created = manifests.store(command, bytes, ns(us), true)
  if not created then
    clear_mark(digest)
    if #command.tags > 0 and call('EXISTS', mine('g', digest)) == 0 then
      manifests.renew(digest)
    end
  end
  return { type = 'Stored', created = created, changes = tags.move(command.tags, digest) }
end

function handlers.MendManifest()
  local is_here = manifests.get(command.digest) ~= nil
  if is_here then
    manifests.mend(command.digest, content(1))
  end
  return is_here
end

function handlers.TouchManifest()
  clear_mark(command.digest)
  return manifests.get(command.digest) ~= nil
end

-- Delete the carried entries of a digest of which there is no manifest.
local function delete_carried()
  local found = carried.of_digest(command.digest)
  if #found == 0 then
    return { type = 'Absent' }
  end
  for _, each in ipairs(found) do
    carried.drop(each.key, each.entry)
  end
  scope.changed()
  return { type = 'Deleted', digest = command.digest, media_type = found[1].entry.media_type, tags = {} }
end

-- Tell whether a manifest's tags, sorted, are exactly those.
local function are_same(tagged, wanted)
  local expected, count = {}, 0
  for _, tag in ipairs(wanted) do
    count = count + (expected[tag] and 0 or 1)
    expected[tag] = true
  end
  for _, tag in ipairs(tagged) do
    if not expected[tag] then
      return false
    end
  end
  return count == #tagged
end

local function is_marked_before(digest, marked_before_s)
  local marked_s = call('HGET', mine('mm'), digest)
  return marked_s and tonumber(marked_s) <= marked_before_s and not scope.is_unread()
end

function handlers.RemoveManifest()
  local digest, manifest = command.digest, manifests.get(command.digest)
  if not manifest then
    return command.marked_before_s and { type = 'Absent' } or delete_carried()
  end
  local tagged = tags.of(digest)
  if (command.if_tags and not are_same(tagged, command.if_tags))
    or (command.marked_before_s and not is_marked_before(digest, command.marked_before_s)) then
    return { type = 'TagsDiffer', tags = tagged }
  end
  local indexes = call('ZRANGE', mine('xc', digest), 0, -1)
  if #indexes > 0 then
    return { type = 'Referenced', by = indexes }
  end
  for _, tag in ipairs(tagged) do
    tags.point(tag, nil)
  end
  local before, edges = blobs.weight(digest), row(mine('e'), digest) or {}
  for _, hash in ipairs({ 'm', 'c', 'e', 'mm' }) do
    call('HDEL', mine(hash), digest)
  end
  call('ZREM', mine('M'), digest)
  if call('HLEN', mine('m')) == 0 then
    call('SREM', key('holding'), repository)
  end
  if manifest.subject then
    call('ZREM', mine('s', manifest.subject), digest)
  end
  scope.count_unread(manifest.whole and 0 or -1)
  for _, each in ipairs(carried.of_digest(digest)) do
    carried.drop(each.key, each.entry)
  end
  remove_edges(digest, edges)
  blobs.settle(digest, blobs.get(digest))
  scope.grow(blobs.weight(digest) - before)
  settle_dependents(digest, edges)
  manifests.settle(digest)
  scope.changed()
  scope.log('manifest deleted', nil, digest, nil, manifest.media_type)
  return { type = 'Deleted', digest = digest, media_type = manifest.media_type, tags = tagged }
end

function handlers.RemoveRepository()
  local kept = call('HLEN', mine('m')) + call('HLEN', mine('b')) + call('HLEN', mine('k'))
    + call('SCARD', mine('claimed')) + call('HLEN', mine('uc'))
  if kept > 0 then
    return false
  end
  scope.forget()
  return true
end
