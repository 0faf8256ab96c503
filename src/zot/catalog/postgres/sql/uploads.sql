-- Commands on upload sessions.

-- Claim the digest that the command asks for, if it does. The outcome is in `known`, NULL without a claim.
CREATE FUNCTION zot_catalog_functions.claim_asked(s zot_catalog_functions.scope, c jsonb)
RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
BEGIN
  s.known := NULL;
  IF jsonb_typeof(c->'claim') = 'object' THEN
    s := zot_catalog_functions.take_claim(s, c->'claim'->>'digest', c->'claim'->>'token', c->>'owner');
  END IF;
  RETURN s;
END $$;

CREATE FUNCTION zot_catalog_functions.create_upload_row(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, true);
BEGIN
  IF EXISTS (SELECT 1 FROM zot_catalog.upload WHERE repository = s.repository AND session = c->>'session') THEN
    RETURN zot_catalog_functions.finish(s, c, '"begun"', false);
  END IF;
  IF (SELECT count(*) FROM zot_catalog.upload
    WHERE repository = s.repository AND client = c->>'client' AND finished IS NULL) >= (c->>'limit')::bigint
  THEN
    RETURN zot_catalog_functions.finish(s, c, '"too many"', false);
  END IF;
  s := zot_catalog_functions.create_repository(s);
  INSERT INTO zot_catalog.upload (repository, session, principal, algorithm, updated_ns, client)
  VALUES (s.repository, c->>'session', c->>'principal', c->>'algorithm', s.now_ns, c->>'client')
  ON CONFLICT DO NOTHING;
  RETURN zot_catalog_functions.finish(s, c, '"begun"', false);
END $$;

-- An epoch is a fence, which is not given twice, even if the server crashes: so its change is durable.
CREATE FUNCTION zot_catalog_functions.lease_upload(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  u zot_catalog.upload;
BEGIN
  IF s.known IS NOT NULL THEN
    RETURN s.known;
  END IF;
  SELECT * INTO u FROM zot_catalog.upload
  WHERE repository = s.repository AND session = c->>'session' AND principal = c->>'principal';
  IF u.finished IS NULL AND (u.session IS NULL OR u.epoch <> (c->>'if_epoch')::bigint
    OR u.received <> (c->>'if_offset')::bigint)
  THEN
    RETURN zot_catalog_functions.finish(s, c, 'null', true);
  END IF;
  IF u.finished IS NULL THEN
    u.epoch := u.epoch + 1;
    u.updated_ns := s.now_ns;
    UPDATE zot_catalog.upload SET epoch = u.epoch, updated_ns = u.updated_ns WHERE session = u.session;
    s := zot_catalog_functions.claim_asked(s, c);
  END IF;
  RETURN zot_catalog_functions.finish(s, c, jsonb_build_object('claim', s.known, 'row', jsonb_build_object(
    'session', u.session, 'repository', u.repository, 'principal', u.principal, 'epoch', u.epoch,
    'offset', u.received, 'algorithm', u.algorithm, 'prefix', u.prefix, 'recorded_by', u.recorded_by,
    'updated_ns', u.updated_ns, 'finished', u.finished, 'client', u.client,
    'driver_state', translate(encode(u.driver_state, 'base64'), E'\n', ''))), true);
END $$;

CREATE FUNCTION zot_catalog_functions.advance_upload(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
BEGIN
  UPDATE zot_catalog.upload SET received = (c->>'offset')::bigint, algorithm = c->>'algorithm', prefix = c->>'prefix',
    recorded_by = c->>'owner', updated_ns = s.now_ns, driver_state = decode(c->>'driver_state', 'base64')
  WHERE repository = s.repository AND session = c->>'session' AND epoch = (c->>'epoch')::bigint AND finished IS NULL;
  IF NOT FOUND THEN
    RETURN 'false';
  END IF;
  s := zot_catalog_functions.claim_asked(s, c);
  RETURN zot_catalog_functions.finish(s, c, coalesce(s.known, 'true'), false);
END $$;

CREATE FUNCTION zot_catalog_functions.cancel_upload_row(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
BEGIN
  IF s.known IS NOT NULL THEN
    RETURN s.known;
  END IF;
  DELETE FROM zot_catalog.upload
  WHERE repository = s.repository AND session = c->>'session' AND epoch = coalesce((c->>'if_epoch')::bigint, epoch)
    AND NOT ((c->>'unfinished')::boolean AND finished IS NOT NULL);
  RETURN zot_catalog_functions.finish(s, c, to_jsonb(FOUND), true);
END $$;
