-- Tags. `t` has the rows, `T` their names in order, `g` the tags that point to a manifest.

function tags.at(tag)
  local known = row(mine('t'), tag)
  return known and known.digest
end

function tags.of(digest)
  return call('ZRANGE', mine('g', digest), 0, -1)
end

-- Return why a tag, now at `before`, may not point to `after`. It may always stay.
function tags.refusal(move, before, after)
  if before == after then
    return nil
  end
  if move.expected and before ~= move.expected.digest then
    return 'points elsewhere'
  end
  if not before then
    return not move.may_create and 'may not create' or nil
  end
  if not move.may_move then
    return 'may not move'
  end
  return move.immutable and 'immutable' or nil
end

function tags.refused(moves, digest)
  for _, move in ipairs(moves) do
    local why = tags.refusal(move, tags.at(move.tag), digest)
    if why then
      return { type = 'TagRefused', tag = move.tag, why = why }
    end
  end
  return nil
end

-- Point a tag at a manifest, or nowhere, and log it.
function tags.point(tag, digest, written)
  local before = row(mine('t'), tag)
  if before then
    call('ZREM', mine('g', before.digest), tag)
  end
  if digest then
    put(mine('t'), tag, {
      digest = digest, created_us = before and before.created_us or us, moved_us = us, by = command.by, written = written,
    })
    call('ZADD', mine('T'), '0', tag)
    call('ZADD', mine('g', digest), '0', tag)
    carried.replaced_by_tag(digest, tag, written)
  else
    call('HDEL', mine('t'), tag)
    call('ZREM', mine('T'), tag)
  end
  local left = before and before.digest
  local stored = manifests.get(digest or left)
  local kind = not digest and 'tag deleted' or before and 'tag moved' or 'tag created'
  scope.log(kind, tag, left, digest, stored and stored.media_type)
  if digest then
    manifests.settle(digest)
  end
  if left then
    manifests.settle(left)
  end
  scope.changed()
end

-- Point tags at a manifest; return those that pointed elsewhere, with what they pointed to.
function tags.move(moves, digest)
  local changes = {}
  for _, move in ipairs(moves) do
    local before = tags.at(move.tag)
    if before ~= digest then
      changes[#changes + 1] = { move.tag, before or NULL }
      tags.point(move.tag, digest)
    end
  end
  return changes
end

function handlers.DeleteTag()
  local before = tags.at(command.tag)
  if before and command.if_digest and command.if_digest ~= before then
    return { type = 'Absent' }
  end
  local named = not command.if_digest and carried.of(mine('kn', command.tag)) or {}
  if not before and #named == 0 then
    return { type = 'Absent' }
  end
  if command.immutable then
    return { type = 'TagRefused', tag = command.tag, why = 'immutable' }
  end
  for _, each in ipairs(named) do
    carried.drop(each.key, each.entry)
    if each.entry.digest then
      manifests.settle(each.entry.digest)
    end
  end
  scope.changed()
  local deleted = { type = 'Deleted', tags = { command.tag } }
  if before then
    deleted.digest, deleted.media_type = before, manifests.get(before).media_type
    tags.point(command.tag, nil)
  else
    deleted.digest, deleted.media_type = named[1].entry.digest or NULL, named[1].entry.media_type
  end
  return deleted
end

function handlers.RestoreTag()
  if not manifests.get(command.digest) then
    return { type = 'Absent' }
  end
  local refused = tags.refused({ command.move }, command.digest)
  if refused then
    return refused
  end
  manifests.renew(command.digest)
  return { type = 'Stored', created = false, changes = tags.move({ command.move }, command.digest) }
end
