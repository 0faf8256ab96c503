"""The schema of the search index, and how its columns are written.

Digests are packed into bytes: an index on 33 bytes is half of one on 71 characters. Everything is derived from the
catalog and from content, so another version of the schema is no migration: the file is made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from zot.oci.digest import HEX_LENGTHS, Digest

APPLICATION_ID = 0x7A6F7473
"""`zots`."""
VERSION = 4
"""Grows with each change of the schema, or of what is written into it."""

SCHEMA = """
CREATE TABLE state (
  sequence INTEGER NOT NULL,      -- the cursor in the catalog's change log
  at_ns INTEGER NOT NULL,
  filling INTEGER NOT NULL,       -- `Filling`
  filled_to TEXT NOT NULL,        -- the last repository that was read
  done INTEGER NOT NULL,
  total INTEGER NOT NULL,
  importing INTEGER NOT NULL,     -- 0: the catalog had all layouts of the store when it was read
  names INTEGER NOT NULL          -- the version of the set of repositories; begins anywhere
) STRICT;
INSERT INTO state VALUES (0, 0, 2, '', 0, 0, 1, abs(random() % 1000000000000));

CREATE TABLE repository (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again
  name TEXT NOT NULL UNIQUE,
  images INTEGER NOT NULL DEFAULT 0,     -- tags, without those of signatures
  newest INTEGER,                        -- the image that was created last
  updated_ns INTEGER,
  pushed_ns INTEGER NOT NULL DEFAULT 0,
  downloads INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX repository_by_update ON repository (updated_ns DESC, name) WHERE images > 0;
CREATE INDEX repository_by_push ON repository (pushed_ns DESC, name) WHERE images > 0;
CREATE INDEX repository_by_downloads ON repository (downloads DESC, name) WHERE images > 0;

-- What manifests say: one row a digest, whichever repositories have it.
CREATE TABLE content (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  is_index INTEGER NOT NULL,
  kind TEXT NOT NULL,
  tool TEXT,                      -- of a signature
  own_size INTEGER NOT NULL,
  size INTEGER NOT NULL,          -- with config and layers
  config BLOB,                    -- digest
  config_size INTEGER NOT NULL,
  os TEXT NOT NULL,
  arch TEXT NOT NULL,
  variant TEXT NOT NULL,
  created_ns INTEGER,
  chain INTEGER,                  -- hash of all layers, in order
  vendor TEXT NOT NULL,
  is_whole INTEGER NOT NULL,      -- 0: bytes of it or of its config were missing; it is read again
  manifest_facts BLOB NOT NULL,
  config_facts BLOB NOT NULL
) STRICT;
CREATE INDEX content_by_config ON content (config) WHERE config IS NOT NULL;
CREATE INDEX content_by_chain ON content (chain) WHERE chain IS NOT NULL;
CREATE INDEX content_incomplete ON content (id) WHERE NOT is_whole;

CREATE TABLE layer (
  content INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  digest BLOB NOT NULL,
  size INTEGER NOT NULL,
  chain INTEGER NOT NULL,         -- hash of this layer and those before it
  PRIMARY KEY (content, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX layer_by_digest ON layer (digest);
CREATE INDEX layer_by_chain ON layer (chain);

CREATE TABLE child (
  content INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (content, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX child_by_digest ON child (digest);

CREATE TABLE label (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  content INTEGER NOT NULL,
  PRIMARY KEY (key, value, content)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_content ON label (content);

-- A manifest of a repository, tagged or not.
CREATE TABLE manifest (
  repository INTEGER NOT NULL,
  content INTEGER NOT NULL,
  subject BLOB,                   -- digest
  pushed_ns INTEGER NOT NULL,
  pushed_by TEXT NOT NULL,
  tags INTEGER NOT NULL DEFAULT 0,
  traits TEXT NOT NULL DEFAULT '[]',  -- what it adds to the table `trait` while it is tagged
  size INTEGER NOT NULL DEFAULT 0,    -- of an index: of its parts
  updated_ns INTEGER,
  kind TEXT NOT NULL DEFAULT '',
  signed INTEGER NOT NULL DEFAULT 0,
  downloads INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (repository, content)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_by_content ON manifest (content);
CREATE INDEX manifest_by_subject ON manifest (repository, subject) WHERE subject IS NOT NULL;

-- The manifests of an image that are in its repository: itself, or those of an index.
CREATE TABLE part (
  repository INTEGER NOT NULL,
  content INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  manifest INTEGER NOT NULL,      -- content
  PRIMARY KEY (repository, content, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX part_by_manifest ON part (manifest, repository);

-- The platforms of those, in lower case.
CREATE TABLE platform (
  repository INTEGER NOT NULL,
  os TEXT NOT NULL,
  arch TEXT NOT NULL,
  variant TEXT NOT NULL,
  content INTEGER NOT NULL,
  PRIMARY KEY (repository, os, arch, variant, content)
) STRICT, WITHOUT ROWID;
CREATE INDEX platform_by_content ON platform (repository, content);

CREATE TABLE image (
  id INTEGER PRIMARY KEY,         -- in the range of its repository: `image_range`
  repository INTEGER NOT NULL,
  tag TEXT NOT NULL,
  version TEXT NOT NULL,          -- the tag as it is sorted by name: `version_key`
  content INTEGER NOT NULL,
  tagged_ns INTEGER NOT NULL,
  moved_ns INTEGER NOT NULL,
  updated_ns INTEGER,
  size INTEGER NOT NULL DEFAULT 0,
  kind TEXT NOT NULL DEFAULT '',
  signed INTEGER NOT NULL DEFAULT 0,
  downloads INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX image_by_tag ON image (repository, tag);
CREATE INDEX image_by_version ON image (repository, version, tag);
CREATE INDEX image_by_content ON image (repository, content);
CREATE INDEX image_by_update ON image (repository, updated_ns DESC, tag);
CREATE INDEX image_by_push ON image (repository, moved_ns DESC, tag);
CREATE INDEX image_by_downloads ON image (repository, downloads DESC, tag);
CREATE INDEX image_by_size ON image (repository, size DESC, tag);
CREATE INDEX image_by_push_anywhere ON image (moved_ns DESC);
CREATE VIRTUAL TABLE tag_text USING fts5 (tag, content = '', contentless_delete = 1, tokenize = 'trigram',
  detail = 'full');

-- Tags of signatures and of the referrers tag scheme, which are no images.
CREATE TABLE attached (
  repository INTEGER NOT NULL,
  tag TEXT NOT NULL,
  content INTEGER NOT NULL,
  PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX attached_by_content ON attached (repository, content);

-- How many tagged manifests of a repository have a property.
CREATE TABLE trait (
  name TEXT NOT NULL,             -- platform, kind, signed, vendor
  repository INTEGER NOT NULL,
  value TEXT NOT NULL,            -- of a platform: its system, and the next two, in lower case
  arch TEXT NOT NULL,
  variant TEXT NOT NULL,
  manifests INTEGER NOT NULL,
  PRIMARY KEY (name, repository, value, arch, variant)
) STRICT, WITHOUT ROWID;
"""

_CODES = dict(zip(sorted(HEX_LENGTHS), range(1, 1 + len(HEX_LENGTHS)), strict=True))
_ALGORITHMS = {code: name for name, code in _CODES.items()}


def image_range(repository: int) -> tuple[int, int]:
    """Return the least and the greatest number of a repository's images.

    The texts of tags have the same numbers: those of one repository are looked through without the others'.
    """
    return repository << 32, ((repository + 1) << 32) - 1


def pack(digest: Digest) -> bytes:
    """Return a digest as the index writes it."""
    algorithm, _, encoded = digest.partition(":")
    return bytes((_CODES[algorithm],)) + bytes.fromhex(encoded)


def unpack(packed: bytes) -> Digest:
    """Return the digest that `pack` has packed."""
    return Digest(f"{_ALGORITHMS[packed[0]]}:{packed[1:].hex()}")


def packed_range(prefix: str) -> tuple[bytes, bytes] | None:
    """Return the least packed digest that begins with `algorithm:hex`, and one above all; None if none does."""
    algorithm, colon, encoded = prefix.lower().partition(":")
    length = HEX_LENGTHS.get(algorithm, 0)
    if not colon or len(encoded) > length or not set(encoded) <= set("0123456789abcdef"):
        return None
    code = bytes((_CODES[algorithm],))
    return code + bytes.fromhex(encoded.ljust(length, "0")), code + bytes.fromhex(encoded.ljust(length, "f")) + b"\0"


def chains(layers: Iterable[bytes]) -> list[int]:
    """Return the hash of each prefix of a list of packed layers: equal prefixes have equal hashes.

    The hash has 63 bits: two different prefixes of a store are not expected to share one, and a client who made them
    do so would only have an image listed as a base of another.
    """
    found: list[int] = []
    above = b""
    for packed in layers:
        above = hashlib.blake2b(packed, key=above, digest_size=16).digest()
        found.append(int.from_bytes(above[:8], "big") >> 1)
    return found
