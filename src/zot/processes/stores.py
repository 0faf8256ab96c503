"""Which stores a server had when it last started: a disk that is not mounted is not taken for an empty store."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from zot.storage.disk import Disk
from zot.storage.identity import Identity
from zot.storage.interface import StorageError

FILE = "stores.json"
EPOCH = "epoch"
"""Beside the catalog, and in each root: when a server last started on both, in nanoseconds since the epoch."""


def known_stores(directory: Path, roots: Sequence[str]) -> dict[str, str]:
    """Return the identity of each root, as kept beside the catalog; roots that are new to it are added.

    A root whose identity is known is not looked at here: its storage compares, and serves nothing until it is the one
    expected. Raises StorageError, OSError.
    """
    path = directory / FILE
    known = _read(path)
    added = {root: Identity(Disk(), root, None).establish() for root in roots if root not in known}
    if added:
        known |= added
        _replace(path, json.dumps(known, indent=2))
    return {root: known[root] for root in roots}


def catalog_is_older(directory: Path, roots: Sequence[str]) -> bool:
    """Tell whether a root has seen a later start than the catalog has: then the catalog is one of earlier times.

    From then on both have seen this one. Raises OSError.
    """
    now = time.time_ns()
    paths = [Path(root, ".zot", EPOCH) for root in roots]
    older = any(_epoch(path) > _epoch(directory / EPOCH) for path in paths)
    for path in {*paths, directory / EPOCH}:
        _replace(path, str(now))
    return older


def _epoch(path: Path) -> int:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _read(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StorageError(f"{path} is damaged; remove it if every root is the right one") from error
    return {str(root): str(identity) for root, identity in known.items()}


def _replace(path: Path, content: str) -> None:
    staged = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
