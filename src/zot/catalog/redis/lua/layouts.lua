-- Commands of import and export. The fields of `r` tell how the layout stands; `due` has the repositories to export.

local function is_same(entry, known)
  return known and known.line == entry.line and known.digest == entry.digest and known.name == entry.name
    and known.media_type == entry.media_type and known.unread == entry.unread
end

local function import_carried()
  local dropped = {}
  for _, entry_key in ipairs(command.dropped) do
    dropped[entry_key] = true
    local known = carried.get(entry_key)
    if known then
      carried.drop(entry_key, known)
      scope.changed()
      if known.digest then
        manifests.settle(known.digest)
      end
    end
  end
  for _, entry in ipairs(command.carried) do
    if not dropped[entry.key] and not is_same(entry, carried.get(entry.key)) then
      carried.put(entry.key, {
        line = entry.line, digest = entry.digest, name = entry.name, media_type = entry.media_type, unread = entry.unread,
      })
      scope.changed()
      if entry.digest then
        manifests.settle(entry.digest)
      end
    end
  end
end

-- Set a tag by its condition; return whether it points where the layout has it.
local function take_tag(each)
  local before = tags.at(each.tag)
  if before == each.digest then
    return true
  end
  if before ~= each.if_digest or not manifests.get(each.digest) then
    return false
  end
  tags.point(each.tag, each.digest, each.written)
  return true
end

function handlers.ImportLayout()
  scope.create()
  for _, blob in ipairs(command.blobs) do
    if not blobs.get(blob.digest) then
      blobs.add(blob.digest, blob.size)
    end
  end
  for i, manifest in ipairs(command.manifests) do
    manifests.store(manifest, content(i), manifest.pushed_ns, manifest.whole)
  end
  import_carried()
  if command.complete then
    call('HSET', mine('r'), 'imported', 1)
    local due = call('HGET', mine('r'), 'due')
    if due then
      call('ZADD', key('due'), due, repository)
    end
  end
  local elsewhere = {}
  for _, each in ipairs(command.tags) do
    if not take_tag(each) then
      elsewhere[#elsewhere + 1] = each.tag
    end
  end
  return elsewhere
end

function handlers.BeginExport()
  local is_imported = call('HGET', mine('r'), 'imported') == '1'
  if is_imported then
    call('HSET', mine('r'), 'intent', command.digest)
  end
  return is_imported
end

function handlers.FinishExport()
  if not scope.exists() or command.revision < tonumber(call('HGET', mine('r'), 'exported')) then
    return nil
  end
  call('HSET', mine('r'), 'exported', integer(command.revision), 'digest', command.digest,
    'signature', command.signature)
  call('HDEL', mine('r'), 'intent')
  -- What changed during the export waits behind the repositories that are due already.
  if tonumber(call('HGET', mine('r'), 'revision')) > command.revision then
    call('HSET', mine('r'), 'due', integer(us))
    if call('HGET', mine('r'), 'imported') == '1' then
      call('ZADD', key('due'), us, repository)
    end
  else
    call('HDEL', mine('r'), 'due')
    call('ZREM', key('due'), repository)
  end
  return nil
end

function handlers.QueueExport()
  scope.changed()
end
