-- Commands on manifests, tags and repositories.

-- Record whether something keeps each of these manifests: a tag, an index, a present subject or a named entry. One whose
-- state changes loses its mark. Called whenever that may have changed.
CREATE FUNCTION zot_catalog_functions.settle_kept(repository_name text, digests text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  -- Each row is found by its whole key, and each subquery with a limit by its own: a plan that was made while the tables
  -- were small would else read all of a repository (a list as a filter, EXISTS by a hash).
  UPDATE zot_catalog.manifest AS m SET kept = NOT kept, marked_s = NULL
  WHERE id = ANY(array(
      SELECT (SELECT id FROM zot_catalog.manifest WHERE repository = repository_name AND digest = wanted)
      FROM unnest(digests) AS wanted))
    AND kept <> coalesce(
    (SELECT true FROM zot_catalog.tag WHERE manifest_id = m.id LIMIT 1),
    (SELECT true FROM zot_catalog.edge
      WHERE edge.repository = repository_name AND edge.digest = m.digest AND edge.child LIMIT 1),
    (SELECT true FROM zot_catalog.manifest AS other
      WHERE other.repository = repository_name AND other.digest = m.subject LIMIT 1),
    (SELECT true FROM zot_catalog.carried
      WHERE carried.repository = repository_name AND carried.digest = m.digest AND line <> '' LIMIT 1),
    false);
END $$;

-- Return what a tag points to.
CREATE FUNCTION zot_catalog_functions.tag_at(repository_name text, tag_name text) RETURNS zot_catalog.manifest
LANGUAGE plpgsql STABLE AS $$
DECLARE
  m zot_catalog.manifest;
BEGIN
  SELECT * INTO m FROM zot_catalog.manifest
  WHERE id = (SELECT manifest_id FROM zot_catalog.tag WHERE repository = repository_name AND name = tag_name);
  RETURN m;
END $$;

-- Return the refusal of the first of the moves that may not be made, as `TagMove.refusal` decides it.
CREATE FUNCTION zot_catalog_functions.refused_move(repository_name text, moves jsonb, after text) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  move jsonb;
  before text;
  why text;
BEGIN
  FOR move IN SELECT * FROM jsonb_array_elements(moves) LOOP
    before := (zot_catalog_functions.tag_at(repository_name, move->>'tag')).digest;
    why := CASE
      WHEN before = after THEN NULL
      WHEN jsonb_typeof(move->'expected') = 'object' AND before IS DISTINCT FROM move->'expected'->>'digest'
        THEN 'points elsewhere'
      WHEN before IS NULL THEN CASE WHEN (move->>'may_create')::boolean THEN NULL ELSE 'may not create' END
      WHEN NOT (move->>'may_move')::boolean THEN 'may not move'
      WHEN (move->>'immutable')::boolean THEN 'immutable'
    END;
    IF why IS NOT NULL THEN
      RETURN jsonb_build_object('type', 'TagRefused', 'tag', move->'tag', 'why', why);
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- Point a tag at a manifest, and log it. `written_as` is its name as a layout has it, if not the tag itself.
CREATE FUNCTION zot_catalog_functions.point_tag(
  s zot_catalog_functions.scope, tag_name text, before text, target zot_catalog.manifest, written_as text
) RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO zot_catalog.tag (repository, name, manifest_id, created_ns, moved_ns, moved_by, written)
  VALUES (s.repository, tag_name, target.id, s.now_ns, s.now_ns, s.actor, written_as)
  ON CONFLICT (repository, name) DO UPDATE SET manifest_id = excluded.manifest_id, moved_ns = excluded.moved_ns,
    moved_by = excluded.moved_by, written = excluded.written;
  DELETE FROM zot_catalog.carried
  WHERE repository = s.repository AND digest = target.digest AND name IN (tag_name, coalesce(written_as, tag_name));
  PERFORM zot_catalog_functions.log(s, CASE WHEN before IS NULL THEN 'tag created' ELSE 'tag moved' END,
    tag_name, before, target.digest, target.media_type);
  PERFORM zot_catalog_functions.settle_kept(s.repository, ARRAY[target.digest, before]);
  s.tags := s.tags + (before IS NULL)::int;
  s.changed := true;
  RETURN s;
END $$;

-- Point tags at a manifest. `known` has those that pointed elsewhere, with what they pointed to.
CREATE FUNCTION zot_catalog_functions.move_tags(
  s zot_catalog_functions.scope, moves jsonb, target zot_catalog.manifest
) RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
DECLARE
  move jsonb;
  before text;
  changes jsonb := '[]';
BEGIN
  FOR move IN SELECT * FROM jsonb_array_elements(moves) LOOP
    before := (zot_catalog_functions.tag_at(s.repository, move->>'tag')).digest;
    IF before IS DISTINCT FROM target.digest THEN
      s := zot_catalog_functions.point_tag(s, move->>'tag', before, target, NULL);
      changes := changes || jsonb_build_array(jsonb_build_array(move->'tag', before));
    END IF;
  END LOOP;
  s.known := changes;
  RETURN s;
END $$;

-- Remove a tag, and log it.
CREATE FUNCTION zot_catalog_functions.remove_tag(
  s zot_catalog_functions.scope, tag_name text, before zot_catalog.manifest
) RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM zot_catalog.tag WHERE repository = s.repository AND name = tag_name;
  PERFORM zot_catalog_functions.log(s, 'tag deleted', tag_name, before.digest, NULL, before.media_type);
  PERFORM zot_catalog_functions.settle_kept(s.repository, ARRAY[before.digest]);
  s.tags := s.tags - 1;
  s.changed := true;
  RETURN s;
END $$;

-- Return the manifests that a manifest may keep: what it lists, and what refers to it.
CREATE FUNCTION zot_catalog_functions.dependent(m zot_catalog.manifest) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN array(SELECT digest FROM zot_catalog.edge WHERE manifest_id = m.id AND child
    UNION SELECT digest FROM zot_catalog.manifest WHERE repository = m.repository AND subject = m.digest);
END $$;

-- Return where the rows of blobs are. They stay there while the repository is locked.
CREATE FUNCTION zot_catalog_functions.blob_rows(repository_name text, digests text[]) RETURNS tid[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN array(SELECT (SELECT ctid FROM zot_catalog.blob WHERE repository = repository_name AND digest = wanted)
    FROM unnest(digests) AS wanted);
END $$;

-- Store a manifest that is not there, and log it. What it names is referenced, and loses its mark.
CREATE FUNCTION zot_catalog_functions.add_manifest(
  s zot_catalog_functions.scope, entry jsonb, content bytea, new_pushed_ns bigint, is_whole boolean
) RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
DECLARE
  m zot_catalog.manifest;
  named text[] := array(SELECT e.digest FROM jsonb_to_recordset(entry->'edges') AS e (digest text));
BEGIN
  INSERT INTO zot_catalog.manifest (repository, digest, media_type, size, artifact_type, subject, pushed_ns,
    pushed_by, annotations, whole, kept)
  VALUES (s.repository, entry->>'digest', entry->>'media_type', length(content), entry->>'artifact_type',
    entry->>'subject', new_pushed_ns, s.actor, (entry->'annotations')::text, is_whole, false)
  RETURNING * INTO m;
  INSERT INTO zot_catalog.content (manifest_id, bytes) VALUES (m.id, content);
  INSERT INTO zot_catalog.edge (repository, digest, manifest_id, media_type, child)
  SELECT s.repository, e.digest, m.id, e.media_type, e.child
  FROM jsonb_to_recordset(entry->'edges') AS e (digest text, media_type text, child boolean);
  UPDATE zot_catalog.blob SET referenced = true, marked_s = NULL
  WHERE ctid = ANY(zot_catalog_functions.blob_rows(s.repository, named || m.digest)) AND NOT referenced;
  -- Its carried entries count as read; only a name keeps one.
  DELETE FROM zot_catalog.carried
  WHERE repository = s.repository AND digest = m.digest AND (name IS NULL OR line = '');
  UPDATE zot_catalog.carried SET unread = NULL
  WHERE repository = s.repository AND digest = m.digest AND unread IS NOT NULL;
  PERFORM zot_catalog_functions.settle_kept(s.repository, m.digest || zot_catalog_functions.dependent(m));
  s.manifests := s.manifests + 1;
  IF NOT zot_catalog_functions.is_blob(s.repository, m.digest) THEN
    s.bytes := s.bytes + m.size;
  END IF;
  s.changed := true;
  PERFORM zot_catalog_functions.log(s, 'manifest stored', NULL, NULL, m.digest, m.media_type);
  RETURN s;
END $$;

-- Replace a manifest's lost or damaged bytes by these, which were verified.
CREATE FUNCTION zot_catalog_functions.mend_content(s zot_catalog_functions.scope, known_id bigint, new_bytes bytea)
RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO zot_catalog.content AS old (manifest_id, bytes) VALUES (known_id, new_bytes)
  ON CONFLICT (manifest_id) DO UPDATE SET bytes = excluded.bytes WHERE old.bytes <> excluded.bytes;
  s.changed := s.changed OR FOUND;
  RETURN s;
END $$;

CREATE FUNCTION zot_catalog_functions.put_manifest(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, true);
  m zot_catalog.manifest;
  is_new boolean;
  refused jsonb;
  most bigint := (c->>'repositories_limit')::bigint;
  holding bigint;
BEGIN
  IF s.known IS NOT NULL THEN
    RETURN zot_catalog_functions.finish(s, c, s.known, false);
  END IF;
  SELECT * INTO m FROM zot_catalog.manifest WHERE repository = s.repository AND digest = c->>'digest';
  is_new := NOT FOUND;
  refused := zot_catalog_functions.refused_move(s.repository, c->'tags', c->>'digest');
  IF refused IS NULL AND most IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM zot_catalog.repository WHERE name = s.repository AND manifests > 0)
  THEN
    PERFORM pg_advisory_xact_lock(2052682853, 0);
    SELECT count(*) INTO holding FROM zot_catalog.repository WHERE manifests > 0 AND name <> s.repository;
    IF holding >= most THEN
      refused := jsonb_build_object('type', 'OverQuota', 'limit', most, 'used', holding, 'of_repositories', true);
    END IF;
  END IF;
  IF refused IS NULL THEN
    SELECT jsonb_build_object('type', 'MissingBlobs', 'digests', jsonb_agg(e.value->'digest' ORDER BY e.ordinality))
    INTO refused FROM jsonb_array_elements(c->'edges') WITH ORDINALITY AS e
    WHERE NOT (e.value->>'child')::boolean AND NOT (e.value->>'optional')::boolean
      AND (SELECT true FROM zot_catalog.blob
        WHERE repository = s.repository AND digest = e.value->>'digest' AND doom IS NULL LIMIT 1) IS NULL
    HAVING count(*) > 0;
  END IF;
  IF refused IS NULL AND is_new AND NOT zot_catalog_functions.is_blob(s.repository, c->>'digest') THEN
    refused := zot_catalog_functions.exceeded_quota(s, c->'quotas', length(content));
  END IF;
  IF refused IS NOT NULL THEN
    RETURN zot_catalog_functions.finish(s, c, refused, true);
  END IF;
  IF is_new THEN
    s := zot_catalog_functions.create_repository(s);
    s := zot_catalog_functions.add_manifest(s, c, content, s.now_ns, true);
    SELECT * INTO m FROM zot_catalog.manifest WHERE repository = s.repository AND digest = c->>'digest';
  ELSE
    UPDATE zot_catalog.manifest SET marked_s = NULL WHERE id = m.id AND marked_s IS NOT NULL;
    IF jsonb_array_length(c->'tags') > 0 THEN
      UPDATE zot_catalog.manifest SET pushed_ns = s.now_ns
      WHERE id = m.id AND NOT EXISTS (SELECT 1 FROM zot_catalog.tag WHERE manifest_id = m.id);
    END IF;
    s := zot_catalog_functions.mend_content(s, m.id, content);
  END IF;
  s := zot_catalog_functions.move_tags(s, c->'tags', m);
  RETURN zot_catalog_functions.finish(s, c,
    jsonb_build_object('type', 'Stored', 'created', is_new, 'changes', s.known), true);
END $$;

-- Delete the carried entries of a digest, or of a name; `known` has digest and media type of the first, or NULL.
CREATE FUNCTION zot_catalog_functions.delete_carried(
  s zot_catalog_functions.scope, by_digest text, by_name text
) RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
DECLARE
  digests text[];
BEGIN
  WITH gone AS (
    DELETE FROM zot_catalog.carried
    WHERE repository = s.repository AND (digest = by_digest OR name = by_name) RETURNING key, digest, media_type
  )
  SELECT (array_agg(jsonb_build_object('digest', digest, 'media_type', media_type) ORDER BY key))[1], array_agg(digest)
  INTO s.known, digests FROM gone;
  IF s.known IS NOT NULL THEN
    s.changed := true;
    IF by_name IS NOT NULL THEN
      PERFORM zot_catalog_functions.settle_kept(s.repository, digests);
    END IF;
  END IF;
  RETURN s;
END $$;

CREATE FUNCTION zot_catalog_functions.remove_manifest(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  m zot_catalog.manifest;
  marked_before_s double precision := (c->>'marked_before_s')::double precision;
  tags text[];
  tag_name text;
  indexes jsonb;
  named text[];
  kept_by_it text[];
BEGIN
  IF s.known IS NOT NULL THEN
    RETURN s.known;
  END IF;
  SELECT * INTO m FROM zot_catalog.manifest WHERE repository = s.repository AND digest = c->>'digest';
  IF NOT FOUND THEN
    IF marked_before_s IS NULL THEN
      s := zot_catalog_functions.delete_carried(s, c->>'digest', NULL);
    END IF;
    RETURN zot_catalog_functions.finish(s, c, CASE
      WHEN s.known IS NULL THEN jsonb_build_object('type', 'Absent')
      ELSE jsonb_build_object('type', 'Deleted', 'digest', c->'digest', 'media_type', s.known->'media_type',
        'tags', '[]'::jsonb)
    END, true);
  END IF;
  tags := array(SELECT name FROM zot_catalog.tag WHERE manifest_id = m.id ORDER BY name);
  IF (jsonb_typeof(c->'if_tags') = 'array'
      AND NOT (to_jsonb(tags) @> (c->'if_tags') AND (c->'if_tags') @> to_jsonb(tags)))
    OR (marked_before_s IS NOT NULL AND (m.marked_s IS NULL OR m.marked_s > marked_before_s
      OR zot_catalog_functions.has_unread(s.repository)))
  THEN
    RETURN zot_catalog_functions.finish(s, c, jsonb_build_object('type', 'TagsDiffer', 'tags', tags), true);
  END IF;
  SELECT jsonb_agg(other.digest ORDER BY other.digest) INTO indexes
  FROM zot_catalog.edge JOIN zot_catalog.manifest AS other ON other.id = edge.manifest_id
  WHERE edge.repository = s.repository AND edge.digest = m.digest AND edge.child;
  IF indexes IS NOT NULL THEN
    RETURN zot_catalog_functions.finish(s, c, jsonb_build_object('type', 'Referenced', 'by', indexes), true);
  END IF;
  FOREACH tag_name IN ARRAY tags LOOP
    s := zot_catalog_functions.remove_tag(s, tag_name, m);
  END LOOP;
  DELETE FROM zot_catalog.carried WHERE repository = s.repository AND digest = m.digest;
  -- Entries listed by an index are deleted with the last index that lists them.
  named := array(SELECT digest FROM zot_catalog.edge WHERE manifest_id = m.id);
  DELETE FROM zot_catalog.carried AS entry
  WHERE repository = s.repository AND line = '' AND digest = ANY(named)
    AND (SELECT true FROM zot_catalog.edge
      WHERE manifest_id = m.id AND repository = s.repository AND edge.digest = entry.digest AND child LIMIT 1)
    AND (SELECT true FROM zot_catalog.edge WHERE edge.repository = s.repository
      AND edge.digest = entry.digest AND edge.child AND edge.manifest_id <> m.id LIMIT 1) IS NULL;
  -- What it names, and its digest, unless another manifest names or is it.
  UPDATE zot_catalog.blob AS b SET referenced = false
  WHERE ctid = ANY(zot_catalog_functions.blob_rows(s.repository, named || m.digest))
    AND (SELECT true FROM zot_catalog.edge WHERE edge.repository = s.repository
      AND edge.digest = b.digest AND edge.manifest_id <> m.id LIMIT 1) IS NULL
    AND (SELECT true FROM zot_catalog.manifest AS other WHERE other.repository = s.repository
      AND other.digest = b.digest AND other.id <> m.id LIMIT 1) IS NULL;
  kept_by_it := zot_catalog_functions.dependent(m);
  DELETE FROM zot_catalog.edge WHERE manifest_id = m.id;
  DELETE FROM zot_catalog.content WHERE manifest_id = m.id;
  DELETE FROM zot_catalog.manifest WHERE id = m.id;
  PERFORM zot_catalog_functions.settle_kept(s.repository, kept_by_it);
  s.manifests := s.manifests - 1;
  IF NOT zot_catalog_functions.is_blob(s.repository, m.digest) THEN
    s.bytes := s.bytes - m.size;
  END IF;
  s.changed := true;
  PERFORM zot_catalog_functions.log(s, 'manifest deleted', NULL, m.digest, NULL, m.media_type);
  RETURN zot_catalog_functions.finish(s, c, jsonb_build_object('type', 'Deleted', 'digest', m.digest,
    'media_type', m.media_type, 'tags', tags), true);
END $$;

CREATE FUNCTION zot_catalog_functions.mend_manifest(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  known_id bigint;
BEGIN
  SELECT id INTO known_id FROM zot_catalog.manifest WHERE repository = s.repository AND digest = c->>'digest';
  IF NOT FOUND THEN
    RETURN 'false';
  END IF;
  s := zot_catalog_functions.mend_content(s, known_id, content);
  RETURN zot_catalog_functions.finish(s, c, 'true', false);
END $$;

CREATE FUNCTION zot_catalog_functions.touch_manifest(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
BEGIN
  UPDATE zot_catalog.manifest SET marked_s = NULL
  WHERE repository = s.repository AND digest = c->>'digest' AND marked_s IS NOT NULL;
  RETURN to_jsonb(zot_catalog_functions.is_manifest(s.repository, c->>'digest'));
END $$;

CREATE FUNCTION zot_catalog_functions.delete_tag(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  m zot_catalog.manifest;
  tag_name text := c->>'tag';
  is_named boolean;
BEGIN
  IF s.known IS NOT NULL THEN
    RETURN s.known;
  END IF;
  m := zot_catalog_functions.tag_at(s.repository, tag_name);
  is_named := c->>'if_digest' IS NULL AND EXISTS (
    SELECT 1 FROM zot_catalog.carried WHERE repository = s.repository AND name = tag_name);
  IF (m.id IS NULL AND NOT is_named) OR m.digest <> c->>'if_digest' THEN
    RETURN zot_catalog_functions.finish(s, c, jsonb_build_object('type', 'Absent'), true);
  END IF;
  IF (c->>'immutable')::boolean THEN
    RETURN zot_catalog_functions.finish(s, c,
      jsonb_build_object('type', 'TagRefused', 'tag', tag_name, 'why', 'immutable'), true);
  END IF;
  IF is_named THEN
    s := zot_catalog_functions.delete_carried(s, NULL, tag_name);
  END IF;
  IF m.id IS NOT NULL THEN
    s := zot_catalog_functions.remove_tag(s, tag_name, m);
    s.known := jsonb_build_object('digest', m.digest, 'media_type', m.media_type);
  END IF;
  RETURN zot_catalog_functions.finish(s, c,
    s.known || jsonb_build_object('type', 'Deleted', 'tags', jsonb_build_array(tag_name)), true);
END $$;

CREATE FUNCTION zot_catalog_functions.restore_tag(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  m zot_catalog.manifest;
  refused jsonb;
BEGIN
  IF s.known IS NOT NULL THEN
    RETURN s.known;
  END IF;
  SELECT * INTO m FROM zot_catalog.manifest WHERE repository = s.repository AND digest = c->>'digest';
  IF NOT FOUND THEN
    RETURN zot_catalog_functions.finish(s, c, jsonb_build_object('type', 'Absent'), true);
  END IF;
  refused := zot_catalog_functions.refused_move(s.repository, jsonb_build_array(c->'move'), m.digest);
  IF refused IS NOT NULL THEN
    RETURN zot_catalog_functions.finish(s, c, refused, true);
  END IF;
  -- By its old time retention would remove its tag again.
  UPDATE zot_catalog.manifest SET pushed_ns = s.now_ns WHERE id = m.id;
  s := zot_catalog_functions.move_tags(s, jsonb_build_array(c->'move'), m);
  RETURN zot_catalog_functions.finish(s, c,
    jsonb_build_object('type', 'Stored', 'created', false, 'changes', s.known), true);
END $$;

CREATE FUNCTION zot_catalog_functions.remove_repository(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
  dropped bigint;
BEGIN
  IF s.known IS NOT NULL THEN
    RETURN s.known;
  END IF;
  IF EXISTS (SELECT 1 FROM zot_catalog.manifest WHERE repository = s.repository)
    OR EXISTS (SELECT 1 FROM zot_catalog.blob WHERE repository = s.repository)
    OR EXISTS (SELECT 1 FROM zot_catalog.carried WHERE repository = s.repository)
    OR EXISTS (SELECT 1 FROM zot_catalog.claim WHERE repository = s.repository)
    OR EXISTS (SELECT 1 FROM zot_catalog.upload WHERE repository = s.repository AND finished IS NULL)
  THEN
    RETURN zot_catalog_functions.finish(s, c, 'false', true);
  END IF;
  DELETE FROM zot_catalog.upload WHERE repository = s.repository;
  IF s.present THEN
    -- What is kept as history of its tags alone; trimming waits for this.
    SELECT trimmed INTO dropped FROM zot_catalog.change_state FOR UPDATE;
    DELETE FROM zot_catalog.change_log
    WHERE repository = s.repository AND tag IS NOT NULL AND sequence <= dropped;
    DELETE FROM zot_catalog.repository WHERE name = s.repository;
    PERFORM zot_catalog_functions.log(s, 'repository removed', NULL, NULL, NULL, NULL);
  END IF;
  RETURN zot_catalog_functions.finish(s, c, 'true', true);
END $$;
