"""Each operation of whole use cases fails once, in turn, on the storage's disk and under the catalog's database.

Short writes, and reads that fail, are tried on the storage itself (`tests/storage/test_os_errors.py`): they never
come up here as anything else than an error of the storage.
"""

from __future__ import annotations

import errno
import os

import pytest

from crash.conftest import Figure
from crash.expected import Contents, Expected, Key, Step
from crash.recording import Recorder, RecordingDisk, RecordingVfs
from crash.scenarios import (
    APP,
    FIRST,
    LARGE,
    OTHER,
    SECOND,
    THIRD,
    Scenario,
    delete_blob,
    delete_manifest,
    delete_tag,
    mount,
    push,
    push_blob,
    push_chunks,
    put,
    sync_layouts,
)
from crash.second_reader import Holdings
from crash.stage import Stage, tree_of
from crash.store import Store
from crash.trace import Trace, begin_trace
from zot.catalog.interface import CatalogError
from zot.registry.errors import RegistryError
from zot.storage.interface import StorageError

WAYS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR}
_BEFORE = [*push(FIRST, "one"), *push(SECOND, "two"), push_blob(LARGE), *push(THIRD)[:-1], sync_layouts()]
USE_CASES: dict[str, Step] = {
    "push": push_blob(b"something new"),
    "push beside a twin": push_blob(LARGE, OTHER),
    "push in chunks": push_chunks((b"some", b"thing", b" new")),
    "mount": mount(LARGE),
    "put a manifest": put(THIRD, "three", "one"),
    "move a tag": put(SECOND, "one"),
    "delete a tag": delete_tag("one"),
    "delete a manifest": delete_manifest(SECOND, "two"),
    "delete a blob": delete_blob(LARGE),
    "export": sync_layouts(),
}


class Failing(Recorder):
    """Lets one change fail."""

    def __init__(self, trace: Trace, number: int, nth: int) -> None:
        """Fail with errno `number` at change `nth`, once armed."""
        super().__init__(trace)
        self._number = number
        self._nth = nth
        self.armed = False
        self.failed = False

    def step(self) -> None:
        """Count a change before it is made, or fail."""
        if self.armed:
            self._nth -= 1
            if self._nth < 0:
                self.armed, self.failed = False, True
                raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", USE_CASES)
async def test_every_change_fails_once(name: str, way: str, stage: Stage, figure: Figure) -> None:
    """The client gets an error, the store is as before (or as after, if that is unknown), and the retry works."""
    step = USE_CASES[name]
    dirtying = [put(FIRST, "dirty")] if name == "export" else []
    await stage.prepare(Scenario(name, [*_BEFORE, *dirtying], []))
    tree = tree_of(stage.root)
    before, after = _before_and_after([*_BEFORE, *dirtying], step)
    nth, reached = 0, True
    while reached:
        stage.materialise(tree)
        failing = Failing(begin_trace(stage.root), WAYS[way], nth)
        vfs = RecordingVfs(failing)
        store = Store(stage.config, stage.pools, disk=RecordingDisk(failing), vfs=vfs.name)
        failing.armed = True
        error = await _error_of(step, store)
        reached, failing.armed = failing.failed, False
        there = await _contents(store)
        assert there in ((after,) if error is None else (before, after)), (nth, error)
        await step.again().act(store)
        assert await _contents(store) == after, (nth, error)
        await store.sync_layouts()
        await store.tidy()
        await store.close()
        vfs.unregister()
        holdings = Holdings(stage.root)
        assert not holdings.flaws + holdings.litter, (nth, error)
        assert holdings.contents == after, (nth, error)
        nth += 1
    assert nth > 1
    figure("operations that failed, one at a time, in whole use cases", nth - 1)


def _before_and_after(before: list[Step], step: Step) -> tuple[Contents, Contents]:
    expected = Expected(tuple((each, True) for each in before))
    return next(expected.possible()), next(Expected((*expected.steps, (step, True))).possible())


async def _error_of(step: Step, store: Store) -> Exception | None:
    try:
        await step.act(store)
    except (StorageError, CatalogError, RegistryError) as error:
        return error
    except AssertionError as error:  # a layout that is not in sync: no client waits for it
        return error
    return None


async def _contents(store: Store) -> Contents:
    contents: dict[Key, str] = {}
    for repository in (APP, OTHER):
        contents |= {
            Key("tag", repository, row.name): row.digest for row in await store.catalog.tags(repository, "", 99)
        }
        for digest, _ in await store.catalog.blobs(repository, "", 99):
            contents[Key("blob", repository, digest)] = ""
        for row in await store.catalog.manifests(repository, "", 99):
            contents[Key("manifest", repository, row.digest)] = ""
    return contents
