"""The stores of earlier starts: a disk that is not mounted is not taken for an empty store."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from zot.catalog.engine import CatalogEngine
from zot.catalog.interface import CatalogError
from zot.config.state_directory import StateDirectory
from zot.storage.disk import Disk
from zot.storage.identity import StoreIdentity
from zot.storage.interface import StorageError
from zot.storage.os_errors import FULL, storage_errors
from zot.storage.owner import other_user
from zot.storage.probe import ProbedStore

_EPOCH = "epoch"
"""In each root, as beside the catalog: when a server last started on both, in nanoseconds since the epoch."""


def recorded_stores(state: StateDirectory) -> dict[str, str]:
    """Return the identities of the roots of earlier starts. Raises StorageError, OSError."""
    return _read(state.stores)


def known_stores(state: StateDirectory, roots: Sequence[str], probed: Mapping[str, ProbedStore] = {}) -> dict[str, str]:
    """Return the identity of each root, as recorded beside the catalog; new roots are added.

    `probed` has the answers of the object stores. A root whose identity is known is not read here: its storage
    compares, and serves nothing until it is the expected one. Raises StorageError, OSError.
    """
    known = _read(state.stores)
    added = {root: StoreIdentity(Disk(), root, None).establish() for root in roots if root not in known}
    for root, answer in probed.items():
        if root not in known:
            if answer.problem:
                raise StorageError(answer.problem)
            added[root] = answer.store
    if added:
        known |= added
        _replace(state.stores, json.dumps(known, indent=2))
    return {root: known[root] for root in (*roots, *probed)}


def unusable_stores(stores: Iterable[tuple[str, str]], probed: Mapping[str, ProbedStore]) -> Iterator[str]:
    """Yield the reason for each root that is not the expected store; `stores` has roots and identities.

    The server starts nevertheless, and uses such a store once it is the expected one.
    """
    for root, expected in stores:
        if root in probed:
            if probed[root].problem:
                yield probed[root].problem
            continue
        try:
            StoreIdentity(Disk(), root, expected).check()
        except (StorageError, OSError) as error:
            yield str(error)


def require_store(state: StateDirectory, catalog: CatalogEngine, roots: Sequence[str]) -> None:
    """Raise StorageError unless a server has served these roots with this catalog; nothing is made or changed.

    For commands that work on a store: only `zot serve` and `zot restore` make one.
    """
    with storage_errors("open the store"):
        known = _read(state.stores)
        for root in roots:
            if not Path(root, ".zot", "store.json").exists():
                raise StorageError(_why_no_store(root))
            StoreIdentity(Disk(), root, known.get(root)).check()
        try:
            exists = catalog.exists()
        except CatalogError as error:
            raise StorageError(str(error)) from error
        if not exists:
            raise StorageError(f"there is no catalog {catalog}: `zot serve` makes it again from the layouts")


def require_whole_catalog(catalog: CatalogEngine) -> None:
    """Raise StorageError if the catalog is damaged: a start rebuilds it, a command does not.

    The caller holds the locks of the roots.
    """
    try:
        damage = catalog.damage()
    except CatalogError as error:
        raise StorageError(str(error)) from error
    if damage is not None:
        made = "`zot serve` makes it again of what can be read, and from the layouts"
        raise StorageError(f"the catalog {catalog} is damaged ({damage}): {made}")


def _why_no_store(root: str) -> str:
    """Return in one sentence why a root is no store. Raises OSError."""
    ask = "is its disk mounted, and is FILE the right configuration? Only `zot serve` and `zot restore` make a store"
    try:
        with os.scandir(root) as entries:
            if any(entry.name not in {".zot", "lost+found"} for entry in entries):
                return (
                    f"{root} was not served by this zot yet: start `zot serve` on it once, which imports what is there"
                )
    except FileNotFoundError:
        return f"{root} does not exist: {ask}"
    return f"{root} is empty: {ask}"


def catalog_is_older(state: StateDirectory, roots: Sequence[str], probed: Mapping[str, ProbedStore] = {}) -> bool:
    """Tell whether a root had a later start than the catalog: then the catalog was restored from an earlier time.

    Both record this start; object stores have it already. One that did not answer may have had a later start. Raises
    OSError.
    """
    now = time.time_ns()
    paths = [Path(root, ".zot", _EPOCH) for root in roots]
    own_ns = _epoch(state.epoch)
    older = any(_epoch(path) > own_ns for path in paths)
    older = older or any(answer.problem or answer.epoch_ns > own_ns for answer in probed.values())
    try:
        # The catalog's first: if there is no room for all of them, none is later than it.
        for path in dict.fromkeys((state.epoch, *paths)):
            _replace(path, str(now))
    except OSError as error:
        if error.errno not in FULL:
            raise
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
    try:
        _write(staged, content)
    except OSError:
        with suppress(OSError):
            staged.unlink()
        raise
    staged.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(staged: Path, content: str) -> None:
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def refuse_root(roots: Sequence[str]) -> None:
    """Raise StorageError, with the command to run, if root would make files in the store of another user."""
    for root in roots:
        user = other_user(root)
        if user:
            command = shlex.join(["sudo", "-u", f"#{user}" if user.isdigit() else user, *sys.argv])
            raise StorageError(
                f"{root} belongs to {user}, whose server could not use files that root makes there: {command}"
            )
