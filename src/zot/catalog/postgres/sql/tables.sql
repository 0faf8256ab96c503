-- The tables of the catalog. Keys start with the repository's name, and text is in byte order, as in every driver.
-- Who changes a repository holds the lock of its row, so that no other reference has to be checked here.

-- `store`: the id of the store that the catalog belongs to.
CREATE TABLE zot_catalog.setting (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE zot_catalog.repository (
  name text COLLATE "C" PRIMARY KEY,
  imported boolean NOT NULL DEFAULT false,
  bytes bigint NOT NULL DEFAULT 0,
  blobs bigint NOT NULL DEFAULT 0,
  manifests bigint NOT NULL DEFAULT 0,
  tags bigint NOT NULL DEFAULT 0,
  revision bigint NOT NULL DEFAULT 0,
  exported bigint NOT NULL DEFAULT 0,
  due_ns bigint,
  export_digest text,
  export_signature text,
  export_intent text,
  created bigint NOT NULL DEFAULT 0, -- the id of the entry by which it began
  clock_ns bigint NOT NULL DEFAULT 0 -- the latest time of a change
) WITH (fillfactor = 70);
CREATE INDEX repository_due ON zot_catalog.repository (due_ns, name) WHERE due_ns IS NOT NULL AND imported;

CREATE TABLE zot_catalog.blob (
  repository text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  size bigint NOT NULL,
  referenced boolean NOT NULL,
  marked_s double precision,
  placed_ns bigint NOT NULL,
  doom text, -- the token it is doomed under; NULL: it is present
  doomed_by text,
  disposal text,
  PRIMARY KEY (repository, digest)
);
CREATE INDEX blob_holders ON zot_catalog.blob (digest, repository) WHERE doom IS NULL;
CREATE INDEX blob_unreferenced ON zot_catalog.blob (repository, digest) WHERE NOT referenced AND doom IS NULL;
CREATE INDEX blob_doomed ON zot_catalog.blob (repository, digest) WHERE doom IS NOT NULL;

-- Bytes of small blobs whose files are not in the layout yet: a few rows, or none.
CREATE TABLE zot_catalog.held (
  repository text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (repository, digest)
);

CREATE TABLE zot_catalog.claim (
  repository text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  token text COLLATE "C" NOT NULL,
  owner text COLLATE "C" NOT NULL,
  PRIMARY KEY (repository, digest, token)
);
CREATE INDEX claim_owner ON zot_catalog.claim (owner);

CREATE TABLE zot_catalog.manifest (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repository text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  media_type text NOT NULL,
  size bigint NOT NULL,
  artifact_type text,
  subject text COLLATE "C",
  pushed_ns bigint NOT NULL,
  pushed_by text NOT NULL,
  kept boolean NOT NULL,
  marked_s double precision,
  whole boolean NOT NULL,
  annotations text NOT NULL, -- JSON
  UNIQUE (repository, digest)
);
CREATE INDEX manifest_subject ON zot_catalog.manifest (repository, subject, digest) WHERE subject IS NOT NULL;
CREATE INDEX manifest_dangling ON zot_catalog.manifest (repository, digest) WHERE NOT kept;
CREATE INDEX manifest_not_whole ON zot_catalog.manifest (repository) WHERE NOT whole;

CREATE TABLE zot_catalog.content (
  manifest_id bigint PRIMARY KEY,
  bytes bytea NOT NULL
);

CREATE TABLE zot_catalog.edge (
  repository text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  manifest_id bigint NOT NULL,
  media_type text NOT NULL,
  child boolean NOT NULL,
  PRIMARY KEY (repository, digest, manifest_id)
);
CREATE INDEX edge_manifest ON zot_catalog.edge (manifest_id);

CREATE TABLE zot_catalog.tag (
  repository text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  manifest_id bigint NOT NULL,
  created_ns bigint NOT NULL,
  moved_ns bigint NOT NULL,
  moved_by text NOT NULL,
  written text,
  PRIMARY KEY (repository, name)
);
CREATE INDEX tag_manifest ON zot_catalog.tag (manifest_id);

-- What another program wrote into a layout and this one cannot read, or cannot name.
CREATE TABLE zot_catalog.carried (
  repository text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  line bytea NOT NULL,
  digest text COLLATE "C",
  name text COLLATE "C",
  media_type text NOT NULL,
  unread text,
  PRIMARY KEY (repository, key)
);
CREATE INDEX carried_digest ON zot_catalog.carried (repository, digest) WHERE digest IS NOT NULL;
CREATE INDEX carried_name ON zot_catalog.carried (repository, name) WHERE name IS NOT NULL;
CREATE INDEX carried_unread ON zot_catalog.carried (repository) WHERE unread IS NOT NULL;

-- Entries of the change log that have no sequence number yet: a reader numbers them once their commit is visible.
CREATE TABLE zot_catalog.change_new (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repository text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  tag text COLLATE "C",
  digest_before text,
  digest_after text,
  media_type text,
  at_ns bigint NOT NULL,
  changed_by text NOT NULL,
  source text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE zot_catalog.change_log (
  sequence bigint PRIMARY KEY, -- the newest row is never deleted
  id bigint NOT NULL,
  repository text COLLATE "C" NOT NULL, -- without a reference: its entries outlive it
  kind text NOT NULL,
  tag text COLLATE "C",
  digest_before text,
  digest_after text,
  media_type text,
  at_ns bigint NOT NULL,
  changed_by text NOT NULL,
  source text NOT NULL
);
CREATE INDEX change_log_repository ON zot_catalog.change_log (repository, sequence) WHERE tag IS NOT NULL;
CREATE INDEX change_log_tag ON zot_catalog.change_log (repository, tag, sequence) WHERE tag IS NOT NULL;

-- One row: the last sequence number that was given, and the last entry that was dropped for consumers.
CREATE TABLE zot_catalog.change_state (newest bigint NOT NULL, trimmed bigint NOT NULL);
INSERT INTO zot_catalog.change_state VALUES (0, 0);

CREATE TABLE zot_catalog.upload (
  session text COLLATE "C" PRIMARY KEY,
  repository text COLLATE "C" NOT NULL,
  principal text NOT NULL,
  epoch bigint NOT NULL DEFAULT 0,
  received bigint NOT NULL DEFAULT 0,
  algorithm text NOT NULL,
  prefix text,
  recorded_by text NOT NULL DEFAULT '',
  updated_ns bigint NOT NULL,
  finished text,
  client text COLLATE "C" NOT NULL,
  driver_state bytea NOT NULL DEFAULT ''
) WITH (fillfactor = 70);
CREATE INDEX upload_client ON zot_catalog.upload (repository, client) WHERE finished IS NULL;
CREATE INDEX upload_repository ON zot_catalog.upload (repository);

CREATE TABLE zot_catalog.owner (
  id text COLLATE "C" PRIMARY KEY,
  expires_ns bigint NOT NULL,
  ended_ns bigint -- NULL: the lease is held, or can be renewed
);

CREATE TABLE zot_catalog.lease (
  name text COLLATE "C" PRIMARY KEY,
  owner text, -- NULL: it is free
  fence bigint NOT NULL
);

CREATE TABLE zot_catalog.remembered (
  command text COLLATE "C" PRIMARY KEY,
  at_ns bigint NOT NULL,
  outcome jsonb NOT NULL
);
CREATE INDEX remembered_at ON zot_catalog.remembered (at_ns);
