-- The change log. A change writes its entries without a number, so that no change waits for another repository's. Who
-- reads the log numbers first what is committed, under one lock: so numbers have no gap, and no entry ever gets a
-- smaller one than an entry that was read before it.

-- Number entries, some thousand at most; return how many. In the order of ids: one change that follows another one has
-- greater ids.
CREATE FUNCTION zot_catalog_functions.number_changes() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  last bigint;
  numbered bigint;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM zot_catalog.change_new) THEN
    RETURN 0;
  END IF;
  PERFORM zot_catalog_functions.set_durable(true);
  SELECT newest INTO last FROM zot_catalog.change_state FOR UPDATE;
  WITH entry AS (
    DELETE FROM zot_catalog.change_new
    WHERE id = ANY(array(SELECT id FROM zot_catalog.change_new ORDER BY id LIMIT 5000)) RETURNING *
  )
  INSERT INTO zot_catalog.change_log
  SELECT last + row_number() OVER (ORDER BY id), id, repository, kind, tag, digest_before, digest_after, media_type,
    at_ns, changed_by, source
  FROM entry;
  GET DIAGNOSTICS numbered = ROW_COUNT;
  UPDATE zot_catalog.change_state SET newest = newest + numbered;
  RETURN numbered;
END $$;

-- A page of the log after an entry, with what tells whether a reader may go on. One row at least, without an entry if
-- none follows: all of it is read at one moment.
CREATE FUNCTION zot_catalog_functions.changes(after_sequence bigint, after_ns bigint, most bigint) RETURNS TABLE (
  trimmed bigint, newest bigint, newest_ns bigint, is_known boolean, sequence bigint, kind text, repository text,
  tag text, digest_before text, digest_after text, media_type text, at_ns bigint, changed_by text, source text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM zot_catalog_functions.number_changes();
  RETURN QUERY
  SELECT state.trimmed, last.sequence, last.at_ns,
    EXISTS (SELECT 1 FROM zot_catalog.change_log AS l WHERE l.sequence = after_sequence AND l.at_ns = coalesce(after_ns, l.at_ns)),
    page.*
  FROM zot_catalog.change_state AS state
  LEFT JOIN LATERAL (
    SELECT l.sequence, l.at_ns FROM zot_catalog.change_log AS l ORDER BY l.sequence DESC LIMIT 1) AS last ON true
  LEFT JOIN LATERAL (
    SELECT l.sequence, l.kind, l.repository, l.tag, l.digest_before, l.digest_after, l.media_type, l.at_ns,
      l.changed_by, l.source
    FROM zot_catalog.change_log AS l WHERE l.sequence > greatest(after_sequence, state.trimmed)
    ORDER BY l.sequence LIMIT most) AS page ON true
  ORDER BY page.sequence;
END $$;

-- What is the history of a tag stays: entries of repositories that exist, since their creation.
CREATE FUNCTION zot_catalog_functions.trim_changes(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  state zot_catalog.change_state;
  aged bigint;
  until_ns bigint := zot_catalog_functions.now_ns() - trunc((c->>'older_than_s')::double precision * 1e9)::bigint;
  most bigint := greatest(0, (c->>'limit')::bigint);
  horizon bigint;
BEGIN
  PERFORM zot_catalog_functions.set_durable(false);
  FOR attempt IN 1..20 LOOP
    EXIT WHEN zot_catalog_functions.number_changes() < 5000;
  END LOOP;
  SELECT * INTO state FROM zot_catalog.change_state FOR UPDATE;
  SELECT coalesce(max(sequence), 0) INTO aged FROM (
    SELECT sequence, at_ns FROM zot_catalog.change_log WHERE sequence > state.trimmed ORDER BY sequence LIMIT most
  ) AS oldest WHERE at_ns <= until_ns;
  -- As `TrimChanges.horizon` has it.
  horizon := greatest(state.trimmed, least(greatest(state.newest - (c->>'keep')::bigint, aged), state.trimmed + most,
    state.newest - 1));
  IF horizon > state.trimmed THEN
    DELETE FROM zot_catalog.change_log AS entry
    WHERE sequence > state.trimmed AND sequence <= horizon AND (tag IS NULL OR id <= coalesce(
      (SELECT created FROM zot_catalog.repository WHERE name = entry.repository), id));
    UPDATE zot_catalog.change_state SET trimmed = horizon;
  END IF;
  RETURN to_jsonb(horizon - state.trimmed);
END $$;
