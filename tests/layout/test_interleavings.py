"""All orders of pushes, deletes, external edits, exports and crashes, against a model."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from layout.images import REF_NAME, Image, image
from layout.store import APP, Store
from zot.catalog.command import Command
from zot.catalog.interface import Outcome
from zot.catalog.memory.driver import MemoryCatalog
from zot.layout.export_stamp import BY, parse_export_stamp
from zot.layout.index_json import SHOWN
from zot.storage.disk import CHANGES, Disk, DiskOperation
from zot.storage.threads import ThreadPools

P = ParamSpec("P")
T = TypeVar("T")

POOLS = ThreadPools()
TAGS = st.sampled_from(["a", "b", "c"])
SYNCS = {"sync", "sync directory"}


class Died(BaseException):
    """The process is dead: nothing of it happens any more."""


class Fate:
    """Counts the lasting changes of a process, and interrupts it at one of them."""

    def __init__(self) -> None:
        """Let nothing happen."""
        self.left: int | None = None
        self.then: Callable[[], None] = _die

    def step(self) -> None:
        """Do one thing."""
        if self.left is None:
            return
        if self.left == 0:
            self.then()
        self.left -= 1


def _die() -> None:
    raise Died


class MortalDisk(Disk):
    """A disk that a dead process cannot change. It does not sync, since only processes die here."""

    def __init__(self, fate: Fate) -> None:
        """Follow `fate`."""
        self._fate = fate

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it, unless dead."""
        if operation.verb in CHANGES:
            self._fate.step()
        if operation.verb in SYNCS:
            call = _nothing  # type: ignore[assignment] # neither returns anything
        return super().perform(operation, call, *args, **kwargs)


def _nothing(*_: object) -> None:
    pass


class MortalCatalog(MemoryCatalog):
    """A catalog that outlives the process that commands it."""

    def __init__(self, fate: Fate) -> None:
        """Follow `fate`."""
        super().__init__()
        self._fate = fate

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Do it, unless dead."""
        self._fate.step()
        return await super().do(command)


@dataclass
class Tag:
    """The states that a tag may have at the end."""

    acknowledged: str | None = None
    """The last value that was acknowledged."""
    touched: int = 0
    """When, counted in steps; 0: never."""
    added: str | None = None
    """The last value that the other program gave it."""
    since: int = 0
    """The step at which the file was made that the other program started from, for that value."""
    shown: bool = False
    """Whether that file showed all that had been acknowledged."""


@dataclass
class Copy:
    """`index.json` as the other program read it."""

    document: dict[str, Any]
    read_at: int
    in_sync: bool


@dataclass
class Model:
    """The events of a run."""

    steps: int = 0
    images: int = 0
    tags: dict[str, Tag] = field(default_factory=lambda: {tag: Tag() for tag in "abc"})


class Interleavings(RuleBasedStateMachine):
    """A server and another program, both writing one repository."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.runner = asyncio.Runner()
        self.fate = Fate()
        self.catalog = MortalCatalog(self.fate)
        self.store = self._start()
        self.model = Model()
        self.copy: Copy | None = None

    def teardown(self) -> None:
        """Bring layout and catalog in sync, and compare them with the model."""
        try:
            self._level()
            self._check()
        finally:
            self.runner.close()
            self.directory.cleanup()

    def _start(self) -> Store:
        self.fate.left, self.fate.then = None, _die
        return Store(Path(self.directory.name), POOLS, self.catalog, MortalDisk(self.fate))

    def _image(self) -> Image:
        self.model.images += 1
        return image(str(self.model.images))

    def _level(self) -> None:
        async def sync() -> None:
            await self.store.exporter.check(APP)
            assert await self.store.exporter.export(APP)
            assert not await self.store.is_due()

        self.runner.run(sync())

    def _acknowledge(self, tag: str, digest: str | None) -> None:
        self.model.steps += 1
        self.model.tags[tag].acknowledged = digest
        self.model.tags[tag].touched = self.model.steps

    # --- the server ---

    @rule(tag=TAGS)
    def push(self, tag: str) -> None:
        """Push a new image."""
        pushed = self._image()
        self.runner.run(self.store.push(pushed, tag))
        self._acknowledge(tag, pushed.digest)

    @rule(tag=TAGS)
    def push_back(self, tag: str) -> None:
        """Point a tag at the manifest of another one."""

        async def move() -> str | None:
            tags = await self.store.tags()
            digest = min(tags.values(), default=None)
            if digest in (None, tags.get(tag)):
                return None
            images = (image(str(number)) for number in range(1, self.model.images + 1))
            await self.store.push(next(each for each in images if each.digest == digest), tag)
            return digest

        digest = self.runner.run(move())
        if digest is not None:
            self._acknowledge(tag, digest)

    @rule(tag=TAGS)
    def delete(self, tag: str) -> None:
        """Delete an existing tag."""

        async def delete() -> bool:
            there = tag in await self.store.tags()
            await self.store.delete_tag(tag)
            return there

        if self.runner.run(delete()):
            self._acknowledge(tag, None)

    @rule()
    def export(self) -> None:
        """Export due layouts; then all listed files exist."""
        self.runner.run(self.store.exporter.export(APP))
        layout = self.store.layout()
        if (layout.path / "index.json").exists():
            assert all(layout.file(each["digest"]).is_file() for each in layout.read_index()["manifests"])

    @rule()
    def check(self) -> None:
        """Look for edits."""
        self.runner.run(self.store.exporter.check(APP))

    @rule(after=st.integers(0, 30), checks=st.booleans())
    def die(self, after: int, *, checks: bool) -> None:
        """Die after some steps of an export or a check, and start again."""
        self.fate.left = after
        with suppress(Died):
            self.runner.run(self.store.exporter.check(APP) if checks else self.store.exporter.export(APP))
        self.store = self._start()

    # --- the other program ---

    @precondition(lambda self: self.copy is None)
    @rule()
    def read(self) -> None:
        """Read `index.json`, to write it later."""
        layout = self.store.layout()
        if (layout.path / "index.json").exists():
            document = layout.read_index()
            self.copy = Copy(document, self.model.steps, self.runner.run(self._shows_all(document)))

    async def _shows_all(self, document: dict[str, Any]) -> bool:
        """Tell whether the file says that it shows all that was acknowledged, and the catalog knows of that export."""
        row = await self.catalog.export(APP)
        mark = parse_export_stamp(row.signature) if row else None
        shown_ns = min(mark.shown_ns if mark else 0, int(document["annotations"][SHOWN]))
        changes = await self.catalog.tag_log(APP, None, None, 1000)
        return all(change.at_ns <= shown_ns for change in changes if change.by != BY)

    @precondition(lambda self: self.copy is not None)
    @rule(tag=TAGS, in_place=st.booleans())
    def write(self, tag: str, *, in_place: bool) -> None:
        """Write the file that was read, with one tag added or moved to a new image."""
        assert self.copy is not None
        copy, self.copy = self.copy, None
        self._write(copy, tag, in_place=in_place)

    @precondition(lambda self: self.copy is None)
    @rule(tag=TAGS, in_place=st.booleans(), after=st.integers(0, 30))
    def write_while_it_is_exported(self, tag: str, *, in_place: bool, after: int) -> None:
        """Read and write at once, while the server exports."""

        def write() -> None:
            layout = self.store.layout()
            if (layout.path / "index.json").exists():
                self._write(Copy(layout.read_index(), self.model.steps, in_sync=False), tag, in_place=in_place)

        self.fate.left, self.fate.then = after, write
        self.runner.run(self.store.exporter.export(APP))
        self.fate.left, self.fate.then = None, _die

    def _write(self, copy: Copy, tag: str, *, in_place: bool) -> None:
        added = self._image()
        layout = self.store.layout()
        layout.put(added)
        others = [each for each in copy.document["manifests"] if each.get("annotations", {}).get(REF_NAME) != tag]
        document = {**copy.document, "manifests": [*others, added.descriptor(tag)]}
        if in_place:
            layout.write_index(document)
        else:
            (layout.path / "index.json.new").write_text(json.dumps(document))
            (layout.path / "index.json.new").rename(layout.path / "index.json")
        known = self.model.tags[tag]
        known.added, known.since, known.shown = added.digest, copy.read_at, copy.in_sync

    # --- what holds ---

    @invariant()
    def the_index_parses(self) -> None:
        """`index.json` is complete at every moment."""
        layout = self.store.layout()
        if (layout.path / "index.json").exists():
            assert layout.read_index()["schemaVersion"] == 2

    def _check(self) -> None:
        tags = self.runner.run(self.store.tags())
        for name, tag in self.model.tags.items():
            found = tags.get(name)
            if tag.added is None or tag.touched > tag.since:
                assert found == tag.acknowledged, f"{name} was acknowledged"
            elif not tag.touched or tag.shown:
                assert found == tag.added, f"{name} was added"
            else:
                assert found in (tag.acknowledged, tag.added), name
        assert self.store.layout().path.exists() is False or self.store.layout().tags() == tags


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
