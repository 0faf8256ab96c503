"""The tables, and how an older database becomes the present one.

Keys start with the repository's name: a point read needs no lookup of an id first, and pages come in byte order from
the index itself. Nothing about a state is stored twice but three things, which the handlers maintain because computing
them would cost as much as the store is large: `blob.referenced`, `manifest.kept`, and the counts of a repository.
"""

from __future__ import annotations

from pathlib import Path

import apsw

from zot.catalog.interface import CatalogUnavailableError, CatalogUnusableError
from zot.foundation.sqlite_schema import SchemaMismatchError, SqliteSchema

_FIRST = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE repository (
  name TEXT PRIMARY KEY,
  adopted INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  blobs INTEGER NOT NULL DEFAULT 0,
  manifests INTEGER NOT NULL DEFAULT 0,
  tags INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0,
  exported INTEGER NOT NULL DEFAULT 0,
  due_ns INTEGER,
  export_digest TEXT,
  export_signature TEXT,
  export_intent TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_due ON repository (due_ns) WHERE due_ns IS NOT NULL AND adopted;
CREATE INDEX repository_holding_manifests ON repository (name) WHERE manifests > 0;

CREATE TABLE blob (
  repository TEXT NOT NULL REFERENCES repository,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  referenced INTEGER NOT NULL,
  stamp_s REAL,
  doom TEXT, -- the token it is doomed under; NULL: it is present
  PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_holders ON blob (digest, repository) WHERE doom IS NULL;
CREATE INDEX blob_loose ON blob (repository, digest) WHERE NOT referenced AND doom IS NULL;
CREATE INDEX blob_doomed ON blob (repository, digest) WHERE doom IS NOT NULL;

CREATE TABLE claim (
  repository TEXT NOT NULL REFERENCES repository,
  digest TEXT NOT NULL,
  token TEXT NOT NULL,
  PRIMARY KEY (repository, digest, token)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifest (
  id INTEGER PRIMARY KEY,
  repository TEXT NOT NULL REFERENCES repository,
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size INTEGER NOT NULL,
  artifact_type TEXT,
  subject TEXT,
  pushed_ns INTEGER NOT NULL,
  pushed_by TEXT NOT NULL,
  kept INTEGER NOT NULL,
  stamp_s REAL,
  annotations TEXT NOT NULL, -- last, since it may be long and hot reads leave it alone
  UNIQUE (repository, digest)
) STRICT;
CREATE INDEX manifest_subject ON manifest (repository, subject, digest) WHERE subject IS NOT NULL;
CREATE INDEX manifest_loose ON manifest (repository, digest) WHERE NOT kept;

CREATE TABLE content (
  manifest_id INTEGER PRIMARY KEY REFERENCES manifest ON DELETE CASCADE,
  bytes BLOB NOT NULL
) STRICT;

CREATE TABLE edge (
  repository TEXT NOT NULL,
  digest TEXT NOT NULL,
  manifest_id INTEGER NOT NULL REFERENCES manifest ON DELETE CASCADE,
  media_type TEXT NOT NULL,
  child INTEGER NOT NULL,
  PRIMARY KEY (repository, digest, manifest_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_manifest ON edge (manifest_id);

CREATE TABLE tag (
  repository TEXT NOT NULL REFERENCES repository,
  name TEXT NOT NULL,
  manifest_id INTEGER NOT NULL REFERENCES manifest,
  created_ns INTEGER NOT NULL,
  moved_ns INTEGER NOT NULL,
  moved_by TEXT NOT NULL,
  PRIMARY KEY (repository, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_manifest ON tag (manifest_id);

CREATE TABLE tag_log (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  repository TEXT NOT NULL REFERENCES repository,
  tag TEXT NOT NULL,
  digest_before TEXT,
  digest_after TEXT,
  at_ns INTEGER NOT NULL,
  moved_by TEXT NOT NULL
) STRICT;
CREATE INDEX tag_log_repository ON tag_log (repository);
CREATE INDEX tag_log_tag ON tag_log (repository, tag);

CREATE TABLE upload (
  session TEXT PRIMARY KEY,
  repository TEXT NOT NULL REFERENCES repository,
  principal TEXT NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 0,
  received INTEGER NOT NULL DEFAULT 0,
  algorithm TEXT NOT NULL,
  prefix TEXT,
  boot TEXT NOT NULL DEFAULT '',
  updated_ns INTEGER NOT NULL,
  finished TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_repository ON upload (repository, finished);
CREATE INDEX upload_updated ON upload (updated_ns);

CREATE TABLE remembered (
  command TEXT PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  outcome BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_at ON remembered (at_ns);
"""

_PLACED = """
ALTER TABLE blob ADD COLUMN placed_ns INTEGER NOT NULL DEFAULT 0;
"""

# The client whose limit on open sessions an upload counts against.
_OWNED = """
ALTER TABLE upload ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX upload_owner ON upload (repository, owner, finished);
"""

# What another program wrote into a layout and this one cannot read, or cannot name.
_CARRIED = """
CREATE TABLE carried (
  repository TEXT NOT NULL REFERENCES repository,
  key TEXT NOT NULL,
  line BLOB NOT NULL,
  digest TEXT,
  name TEXT,
  media_type TEXT NOT NULL,
  unread TEXT,
  PRIMARY KEY (repository, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX carried_digest ON carried (repository, digest) WHERE digest IS NOT NULL;
CREATE INDEX carried_name ON carried (repository, name) WHERE name IS NOT NULL;
CREATE INDEX carried_unread ON carried (repository) WHERE unread IS NOT NULL;

ALTER TABLE manifest ADD COLUMN whole INTEGER NOT NULL DEFAULT 1;
CREATE INDEX manifest_not_whole ON manifest (repository) WHERE NOT whole;

ALTER TABLE tag ADD COLUMN written TEXT;
"""

COPY_TAG_LOG = """
INSERT INTO change_log (sequence, repository, kind, tag, digest_before, digest_after, at_ns, changed_by, source)
SELECT sequence, repository,
  iif(digest_after IS NULL, 'tag deleted', iif(digest_before IS NULL, 'tag created', 'tag moved')),
  tag, digest_before, digest_after, at_ns, moved_by,
  iif(moved_by = ':index.json', 'merge', iif(moved_by = 'garbage collection', 'retention', 'client'))
FROM tag_log;
"""
"""Copies the history of tags as schemas before the change log had it, in a table of its own."""

# All changes, not those of tags alone. For consumers the log begins with what is newer.
_CHANGE_LOG = f"""
CREATE TABLE change_log (
  sequence INTEGER PRIMARY KEY, -- in the order of commits; the newest row is never deleted
  repository TEXT NOT NULL, -- without a reference: its entries outlive it
  kind TEXT NOT NULL,
  tag TEXT,
  digest_before TEXT,
  digest_after TEXT,
  media_type TEXT,
  at_ns INTEGER NOT NULL,
  changed_by TEXT NOT NULL,
  source TEXT NOT NULL
) STRICT;
{COPY_TAG_LOG}
CREATE INDEX change_log_repository ON change_log (repository) WHERE tag IS NOT NULL;
CREATE INDEX change_log_tag ON change_log (repository, tag) WHERE tag IS NOT NULL;
DROP TABLE tag_log;

-- The entry of the log by which the repository began; 0: it is older than the log.
ALTER TABLE repository ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
-- The last entry that was dropped for consumers.
INSERT INTO setting (name, value) SELECT 'changes_trimmed', coalesce(max(sequence), 0) FROM change_log;
"""  # noqa: S608 (a statement of constants)

# Owners and their leases. `doomed_by` NULL in a doomed blob: an earlier version decided the delete.
_OWNERS = """
CREATE TABLE owner (
  id TEXT PRIMARY KEY,
  expires_ns INTEGER NOT NULL,
  ended_ns INTEGER -- NULL: the lease is held, or can be renewed
) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
  name TEXT PRIMARY KEY,
  owner TEXT, -- NULL: it is free
  fence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

DELETE FROM claim;
ALTER TABLE claim ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX claim_owner ON claim (owner);
ALTER TABLE blob ADD COLUMN doomed_by TEXT;
ALTER TABLE upload RENAME COLUMN owner TO client;
ALTER TABLE upload RENAME COLUMN boot TO recorded_by;
"""

# What is done with the file of a doomed blob. NULL: it is unlinked, as earlier versions did.
_DISPOSAL = """
ALTER TABLE blob ADD COLUMN disposal TEXT;
"""

# Bytes of small blobs whose files are not in the layout yet: a few rows, or none.
_HELD = """
CREATE TABLE held (
  repository TEXT NOT NULL,
  digest TEXT NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
"""

# What a storage driver needs to find the staged bytes of an upload again.
_DRIVER_STATE = """
ALTER TABLE upload ADD COLUMN driver_state BLOB NOT NULL DEFAULT x'';
"""

MIGRATIONS = (_FIRST, _PLACED, _OWNED, _CARRIED, _CHANGE_LOG, _OWNERS, _DISPOSAL, _HELD, _DRIVER_STATE)
"""Scripts that lead from each version to the next; what was released is never edited. Each takes less than a second."""

# "zotc"
SCHEMA = SqliteSchema(0x7A6F7463, MIGRATIONS)


def check_present(connection: apsw.Connection) -> None:
    """Raise CatalogUnavailableError unless the writer has brought the database to the present version."""
    version: int = connection.pragma("user_version")
    if version != SCHEMA.version:
        raise CatalogUnavailableError(
            f"the catalog has schema {version}, not {SCHEMA.version}: its writer has not migrated it yet"
        )


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Migrate the database to the present version. Raises CatalogUnusableError if another program or version wrote it.

    Each step is carried out whole or not at all. Raises apsw.Error.
    """
    try:
        SCHEMA.migrate(connection, path)
    except SchemaMismatchError as error:
        raise CatalogUnusableError(str(error)) from error
