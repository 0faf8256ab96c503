"""Which stores a server had when it last started: a disk that is not mounted is not taken for an empty store."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from zot.storage.disk import Disk
from zot.storage.identity import Identity
from zot.storage.interface import StorageError

FILE = "stores.json"


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
        _write(path, known)
    return {root: known[root] for root in roots}


def _read(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StorageError(f"{path} is damaged; remove it if every root is the right one") from error
    return {str(root): str(identity) for root, identity in known.items()}


def _write(path: Path, known: dict[str, str]) -> None:
    staged = path.with_suffix(".new")
    with staged.open("w") as file:
        json.dump(known, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
