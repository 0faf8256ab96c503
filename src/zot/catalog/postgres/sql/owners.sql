-- Commands on owners and their leases.

-- Until the end of the transaction no command of the owner is carried out.
CREATE FUNCTION zot_catalog_functions.stop_owner(owner_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(2052682851, hashtext(owner_id));
END $$;

-- End an owner's lease: its claims are dropped, and its named leases are free.
CREATE FUNCTION zot_catalog_functions.end_lease(owner_id text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  now_ns bigint := zot_catalog_functions.now_ns();
BEGIN
  INSERT INTO zot_catalog.owner AS old (id, expires_ns, ended_ns) VALUES (owner_id, now_ns, now_ns)
  ON CONFLICT (id) DO UPDATE SET ended_ns = coalesce(old.ended_ns, excluded.ended_ns);
  DELETE FROM zot_catalog.claim WHERE owner = owner_id;
  UPDATE zot_catalog.lease SET owner = NULL WHERE owner = owner_id;
END $$;

-- The outcomes of commands that are not repeated any more go with it: those that are too old, and those of a time that
-- the server's clock has since gone back from.
CREATE FUNCTION zot_catalog_functions.renew_owner(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now_ns bigint := zot_catalog_functions.now_ns();
  renewed boolean;
BEGIN
  PERFORM zot_catalog_functions.set_durable(false);
  PERFORM zot_catalog_functions.hold_owner(c->>'owner');
  INSERT INTO zot_catalog.owner AS old (id, expires_ns)
  VALUES (c->>'owner', now_ns + ((c->>'lease_s')::double precision * 1e9)::bigint)
  ON CONFLICT (id) DO UPDATE SET expires_ns = excluded.expires_ns WHERE old.ended_ns IS NULL;
  renewed := FOUND;
  DELETE FROM zot_catalog.remembered WHERE at_ns <= now_ns - 60000000000;
  DELETE FROM zot_catalog.remembered WHERE at_ns > now_ns + 60000000000;
  RETURN to_jsonb(renewed);
END $$;

CREATE FUNCTION zot_catalog_functions.end_owner(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM zot_catalog_functions.set_durable(true);
  PERFORM zot_catalog_functions.stop_owner(c->>'owner');
  PERFORM zot_catalog_functions.end_lease(c->>'owner');
  RETURN 'null';
END $$;

-- Another server that ends them at the same time takes the same locks in the same order.
CREATE FUNCTION zot_catalog_functions.end_expired_owners(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now_ns bigint := zot_catalog_functions.now_ns();
  expired text[];
  owner_id text;
BEGIN
  PERFORM zot_catalog_functions.set_durable(false);
  FOR owner_id IN
    SELECT id FROM zot_catalog.owner WHERE ended_ns IS NULL AND expires_ns <= now_ns AND id <> c->>'owner'
    ORDER BY hashtext(id)
  LOOP
    PERFORM zot_catalog_functions.stop_owner(owner_id);
  END LOOP;
  expired := array(
    SELECT id FROM zot_catalog.owner WHERE ended_ns IS NULL AND expires_ns <= now_ns AND id <> c->>'owner'
    ORDER BY id FOR UPDATE);
  FOREACH owner_id IN ARRAY expired LOOP
    PERFORM zot_catalog_functions.end_lease(owner_id);
  END LOOP;
  DELETE FROM zot_catalog.owner WHERE ended_ns <= now_ns - 604800000000000;
  RETURN to_jsonb(expired);
END $$;

-- A fence is not given twice, even if the server crashes: so the change is durable.
CREATE FUNCTION zot_catalog_functions.acquire_lease(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  held zot_catalog.lease;
BEGIN
  PERFORM zot_catalog_functions.set_durable(true);
  PERFORM zot_catalog_functions.hold_owner(c->>'owner');
  PERFORM zot_catalog_functions.require_alive(c->>'owner');
  SELECT * INTO held FROM zot_catalog.lease WHERE name = c->>'name';
  IF held.owner IS NULL THEN
    INSERT INTO zot_catalog.lease AS old (name, owner, fence) VALUES (c->>'name', c->>'owner', 1)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = old.fence + 1 WHERE old.owner IS NULL;
    SELECT * INTO held FROM zot_catalog.lease WHERE name = c->>'name';
  END IF;
  IF held.owner <> c->>'owner' THEN
    RETURN 'null';
  END IF;
  RETURN jsonb_build_object('name', held.name, 'owner', held.owner, 'fence', held.fence);
END $$;

CREATE FUNCTION zot_catalog_functions.release_lease(c jsonb, content bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM zot_catalog_functions.set_durable(false);
  UPDATE zot_catalog.lease SET owner = NULL
  WHERE name = c->'lease'->>'name' AND owner = c->'lease'->>'owner' AND fence = (c->'lease'->>'fence')::bigint;
  RETURN to_jsonb(FOUND);
END $$;

-- Begin a start of a server on the store of this id; return the id of the store that the catalog belongs to. `is_alone`:
-- locks prove that the processes of all earlier owners are gone, so their leases end, and all that is named is free.
CREATE FUNCTION zot_catalog_functions.begin_owner(
  new_owner text, lease_s double precision, store text, is_alone boolean
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  now_ns bigint := zot_catalog_functions.now_ns();
  known text;
  other text;
BEGIN
  PERFORM zot_catalog_functions.set_durable(true);
  INSERT INTO zot_catalog.setting (name, value) VALUES ('store', store) ON CONFLICT DO NOTHING;
  SELECT value INTO known FROM zot_catalog.setting WHERE name = 'store';
  IF known <> store THEN
    RETURN known;
  END IF;
  IF is_alone THEN
    FOR other IN
      SELECT id FROM zot_catalog.owner WHERE ended_ns IS NULL AND id <> new_owner ORDER BY hashtext(id)
    LOOP
      PERFORM zot_catalog_functions.stop_owner(other);
      PERFORM zot_catalog_functions.end_lease(other);
    END LOOP;
    DELETE FROM zot_catalog.claim WHERE owner <> new_owner;
    DELETE FROM zot_catalog.owner WHERE ended_ns <= now_ns - 604800000000000;
  END IF;
  INSERT INTO zot_catalog.owner AS old (id, expires_ns)
  VALUES (new_owner, now_ns + (lease_s * 1e9)::bigint)
  ON CONFLICT (id) DO UPDATE SET expires_ns = excluded.expires_ns WHERE old.ended_ns IS NULL;
  RETURN known;
END $$;
