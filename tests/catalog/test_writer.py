"""The writer's own laws: batches, faults of commands and of disks, the lock, the boot, the schema."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import apsw
import msgspec
import pytest

from catalog.failing_vfs import FailingVfs
from contract.catalog.examples import APP, LATEST, OTHER, V1, digest, put
from zot.catalog.blob_commands import CheckQuota, ClaimBlob, ClaimOutcome, DoomBlob, PublishBlob, PublishOutcome
from zot.catalog.command import REMEMBERED_S, Command
from zot.catalog.interface import CatalogError, CatalogFullError, CatalogUnavailableError, CatalogUnusableError
from zot.catalog.manifest_commands import PutManifest, RestoreTag, Stored, TagMove
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.reader import Reader
from zot.catalog.sqlite.schema import MIGRATIONS
from zot.catalog.sqlite.wal import PAGE_BYTES
from zot.catalog.sqlite.writer import BATCH_LIMIT, Writer

Open = Callable[..., Writer]

CLAIM = ClaimBlob(repository=APP, digest=digest("blob"), token="t", owner="boot")
CHECK = CheckQuota(repository=APP, digest=digest("blob"), size=1, quotas=(RepositoryQuota(0, ("**",)),))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens writers of the test's directory, and closes those that are open at its end."""
    writers: list[Writer] = []

    def open_writer(boot: str = "boot", vfs: str | None = None) -> Writer:
        for writer in writers:
            writer.close()
        writers[:] = [Writer(tmp_path, boot, vfs=vfs)]
        return writers[0]

    yield open_writer
    for writer in writers:
        writer.close()


@pytest.fixture
def vfs() -> Iterator[FailingVfs]:
    """A file system that can fail."""
    failing = FailingVfs(uuid4().hex)
    yield failing
    failing.unregister()


def run(writer: Writer, *commands: Command[Any]) -> list[Any]:
    """Carry all of the commands out."""
    outcomes: list[Any] = []
    while len(outcomes) < len(commands):
        outcomes += writer.run(commands[len(outcomes) :])
    return outcomes


def test_one_failing_command_fails_alone(opened: Open) -> None:
    """In one commit, a command at fault gets an error, and those before and after it their outcomes."""
    unwritable = RestoreTag(repository=APP, digest=digest("image"), move=TagMove(V1), by="\ud800")
    outcomes = run(opened(), put("image"), put("second", tags=(LATEST,)), unwritable, put("third", tags=(LATEST,)))
    assert isinstance(outcomes[2], CatalogError)
    assert outcomes[1] == Stored(created=True, changes=((LATEST, None),))
    assert outcomes[3] == Stored(created=True, changes=((LATEST, digest("second")),))


async def test_what_a_failing_command_had_done_is_undone(opened: Open, tmp_path: Path) -> None:
    """A command is done whole or not at all."""
    writer = opened()
    run(writer, put("image"))
    unwritable = RestoreTag(repository=APP, digest=digest("image"), move=TagMove(V1), by="\ud800")
    run(writer, unwritable)
    reader = Reader(tmp_path / DATABASE)
    assert await reader.tags(APP, "", 10) == []
    assert await reader.tag_log(APP, None, None, 10) == []
    reader.stop_reading()


def room(used_bytes: int) -> OverQuota:
    """Return what `CHECK` is told when so much is used."""
    return OverQuota(0, used_bytes, of_repositories=False, patterns=("**",))


def test_what_a_failing_command_had_done_is_not_counted(opened: Open) -> None:
    """What repositories hold together is what was committed, also when a command fails after it was added."""
    writer = opened()
    assert run(writer, CHECK) == [room(0)]
    unwritable = PutManifest(repository=APP, digest=digest("image"), content=b"image", media_type="m", by="\ud800")
    assert [type(each) for each in run(writer, unwritable, put("second"), CHECK)] == [CatalogError, Stored, OverQuota]
    assert run(writer, CHECK) == [room(6)]


def test_what_was_not_committed_is_not_counted(opened: Open, vfs: FailingVfs) -> None:
    """A batch that found no room on the disk leaves the total as it was."""
    writer = opened(vfs=vfs.name)
    run(writer, put("image"), CHECK)
    vfs.full = True
    run(writer, put("second"))
    vfs.full = False
    assert run(writer, CHECK) == [room(5)]


def test_a_total_is_added_up_once(opened: Open, tmp_path: Path) -> None:
    """Asked again, and after changes, the writer knows what repositories hold without looking at all of them."""
    writer = opened()
    run(writer, put("image"), CHECK)
    with closing(apsw.Connection(str(tmp_path / DATABASE))) as behind:
        behind.execute("UPDATE repository SET bytes = 1000")
    assert run(writer, put("second", repository=OTHER), CHECK)[1] == room(11)


def test_a_batch_is_bounded_in_time(opened: Open) -> None:
    """A long row of commands is not carried out in one commit: the rest is left to the next."""
    commands = [put(str(number), tags=(V1,)) for number in range(4 * BATCH_LIMIT)]
    assert 1 <= len(opened().run(commands)) < len(commands)


def test_two_writers_are_refused(opened: Open, tmp_path: Path) -> None:
    """The second one fails with an error that says so, in the same process or another."""
    writer = opened()
    with pytest.raises(CatalogUnusableError, match="in use by another writer"):
        Writer(tmp_path, "boot")
    program = (
        "import sys, pathlib; from zot.catalog.sqlite.writer import Writer; Writer(pathlib.Path(sys.argv[1]), 'b')"
    )
    other = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "in use by another writer" in other.stderr
    assert run(writer, CLAIM) == [ClaimOutcome.CLAIMED]


def test_a_closed_writers_lock_is_free(opened: Open) -> None:
    """After a close, and after a failed opening, the next one may open."""
    opened()
    opened()


def test_claims_go_with_the_server(opened: Open) -> None:
    """Another start of the server drops claims; another start of its writer does not."""
    publish = PublishBlob(repository=APP, digest=CLAIM.digest, token=CLAIM.token, size=4)
    run(opened("one"), msgspec.structs.replace(CLAIM, owner="one"))
    assert run(opened("one"), publish) == [PublishOutcome.PRESENT]
    run(opened("one"), ClaimBlob(repository=APP, digest=digest("other"), token="t", owner="one"))
    late = PublishBlob(repository=APP, digest=digest("other"), token="t", size=4)
    assert run(opened("two"), late) == [PublishOutcome.CLAIM_LOST]


def test_outcomes_are_forgotten_after_the_clock_was_wrong(tmp_path: Path) -> None:
    """A system's time that was ahead for a while leaves nothing that is remembered until then."""
    now_s = 4_000_000_000
    with closing(Writer(tmp_path, "boot", source=lambda: now_s * 10**9)) as writer:
        run(writer, *(put(f"ahead {number}") for number in range(5)))
        now_s = 1_800_000_000
        run(writer, *(put(f"right {number}") for number in range(5)))
        now_s += REMEMBERED_S + 1
        command = put("later")
        assert run(writer, command) == run(writer, command)
        with closing(apsw.Connection(str(tmp_path / DATABASE))) as database:
            assert database.execute("SELECT command FROM remembered").fetchall() == [(command.id,)]


def test_a_newer_schema_is_refused(opened: Open, tmp_path: Path) -> None:
    """A database of a newer program is left alone, and the message says what to do."""
    opened().close()
    database = apsw.Connection(str(tmp_path / DATABASE))
    database.pragma("user_version", len(MIGRATIONS) + 1)
    database.close()
    with pytest.raises(CatalogUnusableError, match=r"written by a newer zot .* start that version"):
        Writer(tmp_path, "boot")


@pytest.mark.parametrize("content", [b"no database, but long enough to be one" * 100, b"short"])
def test_a_database_that_is_none_is_set_aside(opened: Open, tmp_path: Path, content: bytes) -> None:
    """It is kept with its log as it was, an earlier one too, and an empty catalog is in its place."""
    for number in (1, 2):
        (tmp_path / DATABASE).write_bytes(content)
        (tmp_path / f"{DATABASE}-wal").write_bytes(b"its log")
        assert run(opened(), put("image")) == [Stored(created=True, changes=())]
        kept = tmp_path / f"{DATABASE}.damaged-{number}"
        assert kept.read_bytes() == content
        assert kept.with_name(f"{kept.name}-wal").read_bytes() == b"its log"


def test_damage_that_was_met_is_looked_for_at_the_next_start(opened: Open, tmp_path: Path) -> None:
    """Pages within the database that are not whole fail a command, and set it aside once the server starts again."""
    run(opened(), *(put(f"image {number}") for number in range(2000)))
    opened().close()
    with closing(apsw.Connection(str(tmp_path / DATABASE))) as database:
        query = "SELECT pageno FROM dbstat WHERE name IN ('manifest', 'content') AND pagetype = 'leaf'"
        leaves = [number for (number,) in database.execute(query)]
    with (tmp_path / DATABASE).open("r+b") as file:
        for number in leaves:
            file.seek((number - 1) * PAGE_BYTES)
            file.write(b"\x55" * PAGE_BYTES)
    (outcome,) = run(opened(), put("image"))
    assert isinstance(outcome, CatalogError)
    assert run(opened(), put("image")) == [Stored(created=True, changes=())]
    assert (tmp_path / f"{DATABASE}.damaged-1").exists()


def test_a_database_that_was_emptied_is_made_again_while_it_is_served(opened: Open, tmp_path: Path) -> None:
    """What is left without any table is mended by the writer that began it: no start is waited for."""
    writer = opened()
    run(writer, put("image"))
    for name in (DATABASE, f"{DATABASE}-wal"):
        os.truncate(tmp_path / name, 0)
    (tmp_path / "catalog.suspect").touch()
    while isinstance((outcome := run(writer, put("image"))[0]), CatalogUnavailableError):
        assert "mended" in str(outcome)
        for thread in threading.enumerate():
            if thread.name == "catalog-mending":
                thread.join()
    assert outcome == Stored(created=True, changes=())
    assert (tmp_path / f"{DATABASE}.damaged-1").exists()


def test_a_database_that_is_whole_after_all_stays(opened: Open, tmp_path: Path) -> None:
    """What was suspected for no reason that is left is not set aside."""
    run(opened(), put("image"))
    (tmp_path / "catalog.suspect").touch()
    assert run(opened(), put("image")) == [Stored(created=False, changes=())]
    assert not (tmp_path / "catalog.suspect").exists()


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A database with somebody else's mark is not taken over."""
    database = apsw.Connection(str(tmp_path / DATABASE))
    database.execute("PRAGMA application_id = 7; CREATE TABLE theirs (x)")
    database.close()
    with pytest.raises(CatalogUnusableError, match="another program"):
        Writer(tmp_path, "boot")


def test_only_the_owner_reads_the_catalog(opened: Open, tmp_path: Path) -> None:
    """Database, log and lock are for their owner alone."""
    run(opened(), CLAIM)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_a_full_disk_changes_nothing(opened: Open, vfs: FailingVfs) -> None:
    """While there is no room commands are refused whole; when space returns the same ones succeed."""
    writer = opened(vfs=vfs.name)
    run(writer, put("image", tags=(V1,)))
    vfs.full = True
    command = put("second", tags=(V1,))
    assert all(isinstance(outcome, CatalogFullError) for outcome in run(writer, command, CLAIM))
    vfs.full = False
    assert run(writer, command) == [Stored(created=True, changes=((V1, digest("image")),))]
    assert run(writer, CLAIM) == [ClaimOutcome.CLAIMED]


def test_a_failed_sync_is_not_tried_again(opened: Open, vfs: FailingVfs) -> None:
    """The outcome is unknown then, the database is opened anew, and nothing is added to the log that failed."""
    writer = opened(vfs=vfs.name)
    run(writer, put("image", tags=(V1,)))
    openings = vfs.opened
    vfs.syncs_fail = True
    command = put("second", tags=(V1,))
    assert isinstance(run(writer, command)[0], CatalogUnavailableError)
    assert isinstance(run(writer, command)[0], CatalogUnavailableError)
    vfs.syncs_fail = False
    assert run(writer, command) == [Stored(created=True, changes=((V1, digest("image")),))]
    assert vfs.opened > openings


def test_what_was_acknowledged_survives_a_failed_sync(opened: Open, vfs: FailingVfs) -> None:
    """After the disk failed and came back, earlier commits are there, though not what failed."""
    writer = opened(vfs=vfs.name)
    run(writer, put("image", tags=(V1,)))
    vfs.syncs_fail = True
    run(writer, DoomBlob(repository=APP, digest=digest("blob"), token="t", owner="boot"))
    vfs.syncs_fail = False
    assert run(writer, put("image", tags=(V1,))) == [Stored(created=False, changes=())]


def test_commands_that_need_not_be_durable_do_not_sync(opened: Open, vfs: FailingVfs) -> None:
    """A claim does not wait for the disk."""
    writer = opened(vfs=vfs.name)
    run(writer, put("image"))
    vfs.syncs_fail = True
    assert run(writer, CLAIM) == [ClaimOutcome.CLAIMED]
    vfs.syncs_fail = False


def test_the_log_is_kept_short(opened: Open, tmp_path: Path) -> None:
    """Writing goes on without end, the log does not grow without end; a close leaves it empty."""
    writer = opened()
    log = tmp_path / f"{DATABASE}-wal"
    content = bytes(1 << 20)
    for number in range(100):
        command = put(str(number))
        writer.run([type(command)(repository=APP, digest=command.digest, content=content, media_type="x")])
        writer.tend(idle=False)
        assert log.stat().st_size < (64 << 20) + PAGE_BYTES
    writer.close()
    assert log.stat().st_size == 0


def test_a_pause_is_used_for_the_log(opened: Open) -> None:
    """When nothing is asked for, pages are copied back, once."""
    writer = opened()
    command = put("image")
    writer.run([type(command)(repository=APP, digest=command.digest, content=bytes(5 << 20), media_type="x")])
    assert writer._database is not None
    wal = writer._database.wal
    assert wal.wants_idle
    writer.tend(idle=True)
    assert not wal.wants_idle
