"""The test of the test: known ways to lose data are put into the product, and have to be found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crash.explore import Explorer
from crash.scenarios import SCENARIOS
from crash.stage import Stage
from zot.catalog.sqlite.database import Database
from zot.layout.index_files import IndexFiles
from zot.layout.interface import Placed, Replacement
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry import blob_commit
from zot.registry.registry import Registry
from zot.registry.upload_session import UploadSession
from zot.storage.content import ContentFiles
from zot.storage.interface import Progress

Mutate = Callable[[pytest.MonkeyPatch], None]
_LIMIT = 600


async def lost(stage: Stage, name: str, seed: int, *leaving_out: str) -> str:
    """Explore a scenario until something is lost, and return the loss."""
    scenario = next(each for each in SCENARIOS if each.name == name)
    explorer = Explorer(stage, seed, scenario.afterwards)
    trace = await stage.play(scenario, leaving_out=leaving_out)
    await explorer.explore(trace, _LIMIT, until_lost=True)
    return "\n".join(explorer.figures.lost)


@pytest.mark.parametrize("scenario", ["small blobs", "push in chunks", "export"])
async def test_a_sync_left_out_is_found(stage: Stage, seed: int, scenario: str) -> None:
    """Bytes that were not synced are lost although the name is there."""
    assert await lost(stage, scenario, seed, "sync")


@pytest.mark.parametrize("scenario", ["small blobs", "push in chunks", "mount", "dedupe", "collect"])
async def test_a_sync_of_the_directory_left_out_is_found(stage: Stage, seed: int, scenario: str) -> None:
    """A file whose name was not synced is gone."""
    assert await lost(stage, scenario, seed, "sync directory")


def write_index_in_place(patch: pytest.MonkeyPatch) -> None:
    """Write `index.json` over the old one, as zot does when it deletes."""

    def place(self: IndexFiles, repository: Repository, replacement: Replacement, _: list[str]) -> Placed:
        staged, index = self._staged(repository), self._index(repository)
        content = self._disk.read_file(staged, 1 << 20)
        with self._disk.create(index) as file:
            self._disk.truncate(file, 0)
            self._disk.write(file, [content], 0)
            self._disk.sync(file)
        self._disk.sync_directory(self._paths.repository(repository))
        self._disk.unlink(staged)
        assert replacement.staged.signature is not None
        return Placed(replacement.staged.signature)

    patch.setattr(IndexFiles, "_place", place)


def commit_before_content(patch: pytest.MonkeyPatch) -> None:
    """Commit a blob before its file is there."""
    make_present = blob_commit.commit_blob

    async def early(
        registry: Registry, intent: blob_commit.BlobCommit, claim: blob_commit.BlobClaim | None = None
    ) -> bool:
        async def placed() -> None:
            """Do nothing: the file is placed later."""

        was_here = await make_present(registry, intent._replace(place=placed), claim)
        await intent.place()
        return was_here

    patch.setattr(blob_commit, "commit_blob", early)


def never_sync_the_catalog(patch: pytest.MonkeyPatch) -> None:
    """Answer durable commands without having synced the log."""
    begin = Database.begin
    patch.setattr(Database, "begin", lambda self, **_: begin(self, durable=False))


def believe_old_digests(patch: pytest.MonkeyPatch) -> None:
    """Believe the digest that was recorded of an unfinished upload, whatever happened to its bytes."""

    async def resume_point(self: UploadSession, _: Digest | None = None) -> Progress:
        return Progress(self.row.offset, self.row.algorithm, self.row.prefix)

    patch.setattr(UploadSession, "resume_point", resume_point)


def forget_before_unlink(patch: pytest.MonkeyPatch) -> None:
    """Count a removed file as gone although no directory was synced."""
    patch.setattr(ContentFiles, "_sync_name", lambda *_: None)


MUTANTS: dict[str, tuple[Mutate, str, str]] = {
    "in-place index.json": (write_index_in_place, "export", "index.json"),
    "catalog before content": (commit_before_content, "push in chunks", "gone"),
    "synchronous=NORMAL": (never_sync_the_catalog, "re-tag", "lacks"),
    "old digest believed": (believe_old_digests, "resume", "damaged"),
    "names of content not synced": (forget_before_unlink, "push in chunks", "gone"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_mutant_is_found(stage: Stage, seed: int, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """Each mutant loses something, and the reported loss is the right one."""
    mutate, scenario, what = MUTANTS[mutant]
    mutate(monkeypatch)
    assert what in await lost(stage, scenario, seed)
