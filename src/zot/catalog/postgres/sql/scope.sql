-- What a command works with: its repository, locked, at one time. The counts are what it adds to the repository's.
CREATE TYPE zot_catalog_functions.scope AS (
  repository text,
  actor text,
  source text,
  now_ns bigint,
  present boolean, -- the repository was there before
  reserved boolean, -- a row stands in for it until the command creates it
  created bigint, -- the id of the entry by which the command created it
  bytes bigint,
  blobs bigint,
  manifests bigint,
  tags bigint,
  changed boolean, -- the layout has to show it
  known jsonb -- the outcome, if the command was carried out before
);

CREATE FUNCTION zot_catalog_functions.now_ns() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000;
END $$;

-- Begin a transaction. A durable change is on the disk when it is answered, also where the server is told to answer
-- earlier. Every statement finds rows by keys, so that one plan fits all: to plan it for its values costs more than it.
CREATE FUNCTION zot_catalog_functions.set_durable(durable boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
  IF NOT durable THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  ELSIF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END $$;

-- Until the end of the transaction the lease of the owner does not end.
CREATE FUNCTION zot_catalog_functions.hold_owner(owner_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(2052682851, hashtext(owner_id));
END $$;

CREATE FUNCTION zot_catalog_functions.require_alive(owner_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM zot_catalog.owner WHERE id = owner_id AND ended_ns IS NULL) THEN
    RAISE EXCEPTION 'the lease has ended' USING ERRCODE = 'ZOT01';
  END IF;
END $$;

-- Begin a command on one repository: the owner is held first, then the row is locked. `creates`: the command may create
-- the repository, so that an absent one is locked by a row that stands in for it.
CREATE FUNCTION zot_catalog_functions.begin(c jsonb, durable boolean, creates boolean)
RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope;
  last_ns bigint;
BEGIN
  PERFORM zot_catalog_functions.set_durable(durable);
  s.repository := c->>'repository';
  s.actor := c->>'by';
  s.source := c->>'source';
  s.present := false;
  s.reserved := false;
  s.bytes := 0;
  s.blobs := 0;
  s.manifests := 0;
  s.tags := 0;
  s.changed := false;
  IF c ? 'owner' THEN
    PERFORM zot_catalog_functions.hold_owner(c->>'owner');
  END IF;
  LOOP
    SELECT clock_ns INTO last_ns FROM zot_catalog.repository WHERE name = s.repository FOR NO KEY UPDATE;
    IF FOUND THEN
      s.present := true;
      EXIT;
    END IF;
    EXIT WHEN NOT creates;
    INSERT INTO zot_catalog.repository (name) VALUES (s.repository) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      s.reserved := true;
      EXIT;
    END IF;
  END LOOP;
  s.now_ns := greatest(zot_catalog_functions.now_ns(), coalesce(last_ns, 0) + 1);
  SELECT outcome INTO s.known FROM zot_catalog.remembered WHERE command = c->>'id';
  IF s.known IS NULL AND c ? 'owner' THEN
    PERFORM zot_catalog_functions.require_alive(c->>'owner');
  END IF;
  RETURN s;
END $$;

-- Write an entry of the change log, and return its id.
CREATE FUNCTION zot_catalog_functions.log(
  s zot_catalog_functions.scope, kind text, tag text, before text, after text, media_type text
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  entry bigint;
BEGIN
  INSERT INTO zot_catalog.change_new
    (repository, kind, tag, digest_before, digest_after, media_type, at_ns, changed_by, source)
  VALUES (s.repository, kind, tag, before, after, media_type, s.now_ns, s.actor, s.source)
  RETURNING id INTO entry;
  RETURN entry;
END $$;

-- Create the repository unless it exists. It comes before all other entries.
CREATE FUNCTION zot_catalog_functions.create_repository(s zot_catalog_functions.scope)
RETURNS zot_catalog_functions.scope LANGUAGE plpgsql AS $$
BEGIN
  IF s.reserved THEN
    s.reserved := false;
    s.created := zot_catalog_functions.log(s, 'repository created', NULL, NULL, NULL, NULL);
  END IF;
  RETURN s;
END $$;

-- End a command: write the counts, and the outcome under the command's id. A change that the layout has to show gives a
-- new revision and makes an export due.
CREATE FUNCTION zot_catalog_functions.finish(
  s zot_catalog_functions.scope, c jsonb, outcome jsonb, remembered boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF s.reserved THEN
    DELETE FROM zot_catalog.repository WHERE name = s.repository;
  ELSIF s.changed OR s.created IS NOT NULL OR s.bytes <> 0 OR s.blobs <> 0 THEN
    UPDATE zot_catalog.repository SET bytes = bytes + s.bytes, blobs = blobs + s.blobs,
      manifests = manifests + s.manifests, tags = tags + s.tags, revision = revision + s.changed::int,
      due_ns = CASE WHEN s.changed THEN coalesce(due_ns, s.now_ns) ELSE due_ns END,
      created = coalesce(s.created, created), clock_ns = s.now_ns
    WHERE name = s.repository;
  END IF;
  IF remembered THEN
    INSERT INTO zot_catalog.remembered (command, at_ns, outcome)
    VALUES (c->>'id', zot_catalog_functions.now_ns(), outcome);
  END IF;
  RETURN outcome;
END $$;

-- Return the refusal by the first quota that would be exceeded, NULL if none is. The quotas of several repositories are
-- locked, in one order, until the end of the transaction: no two commands use the same space.
CREATE FUNCTION zot_catalog_functions.exceeded_quota(s zot_catalog_functions.scope, quotas jsonb, growth bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  quota jsonb;
  lock_key int;
  used bigint;
BEGIN
  IF growth <= 0 THEN
    RETURN NULL;
  END IF;
  FOR lock_key IN
    SELECT DISTINCT hashtext((each->'patterns')::text) FROM jsonb_array_elements(quotas) AS each
    WHERE jsonb_array_length(each->'patterns') > 0 ORDER BY 1
  LOOP
    PERFORM pg_advisory_xact_lock(2052682852, lock_key);
  END LOOP;
  FOR quota IN SELECT * FROM jsonb_array_elements(quotas) LOOP
    IF jsonb_array_length(quota->'patterns') = 0 THEN
      SELECT coalesce(sum(bytes), 0) INTO used FROM zot_catalog.repository WHERE name = s.repository;
    ELSE
      SELECT coalesce(sum(bytes), 0) INTO used FROM zot_catalog.repository WHERE name ~ (quota->>'expression');
    END IF;
    IF used + growth > (quota->>'limit_bytes')::bigint THEN
      RETURN jsonb_build_object('type', 'OverQuota', 'limit', quota->'limit_bytes', 'used', used,
        'of_repositories', false, 'patterns', quota->'patterns');
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
