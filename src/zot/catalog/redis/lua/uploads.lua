-- Commands on upload sessions. `u` is a session, `uploads` all of them in order, `ur` those of a repository, `uc` how
-- many are open there by client.

function uploads.get(session)
  local packed = call('GET', key('u', session))
  local upload = packed and cmsgpack.unpack(packed)
  return upload and upload.repository == repository and upload or nil
end

function uploads.save(session, upload)
  upload.updated_us = us
  call('SET', key('u', session), cmsgpack.pack(upload))
end

-- Count a client's session as open, or as closed.
function uploads.count(client, change)
  if call('HINCRBY', mine('uc'), client, change) <= 0 then
    call('HDEL', mine('uc'), client)
  end
end

function uploads.finish(session, upload, digest)
  if not upload.finished then
    uploads.count(upload.client, -1)
  end
  upload.finished = digest
  uploads.save(session, upload)
end

function uploads.claim()
  local claim = command.claim
  return claim and claims.take(claim.digest, claim.token, command.owner)
end

function handlers.CreateUploadRow()
  if uploads.get(command.session) then
    return 'begun'
  end
  if tonumber(call('HGET', mine('uc'), command.client) or 0) >= command.limit then
    return 'too many'
  end
  scope.create()
  if call('EXISTS', key('u', command.session)) == 0 then
    uploads.save(command.session, {
      repository = repository, principal = command.principal, epoch = 0, offset = 0, algorithm = command.algorithm,
      recorded_by = '', client = command.client, driver_state = '',
    })
    call('ZADD', key('uploads'), '0', command.session)
    call('SADD', mine('ur'), command.session)
    uploads.count(command.client, 1)
  end
  return 'begun'
end

local function as_outcome(session, upload)
  return {
    session = session, repository = upload.repository, principal = upload.principal, epoch = upload.epoch,
    offset = upload.offset, algorithm = upload.algorithm, prefix = upload.prefix or NULL,
    recorded_by = upload.recorded_by, updated_ns = ns(upload.updated_us), finished = upload.finished or NULL,
    client = upload.client, driver_state = upload.driver_state,
  }
end

function handlers.LeaseUpload()
  local upload = uploads.get(command.session)
  if not upload or upload.principal ~= command.principal then
    return nil
  end
  if upload.finished then
    return { row = as_outcome(command.session, upload) }
  end
  if (command.if_epoch and command.if_epoch ~= upload.epoch) or
     (command.if_offset and command.if_offset ~= upload.offset) then
    return nil
  end
  upload.epoch = upload.epoch + 1
  uploads.save(command.session, upload)
  return { row = as_outcome(command.session, upload), claim = uploads.claim() }
end

function handlers.AdvanceUpload()
  local upload = uploads.get(command.session)
  if not upload or upload.finished or upload.epoch ~= command.epoch then
    return false
  end
  upload.offset, upload.algorithm, upload.prefix = command.offset, command.algorithm, command.prefix
  upload.recorded_by, upload.driver_state = command.owner, command.driver_state
  uploads.save(command.session, upload)
  return uploads.claim() or true
end

function handlers.CancelUploadRow()
  local upload = uploads.get(command.session)
  if not upload or (command.if_epoch and command.if_epoch ~= upload.epoch) then
    return false
  end
  if command.unfinished and upload.finished then
    return false
  end
  if not upload.finished then
    uploads.count(upload.client, -1)
  end
  call('DEL', key('u', command.session))
  call('ZREM', key('uploads'), command.session)
  call('SREM', mine('ur'), command.session)
  return true
end
