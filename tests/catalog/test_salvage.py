"""A database with bad pages is made again of all that can be read, and says how much it did not find."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from contract.catalog.examples import APP, IMAGE_TYPE, LAYER_TYPE, OTHER
from zot.catalog.blob_commands import ClaimBlob, PublishBlob, PutBlob
from zot.catalog.command import Command
from zot.catalog.edges import edges
from zot.catalog.interface import CatalogUnavailableError
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import PutManifest, Stored, TagMove
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.reader import Reader
from zot.catalog.sqlite.recovery import begin
from zot.catalog.sqlite.salvage import Salvaged, salvage
from zot.catalog.sqlite.wal import PAGE_BYTES
from zot.catalog.sqlite.writer import Writer
from zot.oci.digest import digest_of
from zot.oci.manifest import parse_manifest
from zot.oci.names import Repository, parse_tag

BOOT = "boot"
COUNT = 600
TABLES = ("blob", "manifest", "content", "edge", "tag", "change_log")


def image(number: int) -> bytes:
    """Return the manifest of an image with a config that all have, and a layer of its own."""
    config, layer = b"{}", str(number).encode()
    described = [
        {"mediaType": kind, "digest": digest_of(each), "size": len(each)}
        for kind, each in (("application/vnd.oci.image.config.v1+json", config), (LAYER_TYPE, layer))
    ]
    document = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": described[0], "layers": described[1:]}
    return json.dumps(document | {"annotations": {"number": str(number)}}).encode()


def push(number: int, repository: Repository = APP) -> list[Command[Any]]:
    """Return what a push of an image gives the writer."""
    content = image(number)
    found = edges(parse_manifest(content, IMAGE_TYPE))
    commands: list[Command[Any]] = []
    for edge in found:
        commands += [
            ClaimBlob(repository=repository, digest=edge.digest, token="t", owner="boot"),
            PublishBlob(repository=repository, digest=edge.digest, token="t", size=edge.size),
        ]
    tags = (TagMove(parse_tag(f"v{number}")),)
    put = PutManifest(
        repository=repository,
        digest=digest_of(content),
        content=content,
        media_type=IMAGE_TYPE,
        edges=found,
        tags=tags,
        by="alice",
    )
    return [*commands, put]


def run(writer: Writer, commands: list[Command[Any]]) -> list[Any]:
    """Carry all of the commands out."""
    outcomes: list[Any] = []
    while len(outcomes) < len(commands):
        outcomes += writer.run(commands[len(outcomes) :])
    return outcomes


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with some hundred images in two repositories, closed."""
    directory = tmp_path_factory.mktemp("filled")
    with closing(Writer(directory, BOOT, syncs=False)) as writer:
        for repository in (APP, OTHER):
            run(writer, [command for number in range(COUNT) for command in push(number, repository)])
            run(writer, [ImportLayout(repository=repository, complete=True)])
    return directory


@pytest.fixture
def directory(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(filled, tmp_path / "catalog"))


def pages(directory: Path, tree: str, kind: str) -> list[int]:
    """Return the numbers of a tree's pages of a kind, counted from 1."""
    with closing(apsw.Connection(str(directory / DATABASE))) as database:
        rows = database.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ?", (tree, kind))
        return [int(number) for (number,) in rows]


def spoil(directory: Path, *numbers: int) -> None:
    """Overwrite pages."""
    with (directory / DATABASE).open("r+b") as file:
        for number in numbers:
            file.seek((number - 1) * PAGE_BYTES)
            file.write(os.urandom(PAGE_BYTES))


def state(path: Path) -> dict[str, list[Any]]:
    """Return what clients can see, of a database that is whole."""
    with closing(apsw.Connection(str(path))) as database:
        return {
            "manifests": database.execute(
                "SELECT repository, digest, media_type, size, bytes FROM manifest LEFT JOIN content ON manifest_id = id"
                " ORDER BY 1, 2"
            ).fetchall(),
            "tags": database.execute(
                "SELECT tag.repository, name, digest FROM tag JOIN manifest ON id = manifest_id ORDER BY 1, 2"
            ).fetchall(),
            "blobs": database.execute("SELECT repository, digest, size, referenced FROM blob ORDER BY 1, 2").fetchall(),
            "edges": database.execute(
                "SELECT edge.repository, edge.digest, manifest.digest, edge.media_type, child FROM edge"
                " JOIN manifest ON id = manifest_id ORDER BY 1, 2, 3"
            ).fetchall(),
            "counts": database.execute("SELECT name, bytes, blobs, manifests, tags FROM repository").fetchall(),
        }


def salvaged(directory: Path) -> tuple[Salvaged, dict[str, list[Any]]]:
    """Salvage a catalog beside it; return what is said of it, and its state."""
    made = directory / "made"
    found = salvage(directory / DATABASE, made, BOOT)
    assert found is not None
    with closing(apsw.Connection(str(made))) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    return found, state(made)


def test_a_whole_database_is_the_same_again(directory: Path) -> None:
    """Of a database without damage everything is found."""
    found, after = salvaged(directory)
    assert after == state(directory / DATABASE)
    assert (found.manifests, found.tags, found.blobs) == (2 * COUNT, 2 * COUNT, 2 * COUNT + 2)
    assert found[:3] == found[3:6]
    assert (found.gaps, found.without_content) == (0, 0)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("tree", TABLES)
def test_one_bad_leaf_loses_at_most_what_was_only_there(directory: Path, tree: str, seed: int) -> None:
    """Rows on one bad page are worked out from the others where these tell; the rest is as it was."""
    before = state(directory / DATABASE)
    spoil(directory, random.Random(seed).choice(pages(directory, tree, "leaf")))
    found, after = salvaged(directory)
    assert found.gaps >= 1
    assert after["tags"] == before["tags"]
    assert after["edges"] == before["edges"]
    if tree == "content":
        assert [row[:4] for row in after["manifests"]] == [row[:4] for row in before["manifests"]]
        assert 0 < found.without_content < 40
        assert sum(row[4] is None for row in after["manifests"]) == found.without_content
    else:
        assert after["manifests"] == before["manifests"]
    if tree == "blob":
        assert len(before["blobs"]) - 60 < len(after["blobs"]) == found.blobs < found.blobs_before
    else:
        assert after["blobs"] == before["blobs"]
        assert after["counts"] == before["counts"]


@pytest.mark.parametrize("tree", ["blob", "content", "edge", "change_log"])
def test_what_is_between_bad_leaves_is_found(directory: Path, tree: str) -> None:
    """With several bad pages in one table only their own rows are lost."""
    leaves = pages(directory, tree, "leaf")
    with closing(apsw.Connection(str(directory / DATABASE))) as database:
        ((rows,),) = database.execute(f"SELECT count(*) FROM {tree}")
    chosen = [leaves[len(leaves) * number // 6] for number in (1, 3, 5)]
    spoil(directory, *chosen)
    salvage(directory / DATABASE, directory / "made", BOOT)
    with closing(apsw.Connection(str(directory / "made"))) as database:
        ((kept,),) = database.execute(f"SELECT count(*) FROM {tree}")
    assert kept > rows - 5 * rows * len(chosen) / len(leaves)


@pytest.mark.parametrize("tree", ["blob", "held", "repository"])
async def test_bytes_that_the_catalog_holds_are_found(tmp_path: Path, tree: str) -> None:
    """A held blob whose row is lost is known by its bytes; of one whose bytes are lost a push is needed."""
    contents = {digest_of(content): content for content in (str(number).encode() for number in range(400))}
    with closing(Writer(tmp_path, BOOT, syncs=False)) as writer:
        run(writer, [PutBlob(repository=APP, digest=each, content=contents[each]) for each in contents])
    before = state(tmp_path / DATABASE)
    spoil(tmp_path, pages(tmp_path, tree, "leaf")[-1])
    _, after = salvaged(tmp_path)
    assert after["blobs"] == before["blobs"]
    assert after["counts"] == before["counts"]
    reader = Reader(tmp_path / "made")
    kept = {each: await reader.held_content(APP, each) for each in contents}
    reader.stop_reading()
    assert all(content in (None, contents[each]) for each, content in kept.items())
    assert sum(content is None for content in kept.values()) < (60 if tree == "held" else 1)


def test_a_repository_without_its_row_is_known_by_what_it_has(directory: Path) -> None:
    """Rows of repositories are worked out from the others, and wait for the import of their layouts."""
    before = state(directory / DATABASE)
    spoil(directory, *pages(directory, "repository", "leaf"))
    _, after = salvaged(directory)
    assert after == before
    with closing(apsw.Connection(str(directory / "made"))) as database:
        rows = database.execute("SELECT name, adopted, exported > 0, revision > exported FROM repository").fetchall()
    assert rows == [(OTHER, 0, 1, 1), (APP, 0, 1, 1)]


@pytest.fixture
def writer(directory: Path) -> Iterator[Writer]:
    """A writer of a catalog that a start has begun."""
    begin(directory, BOOT)
    with closing(Writer(directory, BOOT, begun=True)) as opened:
        yield opened


def until_answered(writer: Writer, command: Command[Any]) -> Any:
    """Give a command again until the writer is not mending."""
    while True:
        (outcome,) = writer.run([command])
        if not isinstance(outcome, CatalogUnavailableError):
            return outcome


async def read_all(reader: Reader) -> None:
    """Read the bytes of every manifest."""
    for repository in (APP, OTHER):
        for number in range(COUNT):
            await reader.manifest_content(repository, digest_of(image(number)))


async def test_damage_that_a_reader_meets_is_mended_at_once(writer: Writer, directory: Path) -> None:
    """From then on nothing is acknowledged until the database is made again; readers go on with the new one."""
    reader = Reader(directory / DATABASE, boot=BOOT)
    assert len(await reader.manifests(APP, "", 1000)) == COUNT
    spoil(directory, pages(directory, "content", "leaf")[3])
    other = Reader(directory / DATABASE, boot=BOOT)
    with pytest.raises(CatalogUnavailableError, match="damaged"):
        await read_all(other)
    with pytest.raises(CatalogUnavailableError):
        await other.ready()
    assert isinstance(writer.run(push(COUNT)[-1:])[0], CatalogUnavailableError)
    for command in push(COUNT):
        outcome = until_answered(writer, command)
    assert isinstance(outcome, Stored)
    for each in (reader, other):
        await each.ready()
        assert len(await each.manifests(APP, "", 1000)) == COUNT + 1
        each.stop_reading()
    assert (directory / f"{DATABASE}.damaged-1").exists()


async def test_a_push_brings_lost_bytes_back(writer: Writer, directory: Path) -> None:
    """A manifest whose bytes were lost is unknown until it is pushed again; its tags stay."""
    spoil(directory, pages(directory, "content", "leaf")[3])
    (directory / "catalog.suspect").touch()
    for command in push(COUNT):
        until_answered(writer, command)
    reader = Reader(directory / DATABASE, boot=BOOT)
    lost = [
        number for number in range(COUNT) if await reader.manifest_content(APP, digest_of(image(number))) is None
    ] or [number for number in range(COUNT) if await reader.manifest_content(OTHER, digest_of(image(number))) is None]
    assert lost
    for repository in (APP, OTHER):
        for number in lost:
            run(writer, push(number, repository))
            assert await reader.manifest_content(repository, digest_of(image(number))) == image(number)
    reader.stop_reading()


def test_a_replacement_that_a_crash_broke_off_is_finished(directory: Path) -> None:
    """A complete new database takes the damaged one's place at the next start, and never finds the other's log."""
    salvage(directory / DATABASE, directory / "made", BOOT)
    (directory / "made").rename(directory / "catalog.db.new")
    (directory / f"{DATABASE}-wal").write_bytes(b"log of the damaged one")
    before = state(directory / "catalog.db.new")
    assert begin(directory, BOOT) == BOOT
    assert state(directory / DATABASE) == before
