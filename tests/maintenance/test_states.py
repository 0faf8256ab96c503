"""The states of a blob, in all orders of push, mount, delete, collection and taking in, each cut off after every step.

The actors are the product's own use cases; the drivers are in memory, where each call is one step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
import pytest

from maintenance.harness import APP, DELAY_S, OTHER, Seconds
from maintenance.interleavings import World, explore
from zot.catalog.blob_commands import (
    ClaimBlob,
    DoomBlob,
    ForgetBlob,
    MarkUnreferenced,
    PlacedBlob,
    PublishBlob,
    PutBlob,
    ReleaseBlobs,
)
from zot.catalog.command import new_id
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import TagMove
from zot.catalog.memory import driver
from zot.catalog.memory.state import MemoryScope
from zot.catalog.owner_commands import EndOwner, RenewOwner
from zot.config.storage import StorageConfig
from zot.maintenance.clock import CollectorClock
from zot.maintenance.gc import CollectedLayouts, Collector
from zot.maintenance.observer import NoObserver
from zot.maintenance.orphan_files import OrphanFiles, _Orphan
from zot.maintenance.stores import MaintainedStores
from zot.maintenance.sweep_stats import SweepStats
from zot.maintenance.unfinished_deletes import UnfinishedDeletes
from zot.oci.digest import Digest, digest_of
from zot.oci.media_types import IMAGE_MANIFEST, OCTET_STREAM
from zot.oci.names import Repository, Tag
from zot.registry import blob_commit, blob_deletion, blobs, held_blobs, manifests
from zot.registry.damage import DamageReports, FoundBy
from zot.registry.errors import BlobUnknown, InUse, ManifestBlobUnknown, Unavailable
from zot.registry.existing_files import register_existing
from zot.registry.registry import Registry
from zot.registry.request import PullBlob, PushManifest
from zot.storage.interface import Progress, Storage, UploadKey

CONTENT = b"layer"
BLOB = digest_of(CONTENT)
MANIFEST = msgspec.json.encode(
    {
        "schemaVersion": 2,
        "config": {"mediaType": OCTET_STREAM, "digest": BLOB, "size": len(CONTENT)},
        "layers": [],
    }
)
# What is where the blob was: nothing, a part of it, other bytes.
DAMAGES = {"missing": b"", "short": CONTENT[:2], "rotten": CONTENT.swapcase()}
Actor = Callable[[], Awaitable[object]]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a push that waits for a removal ask again at once."""
    monkeypatch.setattr(blob_commit, "_DOOMED_POLL_S", 0)
    monkeypatch.setattr(held_blobs, "_POLL_S", 0)


class Blob(World):
    """A blob about which actors meet. `start` is how it is at first, in APP."""

    def __init__(self, start: str, *actors: str) -> None:
        super().__init__()
        self._start = start
        self._names = actors
        self.registry = Registry(catalog=self.catalog, storage=self.storage)
        self.acknowledged: list[str] = []
        self._damaged = start in DAMAGES
        self.explicit = "delete" in actors
        """Whether a client may delete the blob."""

    async def begin(self) -> Mapping[str, Actor]:
        """Make the blob as the scenario wants it."""
        seconds = Seconds()
        self.clock = CollectorClock(0.0, seconds)
        for repository in (APP, OTHER):
            await self.catalog.do(ImportLayout(repository=repository, complete=True))
        if self._start in ("loose", "named", *DAMAGES):
            await self._put(APP)
        if self._start in ("named", *DAMAGES):
            await self._push_manifest("old")
            self.acknowledged.clear()
            row = await self.catalog.resolve(APP, Tag("old"))
            assert row is not None
            self._old = row.digest
        if self._start == "stray":
            await self.storage.put(APP, BLOB, CONTENT)
        if self._start == "missing":
            await self.storage.remove(APP, BLOB)
        elif self._start in DAMAGES:
            await self.storage.put(APP, BLOB, DAMAGES[self._start])
        if self._start == "held":
            for repository in (APP, OTHER):
                await self.catalog.do(PutBlob(repository=repository, digest=BLOB, content=CONTENT))
        else:
            await self._put(OTHER)
        await self.catalog.do(MarkUnreferenced(repository=APP, now_s=self.clock.now_s()))
        seconds.now_s += DELAY_S
        for name in self._names:
            await self._stage(name)
        every: dict[str, Actor] = {
            "push": lambda: self._push("push"),
            "push again": lambda: self._push("push again"),
            "push held": lambda: self._push_held("push-held"),
            "push held again": lambda: self._push_held("push-held-again"),
            "place": lambda: self._place(APP),
            "place other": lambda: self._place(OTHER),
            "look and push": self._look_and_push,
            "mount": self._mount,
            "delete": self._delete,
            "delete old": self._delete_old,
            "collect": self._collect,
            "collect other": lambda: self._collect(OTHER),
            "remove stray": self._remove_stray,
            "pull": self._pull,
            "look": self._look,
            "take in": lambda: register_existing(self.catalog, self.storage, APP, BLOB),
        }
        return {name: every[name] for name in self._names}

    async def check(self) -> None:
        """Check the promises, now and after a crash at this moment; then the blob can be pushed."""
        await self._nothing_lost()
        self.gate.open = True
        # As a start does that holds the locks of the roots.
        await self.catalog.do(EndOwner(owner=self.catalog.owner))
        self.catalog.owner = new_id()
        await self.catalog.do(RenewOwner(owner=self.catalog.owner))
        after = Registry(catalog=self.catalog, storage=self.storage)
        async for _ in UnfinishedDeletes(after).finish(lambda _: None):
            pass
        await self._nothing_lost()
        self.registry = after
        await self._stage("last")
        await self._publish("last")
        await self._push_manifest("last")
        await self._nothing_lost()

    async def _nothing_lost(self) -> None:
        for repository in (APP, OTHER):
            row = self.catalog._state.repositories.get(repository)
            for digest, blob in row.blobs.items() if row else ():
                if blob.doom is None and (self.acknowledged or not self._damaged):
                    stored = self.storage._content.get((repository, digest))
                    content = blob.held if blob.held is not None else stored.content if stored else None
                    assert content is not None, f"{repository} lost a blob"
                    assert repository != APP or content == CONTENT, f"{repository} serves a damaged blob"
        for tag in self.acknowledged:
            assert await self.catalog.resolve(APP, Tag(tag)), f"{tag} is gone"
            repository_state = self.catalog._state.repositories[APP]
            assert repository_state.present(BLOB), f"{tag} lost its blob"

    # --- actors ---

    async def _push(self, tag: str) -> str:
        await self._publish(tag)
        return await self._finish(tag.replace(" ", "-"))

    async def _push_held(self, tag: str) -> str:
        """Push with the bytes in the catalog's commit."""
        await held_blobs.put_blob(self.registry, APP, BLOB, CONTENT, FoundBy.PUSH)
        return await self._finish(tag)

    async def _place(self, repository: Repository) -> str:
        """Place the files of held blobs, as an export does."""
        async for release in held_blobs.place_held(self.catalog, self.storage, DamageReports(), repository):
            await self.catalog.do(release)
        return "placed"

    async def _look_and_push(self) -> str:
        """Push as clients do: a blob that is there is not sent."""
        if await self._look() == "unknown":
            await self._publish("look and push")
        return await self._finish("looked")

    async def _pull(self) -> str:
        """Pull: damaged content is unknown, and a response has all bytes."""
        request = PullBlob(repository=APP, digest=BLOB)
        try:
            content, _ = await blobs.open_content(self.registry, request, await blobs.pull(self.registry, request))
        except BlobUnknown:
            return "unknown"
        return "pulled" if await content.read(0, 100) == CONTENT else "pulled damaged bytes"

    async def _look(self) -> str:
        """HEAD."""
        request = PullBlob(repository=APP, digest=BLOB, head=True)
        try:
            await blobs.check_content(self.registry, request, await blobs.pull(self.registry, request))
        except BlobUnknown:
            return "unknown"
        return "there"

    async def _mount(self) -> str:
        if not await blobs.mount(self.registry, APP, BLOB, OTHER, lambda _: True):
            await self._publish("mount")
        return await self._finish("mounted")

    async def _finish(self, tag: str) -> str:
        try:
            await self._push_manifest(tag)
        except ManifestBlobUnknown:
            assert self.explicit, "a blob that was just seen or pushed was collected"
            return "deleted concurrently"
        return "pushed"

    async def _delete(self) -> str:
        try:
            await blobs.delete(self.registry, APP, BLOB)
        except (BlobUnknown, InUse, Unavailable) as error:
            return type(error).__name__
        return "deleted"

    async def _delete_old(self) -> str:
        await manifests.delete(self.registry, APP, self._old, immutable=lambda _: False, detect_collision=False, by="")
        return "deleted"

    async def _collect(self, repository: Repository = APP) -> str:
        stores = MaintainedStores(StorageConfig(root_directory="/nowhere"))
        collector = Collector(self.registry, stores, CollectedLayouts(_ready, _not_now), None, self.clock, NoObserver())
        swept = SweepStats()
        async for _ in collector.repository(repository, stores.all[0], swept):
            pass
        return str(swept)

    async def _remove_stray(self) -> str:
        strays = OrphanFiles(
            self.registry,
            MaintainedStores(StorageConfig(root_directory="/nowhere")),
            CollectedLayouts(_ready, _not_now),
        )
        return str(await strays._remove(APP, _Orphan(BLOB, "", len(CONTENT), 0.0)))

    # --- what they do ---

    async def _put(self, repository: Repository) -> None:
        await self.catalog.do(ClaimBlob(repository=repository, digest=BLOB, token="t", owner=self.catalog.owner))
        await self.storage.put(repository, BLOB, CONTENT)
        await self.catalog.do(PublishBlob(repository=repository, digest=BLOB, token="t", size=len(CONTENT)))

    async def _stage(self, name: str) -> None:
        key = _upload(name)

        async def body() -> AsyncIterator[bytes]:
            yield CONTENT

        async def checkpoint(_: Progress) -> None:
            return

        await self.storage.append(key, Progress(0), body(), checkpoint)

    async def _publish(self, name: str) -> None:
        await blob_commit.commit_upload(
            self.registry, _upload(name), Progress(len(CONTENT)), blob_commit.BlobClaim(self.registry, APP, BLOB)
        )

    async def _push_manifest(self, tag: str) -> None:
        content = MANIFEST + b" " * len(tag)  # so that each is another
        request = PushManifest(repository=APP, reference=Tag(tag), tags=(Tag(tag),))
        await manifests.push(self.registry, request, content, IMAGE_MANIFEST, [TagMove(Tag(tag))], "")
        self.acknowledged.append(tag)


def _upload(actor: str) -> UploadKey:
    return UploadKey(APP, actor.replace(" ", "-"))


async def _ready(_: Repository) -> None:
    return


async def _not_now(_: Repository) -> bool:
    return False


@pytest.mark.parametrize(
    ("start", "actors"),
    [
        ("loose", ("push", "collect")),
        ("loose", ("look and push", "collect")),
        ("loose", ("mount", "collect")),
        ("loose", ("look and push", "collect", "collect other")),
        ("loose", ("push", "delete")),
        ("loose", ("look and push", "delete")),
        ("loose", ("delete", "collect")),
        ("loose", ("look and push", "collect", "take in")),
        ("absent", ("push", "push again")),
        ("absent", ("push", "mount", "delete")),
        ("absent", ("push", "collect", "delete")),
        ("absent", ("mount", "collect other")),
        ("named", ("look and push", "delete old", "collect")),
        ("named", ("push", "delete old", "delete")),
        ("stray", ("push", "remove stray")),
        ("stray", ("mount", "remove stray", "collect")),
        ("stray", ("push", "remove stray", "take in")),
        ("absent", ("push held", "push", "place")),
        ("absent", ("push held", "push held again", "place")),
        ("absent", ("push held", "delete", "place")),
        ("held", ("push", "place")),
        ("held", ("push held", "delete", "place")),
        ("held", ("push held", "collect", "place")),
        ("held", ("look and push", "collect", "place")),
        ("held", ("pull", "delete", "place")),
        ("held", ("mount", "collect other", "place other")),
        ("held", ("mount", "delete", "place")),
        ("loose", ("push held", "collect", "place")),
        ("loose", ("push held", "delete", "collect")),
        ("stray", ("push held", "remove stray", "place")),
    ],
)
async def test_no_order_of_steps_loses_a_blob(start: str, actors: tuple[str, ...]) -> None:
    """Acknowledged content is there in every state and after a crash in it, and no push that checked loses its blob."""
    assert await explore(lambda: Blob(start, *actors)) > 10


@pytest.mark.parametrize(
    ("damage", "actors"),
    [
        ("missing", ("push", "pull")),
        ("missing", ("push", "look")),
        ("missing", ("push", "mount")),
        ("short", ("push", "pull")),
        ("short", ("mount", "look")),
        ("rotten", ("push", "pull")),
        ("missing", ("push held", "pull")),
        ("missing", ("push held", "push")),
        ("rotten", ("push held", "push")),
        ("short", ("push held", "look", "place")),
    ],
)
async def test_a_push_heals_in_any_order_of_steps(damage: str, actors: tuple[str, ...]) -> None:
    """After an acknowledged push the blob is intact, even if a reader acts late on earlier damage."""
    assert await explore(lambda: Blob(damage, *actors)) > 10


async def test_a_late_observation_that_counts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exploration sees an old observation of damage that takes the blob away from a push that healed it."""

    class Unconditional(DoomBlob, frozen=True, kw_only=True, tag="DoomBlob"):
        def __post_init__(self) -> None:
            msgspec.structs.force_setattr(self, "placed_ns", None)

    monkeypatch.setattr(blob_deletion, "DoomBlob", Unconditional)
    monkeypatch.setattr(driver, "_HANDLERS", dict(driver._HANDLERS) | {Unconditional: driver._HANDLERS[DoomBlob]})
    with pytest.raises(AssertionError, match=r"lost its blob|just seen or pushed"):
        await explore(lambda: Blob("missing", "push", "pull"))


async def test_a_release_of_another_version_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exploration sees a release that drops the bytes of a later push, whose file is unlinked already."""

    class Unconditional(ReleaseBlobs, frozen=True, kw_only=True, tag="ReleaseBlobs"):
        pass

    def release(scope: MemoryScope, command: Unconditional) -> None:
        for placed in command.placed:
            if (blob := scope.repository.present(placed.digest)) is not None:
                blob.held = None

    monkeypatch.setattr(held_blobs, "ReleaseBlobs", Unconditional)
    monkeypatch.setattr(driver, "_HANDLERS", dict(driver._HANDLERS) | {Unconditional: release})
    with pytest.raises(AssertionError, match="lost a blob"):
        await explore(lambda: Blob("held", "push held", "delete", "place"))


async def test_a_release_before_the_file_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exploration sees bytes that leave the catalog before they are in a file."""

    async def release_first(
        catalog: Catalog, storage: Storage, _: DamageReports, repository: Repository
    ) -> AsyncIterator[ReleaseBlobs]:
        for digest, placed_ns in await catalog.held_blobs(repository, "", 9):
            content = await catalog.held_content(repository, digest)
            yield ReleaseBlobs(repository=repository, placed=(PlacedBlob(digest, placed_ns),))
            if content is not None:
                await storage.put_all({repository: {digest: content}})

    monkeypatch.setattr(held_blobs, "place_held", release_first)
    with pytest.raises(AssertionError, match="lost a blob"):
        await explore(lambda: Blob("held", "pull", "place"))


async def test_a_touch_that_clears_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exploration sees a collection that takes a blob from a push that has just looked at it."""

    async def only_look(*_: object) -> bool:
        return True

    monkeypatch.setattr(Registry, "touch", only_look)
    with pytest.raises(AssertionError, match="collected"):
        await explore(lambda: Blob("loose", "look and push", "collect"))


async def test_a_late_unlink_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exploration finds a delete that removes the row before the file, and then deletes a newer file."""

    async def forget_first(
        catalog: Catalog, storage: Storage, repository: Repository, digest: Digest, token: str, *_: object, **__: object
    ) -> None:
        await catalog.do(ForgetBlob(repository=repository, digest=digest, token=token))
        await storage.remove(repository, digest)

    monkeypatch.setattr(blob_deletion, "finish_delete", forget_first)
    with pytest.raises(AssertionError, match="lost"):
        await explore(lambda: Blob("loose", "push", "collect"))
