"""A second reader of a store: its content and its flaws, by the standard library alone.

It shares no code with the product on purpose, and believes nothing that it can compute: bytes are hashed again, and
files listed from the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from crash.expected import Key

REF_NAME = "org.opencontainers.image.ref.name"

_KNOWN_FILES = re.compile(
    r"""\.zot/(store\.json|lock|reserve|catalog\.(lock|revision)|catalog\.db(-wal|-shm)?|writer\.sock|metrics/.+|identity\.db.*|.+\.db.*)
    | .+/(oci-layout|index\.json)
    | .+/blobs/(sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})""",
    re.VERBOSE,
)
# A row of `tag`, `manifest` and `content` each, or what is missing of it.
_TAGS = """
SELECT tag.repository, tag.name, manifest.digest, manifest.repository FROM tag
LEFT JOIN manifest ON manifest.id = tag.manifest_id
"""
_MANIFESTS = "SELECT repository, digest, bytes FROM manifest LEFT JOIN content ON manifest_id = id"
_HELD = "SELECT repository, digest, bytes FROM held"
_BLOBS = "SELECT repository, digest, size FROM blob WHERE doom IS NULL"


class Holdings:
    """The content of a store at rest.

    `flaws` says what is not as it must be, whatever happened; `litter` what upkeep will clear away some time.
    """

    def __init__(self, root: Path) -> None:
        """Read the whole store."""
        self.contents: dict[Key, str] = {}
        self.flaws: list[str] = []
        self.litter: list[str] = []
        self._root = root
        self._manifests: dict[str, dict[str, bytes]] = {}
        with closing(sqlite3.connect(f"file:{root}/.zot/catalog.db?mode=ro", uri=True)) as catalog:
            (sound,) = catalog.execute("PRAGMA integrity_check").fetchone()
            if sound != "ok":
                self.flaws.append(f"the catalog's database is damaged: {sound}")
            self._read_catalog(catalog)
        for repository in sorted(self._manifests):
            self._read_layout(repository)
        self._look_for_litter()

    # --- the catalog ---

    def _read_catalog(self, catalog: sqlite3.Connection) -> None:
        for repository, name, digest, its_repository in catalog.execute(_TAGS):
            self.contents[Key("tag", repository, name)] = digest
            if its_repository != repository:
                self.flaws.append(f"tag {repository}:{name} points to no manifest of its repository")
        for (repository,) in catalog.execute("SELECT name FROM repository"):
            self._manifests[repository] = {}
        for repository, digest, content in catalog.execute(_MANIFESTS):
            self.contents[Key("manifest", repository, digest)] = ""
            if content is None or not _has_digest(content, digest):
                self.flaws.append(f"manifest {repository}@{digest} is damaged")
            else:
                self._manifests[repository][digest] = content
        held = {(repository, digest): content for repository, digest, content in catalog.execute(_HELD)}
        for repository, digest, size in catalog.execute(_BLOBS):
            self.contents[Key("blob", repository, digest)] = ""
            content = held.get((repository, digest))
            if content is None:
                content = self._content(repository, digest)
            if content is None or len(content) != size or not _has_digest(content, digest):
                self.flaws.append(f"blob {repository}@{digest} is {'damaged' if content else 'gone'}")
        for found, question, what in (
            (self.litter, "SELECT repository, digest FROM blob WHERE doom IS NOT NULL", "a removal is not finished"),
            (self.litter, "SELECT repository, digest FROM claim", "a claim is left"),
            (self.flaws, "SELECT repository, digest FROM held", "a blob has no file yet"),
            (self.flaws, "SELECT name FROM repository WHERE NOT adopted", "a repository is not imported"),
            (self.flaws, "SELECT name FROM repository WHERE exported <> revision", "a layout is not in sync"),
        ):
            found += [f"{what}: {'@'.join(row)}" for row in catalog.execute(question)]
        for repository, manifests in self._manifests.items():
            for digest, content in manifests.items():
                for needed in _needed(json.loads(content)):
                    if Key("blob", repository, needed) not in self.contents:
                        self.flaws.append(f"manifest {repository}@{digest} lacks its blob {needed}")

    # --- the files ---

    def _read_layout(self, repository: str) -> None:
        """Compare a repository's layout with the catalog: both have the same tags and manifests."""
        index = read_index(self._root / repository)
        if index is None:
            if self._manifests[repository]:
                self.flaws.append(f"{repository} has no index.json")
            return
        if isinstance(index, str):
            self.flaws.append(f"{repository}: {index}")
            return
        listed = {Key("manifest", repository, each["digest"]) for each in index}
        tags = {Key("tag", repository, tag): digest for tag, digest in tags_of(index).items()}
        known = {key for key in self.contents if key.kind == "manifest" and key.repository == repository}
        known_tags = {
            key: digest for key, digest in self.contents.items() if key.kind == "tag" and key.repository == repository
        }
        if tags != known_tags:
            self.flaws.append(f"{repository}: index.json has other tags than the catalog")
        if listed != known:
            self.flaws.append(f"{repository}: index.json lists other manifests than the catalog")
        for digest, content in self._manifests[repository].items():
            if self._content(repository, digest) != content:
                self.flaws.append(f"{repository}: the file of manifest {digest} is missing or damaged")

    def _content(self, repository: str, digest: str) -> bytes | None:
        try:
            return (self._root / repository / "blobs" / digest.replace(":", "/")).read_bytes()
        except FileNotFoundError:
            return None

    def _look_for_litter(self) -> None:
        for path in files_below(self._root):
            if not _KNOWN_FILES.fullmatch(path):
                self.litter.append(f"a file is left: {path}")
                continue
            repository, blobs, name = path.partition("/blobs/")
            digest = name.replace("/", ":")
            if blobs and not {Key("blob", repository, digest), Key("manifest", repository, digest)} & set(
                self.contents
            ):
                self.litter.append(f"an orphan file is left: {path}")


def torn_layouts(root: Path) -> Iterator[str]:
    """Iterate over the flaws of layouts in a store that was not started yet.

    At every instant each `index.json` is whole, and the manifests that it lists are there.
    """
    for path in files_below(root):
        if not path.endswith("/index.json"):
            continue
        repository = root / path.removesuffix("/index.json")
        index = read_index(repository)
        if not isinstance(index, list):
            yield f"{path}: {index}"
            continue
        for descriptor in index:
            file = repository / "blobs" / descriptor["digest"].replace(":", "/")
            if not file.exists() or not _has_digest(file.read_bytes(), descriptor["digest"]):
                yield f"{path} lists {descriptor['digest']}, whose file is missing or damaged"


def read_index(layout: Path) -> list[dict[str, Any]] | str | None:
    """Return the descriptors of a layout's `index.json`, or its flaw; None if it is missing."""
    try:
        document = json.loads((layout / "index.json").read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        return f"index.json is no JSON: {error}"
    descriptors: list[dict[str, Any]] | None = document.get("manifests")
    return descriptors if document.get("schemaVersion") == 2 and descriptors is not None else "index.json is no index"


def tags_of(index: list[dict[str, Any]]) -> Mapping[str, str]:
    """Return each tag of an index with its digest."""
    return {each["annotations"][REF_NAME]: each["digest"] for each in index if REF_NAME in each.get("annotations", {})}


def files_below(root: Path) -> Iterator[str]:
    """Iterate over the paths of all files, relative to the root."""
    prefix = len(str(root)) + 1
    for directory, _, files in os.walk(root):
        for name in files:
            yield f"{directory}/{name}"[prefix:]


def _has_digest(content: bytes, digest: str) -> bool:
    algorithm, _, claimed = digest.partition(":")
    return hashlib.new(algorithm, content).hexdigest() == claimed


def _needed(manifest: Any) -> Iterator[str]:
    """Iterate over the blobs that a manifest cannot do without."""
    config = manifest.get("config")
    for descriptor in [*([config] if config else []), *(manifest.get("layers") or [])]:
        if not descriptor.get("urls"):
            yield descriptor["digest"]
