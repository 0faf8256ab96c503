"""The files of a build of zui, zot's interface, which can be served in place of our pages.

They are read once, so that a path of a request never becomes a path of the file system.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from zot.oci.digest import Digest

INDEX = "/index.html"

FILES_LIMIT = 4096
BYTES_LIMIT = 64 * 1024 * 1024
"""The most files, and bytes of files, of a build: zui has some 30, and 2 MB."""

_log = logging.getLogger("zot.ui")

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "webmanifest": "application/manifest+json",
    "txt": "text/plain; charset=utf-8",
    "xml": "application/xml",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "ico": "image/x-icon",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
    "eot": "application/vnd.ms-fontobject",
    "wasm": "application/wasm",
}
_COMPRESSED = frozenset({"html", "js", "mjs", "css", "json", "map", "webmanifest", "txt", "xml", "svg", "ttf", "eot"})
# Bundlers put hashes of the content into names: `assets/index-DQaujlc1.js`, `static/js/main.3f2a1b4c.js`.
_HASHED = re.compile(r"/(?:assets|static)/(?:.*/)?[^/]*[.-][0-9A-Za-z_-]{8,}(?:\.chunk)?\.[0-9a-z]+(?:\.map)?")


class ZuiBuildError(Exception):
    """The folder has no build that can be served; the message says why."""


class ZuiFile(NamedTuple):
    """A file of the build."""

    content_type: str
    content: bytes
    compressed: bytes | None
    """The same, by gzip; None where that is not smaller."""
    digest: Digest
    immutable: bool
    """Whether its name changes with its content."""


def check_build(folder: Path) -> None:
    """Return if a folder has a build, without reading it. Raises ZuiBuildError."""
    try:
        if not folder.is_dir():
            raise ZuiBuildError("there is no such folder")
        names = dict(_files(folder))
    except OSError as error:
        raise ZuiBuildError(str(error)) from error
    if INDEX not in names:
        raise ZuiBuildError("the folder has no index.html: it is not a build of zui")


def read_build(folder: Path) -> Mapping[str, ZuiFile]:
    """Return the files by the paths that they are served at. It blocks. Raises ZuiBuildError."""
    check_build(folder)
    try:
        return {served: _read(served, path) for served, path in _files(folder)}
    except OSError as error:
        raise ZuiBuildError(str(error)) from error


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield where files are served, and their paths without links.

    Hidden files, and links that lead out of the folder, are left out. Raises ZuiBuildError, OSError.
    """
    root = folder.resolve(strict=True)
    count = size = 0
    for directory, _, names in os.walk(root):
        for name in names:
            entry = Path(directory, name)
            served = f"/{entry.relative_to(root).as_posix()}"
            path = Path(os.path.realpath(entry))  # which, unlike `resolve`, fails for no links in a circle
            if "/." in served or not path.is_file():
                continue
            if not path.is_relative_to(root):
                _log.warning("not served: %s leads out of extensions.ui.path", entry)
                continue
            count, size = count + 1, size + path.stat().st_size
            if count > FILES_LIMIT or size > BYTES_LIMIT:
                raise ZuiBuildError(
                    f"it has more than {FILES_LIMIT} files or {BYTES_LIMIT >> 20} MiB: is it a build of zui?"
                )
            yield served, path


def _read(served: str, path: Path) -> ZuiFile:
    content = path.read_bytes()
    kind = served.rpartition("/")[2].rpartition(".")[2].lower()
    compressed = gzip.compress(content, 9, mtime=0) if kind in _COMPRESSED else content
    return ZuiFile(
        _TYPES.get(kind, "application/octet-stream"),
        content,
        compressed if len(compressed) < len(content) else None,
        Digest(f"sha256:{hashlib.sha256(content).hexdigest()}"),
        _HASHED.fullmatch(served) is not None,
    )
