-- Commands on blobs and claims. `b` has the rows, `B` the digests of present ones in order, `w` where a digest is
-- present; `h` and `H` what is held; `lb` what nothing references, `lbu` of these what has no mark.

function blobs.get(digest)
  return row(mine('b'), digest)
end

function blobs.present(digest)
  local blob = blobs.get(digest)
  return blob and not blob.doom and blob or nil
end

function blobs.is_referenced(digest)
  return call('HEXISTS', mine('m'), digest) == 1 or call('EXISTS', mine('x', digest)) == 1
end

-- Return the bytes that a digest takes: those of a present blob, else of a manifest.
function blobs.weight(digest)
  local blob = blobs.present(digest)
  if blob then
    return blob.size
  end
  local manifest = row(mine('m'), digest)
  return manifest and manifest.size or 0
end

-- Write a blob's row, and whether it is among the unreferenced ones.
function blobs.save(digest, blob)
  put(mine('b'), digest, blob)
  blobs.settle(digest, blob)
end

function blobs.settle(digest, blob)
  if not blob or blob.doom or blobs.is_referenced(digest) then
    blobs.tighten(digest)
    return
  end
  call('ZADD', mine('lb'), '0', digest)
  if blob.marked_s then
    call('ZREM', mine('lbu'), digest)
  else
    call('ZADD', mine('lbu'), '0', digest)
  end
end

-- Take a digest out of the unreferenced ones.
function blobs.tighten(digest)
  if call('ZREM', mine('lb'), digest) == 1 then
    call('ZREM', mine('lbu'), digest)
  end
end

-- Take note that a manifest names or is a blob: it loses its mark.
function blobs.referenced(digest, blob)
  if blob.marked_s then
    blob.marked_s = nil
    put(mine('b'), digest, blob)
  end
  blobs.tighten(digest)
end

function blobs.clear_mark(digest, blob)
  if blob.marked_s then
    blob.marked_s = nil
    blobs.save(digest, blob)
  end
end

function blobs.add(digest, size, bytes)
  local before = blobs.weight(digest)
  if bytes then
    call('HSET', mine('h'), digest, bytes)
    call('ZADD', mine('H'), '0', digest)
  end
  call('ZADD', mine('B'), '0', digest)
  call('ZADD', key('w', digest), '0', repository)
  blobs.save(digest, { size = size, placed_us = us, held = bytes and true or nil })
  scope.grow(blobs.weight(digest) - before)
end

function blobs.release(digest, blob)
  call('HDEL', mine('h'), digest)
  call('ZREM', mine('H'), digest)
  blob.held = nil
end

function blobs.over_quota(digest, size)
  if #command.quotas == 0 then
    return nil
  end
  local is_here = call('HEXISTS', mine('m'), digest) == 1 or blobs.present(digest)
  return exceeded_quota(is_here and 0 or size)
end

function claims.member(digest, token)
  return repository .. ' ' .. digest .. ' ' .. token
end

function claims.is_claimed(digest)
  return call('EXISTS', mine('cl', digest)) == 1
end

-- Drop a claim; return whether it stood.
function claims.drop(digest, token)
  local owner = call('HGET', mine('cl', digest), token)
  if not owner then
    return false
  end
  call('HDEL', mine('cl', digest), token)
  if not claims.is_claimed(digest) then
    call('SREM', mine('claimed'), digest)
  end
  call('SREM', key('claims', owner), claims.member(digest, token))
  return true
end

function claims.take(digest, token, owner)
  local blob = blobs.get(digest)
  if not blob then
    scope.create()
    if call('HSETNX', mine('cl', digest), token, owner) == 1 then
      call('SADD', mine('claimed'), digest)
      call('SADD', key('claims', owner), claims.member(digest, token))
    end
    return 'claimed'
  end
  if blob.doom then
    return 'doomed'
  end
  blobs.clear_mark(digest, blob)
  return 'present'
end

function handlers.ClaimBlob()
  return claims.take(command.digest, command.token, command.owner)
end

function handlers.DropClaim()
  claims.drop(command.digest, command.token)
end

function handlers.PublishBlob()
  local blob = blobs.present(command.digest)
  local was_claimed = claims.drop(command.digest, command.token)
  if blob then
    blobs.clear_mark(command.digest, blob)
  elseif not was_claimed then
    return 'claim lost'
  else
    local refused = blobs.over_quota(command.digest, command.size)
    if refused then
      return refused
    end
    blobs.add(command.digest, command.size)
  end
  local upload = command.session and uploads.get(command.session)
  if upload then
    uploads.finish(command.session, upload, command.digest)
  end
  return 'present'
end

function handlers.PutBlob()
  local digest, bytes = command.digest, content(1)
  local blob = blobs.get(digest)
  if blob and blob.doom then
    return 'doomed'
  end
  local refused = blobs.over_quota(digest, #bytes)
  if refused then
    return refused
  end
  if command.session then
    local upload = uploads.get(command.session)
    if not upload or (upload.finished and upload.finished ~= digest) then
      return 'upload lost'
    end
    if not upload.finished then
      if upload.epoch ~= command.epoch then
        return 'upload lost'
      end
      uploads.finish(command.session, upload, digest)
    end
  end
  if not blob then
    scope.create()
    blobs.add(digest, #bytes, bytes)
    scope.changed()
    return 'stored'
  end
  blobs.clear_mark(digest, blob)
  if blob.held and call('HGET', mine('h'), digest) ~= bytes then
    call('HSET', mine('h'), digest, bytes)
    scope.changed()
  end
  return 'present'
end

function handlers.ReleaseBlobs()
  for _, placed in ipairs(command.placed) do
    local blob = blobs.present(placed.digest)
    if blob and blob.held and ns(blob.placed_us) == placed.placed_ns then
      blobs.release(placed.digest, blob)
      blobs.save(placed.digest, blob)
    end
  end
end

function handlers.CheckQuota()
  return blobs.over_quota(command.digest, command.size)
end

function handlers.TouchBlob()
  local blob = blobs.present(command.digest)
  if blob then
    blobs.clear_mark(command.digest, blob)
  end
  return blob ~= nil
end

local function doomed_member()
  return repository .. ' ' .. command.digest
end

local function doom_orphan()
  if blobs.is_referenced(command.digest) or scope.is_unread() then
    return 'referenced'
  end
  if claims.is_claimed(command.digest) then
    return 'claimed'
  end
  call('ZADD', key('doomed'), '0', doomed_member())
  blobs.save(command.digest, {
    size = 0, placed_us = 0, doom = command.token, owner = command.owner, disposal = command.disposal,
  })
  return 'doomed'
end

function handlers.DoomBlob()
  local digest, blob = command.digest, blobs.get(command.digest)
  if not blob and command.orphan and scope.exists() then
    return doom_orphan()
  end
  if not blob or (blob.doom and blob.doom ~= command.token) then
    return 'absent'
  end
  if blob.doom then
    return 'doomed'
  end
  if blobs.is_referenced(digest) and not command.damaged then
    return 'referenced'
  end
  if command.marked_before_s and scope.is_unread() then
    return 'referenced'
  end
  if claims.is_claimed(digest) or command.orphan then
    return 'claimed'
  end
  if command.placed_ns and command.placed_ns ~= ns(blob.placed_us) then
    return 'claimed'
  end
  if command.marked_before_s and (not blob.marked_s or blob.marked_s > command.marked_before_s) then
    return 'claimed'
  end
  local before = blobs.weight(digest)
  blobs.release(digest, blob)
  blob.doom, blob.owner, blob.disposal, blob.marked_s = command.token, command.owner, command.disposal, nil
  call('ZREM', mine('B'), digest)
  call('ZREM', key('w', digest), repository)
  call('ZADD', key('doomed'), '0', doomed_member())
  blobs.save(digest, blob)
  scope.grow(blobs.weight(digest) - before)
  if command.damaged then
    scope.log('blob lost', nil, digest)
  end
  return 'doomed'
end

function handlers.ForgetBlob()
  local blob = blobs.get(command.digest)
  if blob and blob.doom == command.token then
    call('HDEL', mine('b'), command.digest)
    call('ZREM', key('doomed'), doomed_member())
  end
end

function handlers.TakePendingDelete()
  local blob = blobs.get(command.digest)
  if not blob then
    return false
  end
  if blob.doom == command.token and not is_alive(blob.owner) then
    blob.doom, blob.owner = command.new_token, command.owner
    blobs.save(command.digest, blob)
  end
  return blob.doom == command.new_token and blob.owner == command.owner
end

-- Mark unreferenced blobs that no claim stands on; return how many.
local function mark_blobs(limit)
  local marked, after = 0, '-'
  while marked < limit do
    local page = call('ZRANGEBYLEX', mine('lbu'), after, '+', 'LIMIT', 0, limit)
    for _, digest in ipairs(page) do
      if marked < limit and not claims.is_claimed(digest) then
        local blob = blobs.get(digest)
        blob.marked_s = command.now_s
        blobs.save(digest, blob)
        marked = marked + 1
      end
      after = '(' .. digest
    end
    if #page < limit then
      break
    end
  end
  return marked
end

function handlers.MarkUnreferenced()
  if scope.is_unread() then
    return 0
  end
  local limit = math.max(0, math.min(command.limit, 1000))
  local marked = mark_blobs(limit)
  for _, digest in ipairs(call('ZRANGEBYLEX', mine('lmu'), '-', '+', 'LIMIT', 0, limit - marked)) do
    call('HSET', mine('mm'), digest, string.format('%.17g', command.now_s))
    call('ZREM', mine('lmu'), digest)
    marked = marked + 1
  end
  return marked
end
