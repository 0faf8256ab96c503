-- Commands on blobs and claims.

CREATE FUNCTION zot_catalog_functions.is_manifest(repository_name text, wanted text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM zot_catalog.manifest WHERE repository = repository_name AND digest = wanted);
END $$;

CREATE FUNCTION zot_catalog_functions.is_blob(repository_name text, wanted text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM zot_catalog.blob
    WHERE repository = repository_name AND digest = wanted AND doom IS NULL);
END $$;

CREATE FUNCTION zot_catalog_functions.has_unread(repository_name text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM zot_catalog.carried WHERE repository = repository_name AND unread IS NOT NULL)
    OR EXISTS (SELECT 1 FROM zot_catalog.manifest WHERE repository = repository_name AND NOT whole);
END $$;

CREATE FUNCTION zot_catalog_functions.claim_stands(repository_name text, wanted text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM zot_catalog.claim WHERE repository = repository_name AND digest = wanted);
END $$;

-- Make a blob present unless there is one, doomed or not.
CREATE FUNCTION zot_catalog_functions.add_blob(s zot_catalog_functions.scope, new_digest text, new_size bigint)
RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
DECLARE
  named boolean := zot_catalog_functions.is_manifest(s.repository, new_digest);
BEGIN
  INSERT INTO zot_catalog.blob (repository, digest, size, placed_ns, referenced)
  VALUES (s.repository, new_digest, new_size, s.now_ns,
    named OR EXISTS (SELECT 1 FROM zot_catalog.edge WHERE repository = s.repository AND digest = new_digest))
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    s.blobs := s.blobs + 1;
    s.bytes := s.bytes + CASE WHEN named THEN 0 ELSE new_size END;
  END IF;
  RETURN s;
END $$;

-- Claim a digest for the command's owner. The outcome is in `known`.
CREATE FUNCTION zot_catalog_functions.take_claim(
  s zot_catalog_functions.scope, wanted text, new_token text, new_owner text
) RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
DECLARE
  b zot_catalog.blob;
BEGIN
  SELECT * INTO b FROM zot_catalog.blob WHERE repository = s.repository AND digest = wanted;
  IF NOT FOUND THEN
    s := zot_catalog_functions.create_repository(s);
    INSERT INTO zot_catalog.claim (repository, digest, token, owner)
    VALUES (s.repository, wanted, new_token, new_owner) ON CONFLICT DO NOTHING;
    s.known := '"claimed"';
  ELSIF b.doom IS NOT NULL THEN
    s.known := '"doomed"';
  ELSE
    IF b.marked_s IS NOT NULL THEN
      UPDATE zot_catalog.blob SET marked_s = NULL WHERE repository = s.repository AND digest = wanted;
    END IF;
    s.known := '"present"';
  END IF;
  RETURN s;
END $$;

CREATE FUNCTION zot_catalog_functions.claim_blob(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, true);
BEGIN
  s := zot_catalog_functions.take_claim(s, c->>'digest', c->>'token', c->>'owner');
  RETURN zot_catalog_functions.finish(s, c, s.known, false);
END $$;

CREATE FUNCTION zot_catalog_functions.drop_claim(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
BEGIN
  DELETE FROM zot_catalog.claim
  WHERE repository = s.repository AND digest = c->>'digest' AND token = c->>'token';
  RETURN zot_catalog_functions.finish(s, c, 'null', false);
END $$;

CREATE FUNCTION zot_catalog_functions.publish_blob(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  claimed boolean;
  refused jsonb;
  new_size bigint := (c->>'size')::bigint;
BEGIN
  DELETE FROM zot_catalog.claim
  WHERE repository = s.repository AND digest = c->>'digest' AND token = c->>'token';
  claimed := FOUND;
  IF zot_catalog_functions.is_blob(s.repository, c->>'digest') THEN
    UPDATE zot_catalog.blob SET marked_s = NULL
    WHERE repository = s.repository AND digest = c->>'digest' AND marked_s IS NOT NULL;
  ELSIF NOT claimed THEN
    RETURN zot_catalog_functions.finish(s, c, '"claim lost"', false);
  ELSE
    refused := zot_catalog_functions.exceeded_quota(s, c->'quotas',
      CASE WHEN zot_catalog_functions.is_manifest(s.repository, c->>'digest') THEN 0 ELSE new_size END);
    IF refused IS NOT NULL THEN
      RETURN zot_catalog_functions.finish(s, c, refused, false);
    END IF;
    s := zot_catalog_functions.add_blob(s, c->>'digest', new_size);
  END IF;
  IF c->>'session' IS NOT NULL THEN
    UPDATE zot_catalog.upload SET finished = c->>'digest', updated_ns = s.now_ns
    WHERE repository = s.repository AND session = c->>'session';
  END IF;
  RETURN zot_catalog_functions.finish(s, c, '"present"', false);
END $$;

CREATE FUNCTION zot_catalog_functions.put_blob(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, true);
  b zot_catalog.blob;
  found_blob boolean;
  refused jsonb;
BEGIN
  SELECT * INTO b FROM zot_catalog.blob WHERE repository = s.repository AND digest = c->>'digest';
  found_blob := FOUND;
  IF b.doom IS NOT NULL THEN
    RETURN zot_catalog_functions.finish(s, c, '"doomed"', false);
  END IF;
  IF NOT found_blob AND NOT zot_catalog_functions.is_manifest(s.repository, c->>'digest') THEN
    refused := zot_catalog_functions.exceeded_quota(s, c->'quotas', length(content));
    IF refused IS NOT NULL THEN
      RETURN zot_catalog_functions.finish(s, c, refused, false);
    END IF;
  END IF;
  IF c->>'session' IS NOT NULL THEN
    UPDATE zot_catalog.upload SET finished = c->>'digest', updated_ns = s.now_ns
    WHERE repository = s.repository AND session = c->>'session' AND epoch = (c->>'epoch')::bigint
      AND finished IS NULL;
    IF NOT FOUND AND NOT EXISTS (SELECT 1 FROM zot_catalog.upload
      WHERE repository = s.repository AND session = c->>'session' AND finished = c->>'digest')
    THEN
      RETURN zot_catalog_functions.finish(s, c, '"upload lost"', false);
    END IF;
  END IF;
  IF found_blob THEN
    UPDATE zot_catalog.blob SET marked_s = NULL
    WHERE repository = s.repository AND digest = c->>'digest' AND marked_s IS NOT NULL;
    UPDATE zot_catalog.held SET bytes = content
    WHERE repository = s.repository AND digest = c->>'digest' AND bytes <> content;
    s.changed := FOUND;
    RETURN zot_catalog_functions.finish(s, c, '"present"', false);
  END IF;
  s := zot_catalog_functions.create_repository(s);
  s := zot_catalog_functions.add_blob(s, c->>'digest', length(content));
  INSERT INTO zot_catalog.held (repository, digest, bytes) VALUES (s.repository, c->>'digest', content)
  ON CONFLICT (repository, digest) DO UPDATE SET bytes = excluded.bytes;
  s.changed := true;
  RETURN zot_catalog_functions.finish(s, c, '"stored"', false);
END $$;

CREATE FUNCTION zot_catalog_functions.release_blobs(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
BEGIN
  DELETE FROM zot_catalog.held AS h
  USING jsonb_to_recordset(c->'placed') AS placed (digest text, placed_ns bigint), zot_catalog.blob AS b
  WHERE h.repository = s.repository AND h.digest = placed.digest
    AND b.repository = s.repository AND b.digest = placed.digest AND b.placed_ns = placed.placed_ns
    AND b.doom IS NULL;
  RETURN zot_catalog_functions.finish(s, c, 'null', false);
END $$;

CREATE FUNCTION zot_catalog_functions.check_quota(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
  refused jsonb;
BEGIN
  IF NOT zot_catalog_functions.is_blob(s.repository, c->>'digest')
    AND NOT zot_catalog_functions.is_manifest(s.repository, c->>'digest')
  THEN
    refused := zot_catalog_functions.exceeded_quota(s, c->'quotas', (c->>'size')::bigint);
  END IF;
  RETURN coalesce(refused, 'null');
END $$;

CREATE FUNCTION zot_catalog_functions.touch_blob(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
BEGIN
  IF NOT zot_catalog_functions.is_blob(s.repository, c->>'digest') THEN
    RETURN 'false';
  END IF;
  UPDATE zot_catalog.blob SET marked_s = NULL
  WHERE repository = s.repository AND digest = c->>'digest' AND marked_s IS NOT NULL;
  RETURN 'true';
END $$;

CREATE FUNCTION zot_catalog_functions.doom_blob(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  b zot_catalog.blob;
  wanted text := c->>'digest';
  marked_before_s double precision := (c->>'marked_before_s')::double precision;
BEGIN
  SELECT * INTO b FROM zot_catalog.blob WHERE repository = s.repository AND digest = wanted;
  IF NOT FOUND THEN
    IF NOT (c->>'orphan')::boolean OR NOT s.present THEN
      RETURN '"absent"';
    END IF;
    IF EXISTS (SELECT 1 FROM zot_catalog.edge WHERE repository = s.repository AND digest = wanted)
      OR zot_catalog_functions.is_manifest(s.repository, wanted) OR zot_catalog_functions.has_unread(s.repository)
    THEN
      RETURN '"referenced"';
    END IF;
    IF zot_catalog_functions.claim_stands(s.repository, wanted) THEN
      RETURN '"claimed"';
    END IF;
    INSERT INTO zot_catalog.blob (repository, digest, size, referenced, placed_ns, doom, doomed_by, disposal)
    VALUES (s.repository, wanted, 0, false, 0, c->>'token', c->>'owner', c->>'disposal');
    RETURN '"doomed"';
  END IF;
  IF b.doom IS NOT NULL THEN
    RETURN CASE WHEN b.doom = c->>'token' THEN '"doomed"' ELSE '"absent"' END;
  END IF;
  IF b.referenced AND NOT (c->>'damaged')::boolean THEN
    RETURN '"referenced"';
  END IF;
  IF marked_before_s IS NOT NULL AND zot_catalog_functions.has_unread(s.repository) THEN
    RETURN '"referenced"';
  END IF;
  IF (c->>'orphan')::boolean OR b.placed_ns <> (c->>'placed_ns')::bigint
    OR zot_catalog_functions.claim_stands(s.repository, wanted)
    OR (marked_before_s IS NOT NULL AND (b.marked_s IS NULL OR b.marked_s > marked_before_s))
  THEN
    RETURN '"claimed"';
  END IF;
  UPDATE zot_catalog.blob
  SET doom = c->>'token', doomed_by = c->>'owner', disposal = c->>'disposal', marked_s = NULL
  WHERE repository = s.repository AND digest = wanted;
  DELETE FROM zot_catalog.held WHERE repository = s.repository AND digest = wanted;
  s.blobs := -1;
  IF (c->>'damaged')::boolean THEN
    PERFORM zot_catalog_functions.log(s, 'blob lost', NULL, wanted, NULL, NULL);
  END IF;
  -- As a manifest its bytes go on counting.
  IF NOT (b.referenced AND zot_catalog_functions.is_manifest(s.repository, wanted)) THEN
    s.bytes := -b.size;
  END IF;
  RETURN zot_catalog_functions.finish(s, c, '"doomed"', false);
END $$;

CREATE FUNCTION zot_catalog_functions.forget_blob(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
BEGIN
  DELETE FROM zot_catalog.blob WHERE repository = s.repository AND digest = c->>'digest' AND doom = c->>'token';
  RETURN 'null';
END $$;

CREATE FUNCTION zot_catalog_functions.take_pending_delete(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
BEGIN
  UPDATE zot_catalog.blob SET doom = c->>'new_token', doomed_by = c->>'owner'
  WHERE repository = s.repository AND digest = c->>'digest' AND doom = c->>'token'
    AND NOT EXISTS (SELECT 1 FROM zot_catalog.owner WHERE id = blob.doomed_by AND ended_ns IS NULL);
  RETURN to_jsonb(EXISTS (SELECT 1 FROM zot_catalog.blob
    WHERE repository = s.repository AND digest = c->>'digest' AND doom = c->>'new_token'
      AND doomed_by = c->>'owner'));
END $$;

CREATE FUNCTION zot_catalog_functions.mark_unreferenced(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
  most bigint := greatest(0, least((c->>'limit')::bigint, 1000));
  blobs bigint;
  manifests bigint;
BEGIN
  IF zot_catalog_functions.has_unread(s.repository) THEN
    RETURN '0';
  END IF;
  UPDATE zot_catalog.blob SET marked_s = (c->>'now_s')::double precision
  WHERE repository = s.repository AND digest IN (
    SELECT digest FROM zot_catalog.blob AS garbage
    WHERE repository = s.repository AND NOT referenced AND doom IS NULL AND marked_s IS NULL
      AND NOT EXISTS (SELECT 1 FROM zot_catalog.claim
        WHERE claim.repository = s.repository AND claim.digest = garbage.digest)
    ORDER BY digest LIMIT most);
  GET DIAGNOSTICS blobs = ROW_COUNT;
  UPDATE zot_catalog.manifest SET marked_s = (c->>'now_s')::double precision
  WHERE id IN (SELECT id FROM zot_catalog.manifest
    WHERE repository = s.repository AND NOT kept AND marked_s IS NULL ORDER BY digest LIMIT most - blobs);
  GET DIAGNOSTICS manifests = ROW_COUNT;
  RETURN to_jsonb(blobs + manifests);
END $$;
