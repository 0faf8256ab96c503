-- Commands of import and export.

CREATE FUNCTION zot_catalog_functions.import_layout(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, true);
  entry jsonb;
  m zot_catalog.manifest;
  bytes bytea;
  before text;
  gone text;
  left_alone jsonb := '[]';
BEGIN
  s := zot_catalog_functions.create_repository(s);
  FOR entry IN SELECT * FROM jsonb_array_elements(c->'blobs') LOOP
    s := zot_catalog_functions.add_blob(s, entry->>'digest', (entry->>'size')::bigint);
  END LOOP;
  FOR entry IN SELECT * FROM jsonb_array_elements(c->'manifests') LOOP
    bytes := decode(entry->>'content', 'base64');
    SELECT * INTO m FROM zot_catalog.manifest WHERE repository = s.repository AND digest = entry->>'digest';
    IF FOUND THEN
      s := zot_catalog_functions.mend_content(s, m.id, bytes);
    ELSE
      s := zot_catalog_functions.add_manifest(s, entry, bytes, (entry->>'pushed_ns')::bigint,
        (entry->>'whole')::boolean);
    END IF;
  END LOOP;
  -- Written as it was last read; an entry that is carried already as it is changes nothing.
  FOR entry IN SELECT * FROM jsonb_array_elements(c->'carried') LOOP
    INSERT INTO zot_catalog.carried AS old (repository, key, line, digest, name, media_type, unread)
    VALUES (s.repository, entry->>'key', decode(entry->>'line', 'base64'), entry->>'digest', entry->>'name',
      entry->>'media_type', entry->>'unread')
    ON CONFLICT (repository, key) DO UPDATE SET unread = excluded.unread
    WHERE old.unread IS DISTINCT FROM excluded.unread;
    IF FOUND THEN
      s.changed := true;
      PERFORM zot_catalog_functions.settle_kept(s.repository, ARRAY[entry->>'digest']);
    END IF;
  END LOOP;
  FOR entry IN SELECT * FROM jsonb_array_elements(c->'dropped') LOOP
    DELETE FROM zot_catalog.carried WHERE repository = s.repository AND key = entry #>> '{}'
    RETURNING digest INTO gone;
    IF FOUND THEN
      s.changed := true;
      PERFORM zot_catalog_functions.settle_kept(s.repository, ARRAY[gone]);
    END IF;
  END LOOP;
  IF (c->>'complete')::boolean THEN
    UPDATE zot_catalog.repository SET imported = true WHERE name = s.repository AND NOT imported;
  END IF;
  FOR entry IN SELECT * FROM jsonb_array_elements(c->'tags') LOOP
    before := (zot_catalog_functions.tag_at(s.repository, entry->>'tag')).digest;
    CONTINUE WHEN before = entry->>'digest';
    SELECT * INTO m FROM zot_catalog.manifest WHERE repository = s.repository AND digest = entry->>'digest';
    IF FOUND AND before IS NOT DISTINCT FROM entry->>'if_digest' THEN
      s := zot_catalog_functions.point_tag(s, entry->>'tag', before, m, entry->>'written');
    ELSE
      left_alone := left_alone || jsonb_build_array(entry->'tag');
    END IF;
  END LOOP;
  RETURN zot_catalog_functions.finish(s, c, left_alone, false);
END $$;

CREATE FUNCTION zot_catalog_functions.begin_export(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, true, false);
BEGIN
  UPDATE zot_catalog.repository SET export_intent = c->>'digest' WHERE name = s.repository AND imported;
  RETURN to_jsonb(FOUND);
END $$;

-- What changed during the export waits behind the repositories that are due already.
CREATE FUNCTION zot_catalog_functions.finish_export(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
  shown bigint := (c->>'revision')::bigint;
BEGIN
  UPDATE zot_catalog.repository SET exported = shown, export_digest = c->>'digest',
    export_signature = c->>'signature', export_intent = NULL,
    due_ns = CASE WHEN revision > shown THEN s.now_ns END
  WHERE name = s.repository AND exported <= shown;
  RETURN 'null';
END $$;

CREATE FUNCTION zot_catalog_functions.queue_export(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s zot_catalog_functions.scope := zot_catalog_functions.begin(c, false, false);
BEGIN
  s.changed := true;
  RETURN zot_catalog_functions.finish(s, c, 'null', false);
END $$;
