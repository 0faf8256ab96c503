"""The writer as a process: it may die at any moment, and no client starves another."""

from __future__ import annotations

import asyncio
import signal
import socket as sockets
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from contract.catalog.examples import APP, IMAGE_TYPE, digest, put
from zot.catalog.blob_commands import ClaimBlob
from zot.catalog.interface import CatalogError, CatalogUnavailableError
from zot.catalog.manifest_commands import Deleted, DeleteTag, Stored
from zot.catalog.sqlite.client import WriterClient
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.driver import SqliteCatalog, connect
from zot.catalog.sqlite.server import serve_writer
from zot.catalog.upload_commands import AdvanceUpload
from zot.oci.names import parse_tag

Start = Callable[[], subprocess.Popen[bytes]]

PUSHERS, PUSHES, KILLS = 4, 25, 5


@pytest.fixture
def socket() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="zot") as directory:
        yield Path(directory) / "writer"


@pytest.fixture
async def catalog(tmp_path: Path, socket: Path) -> AsyncIterator[SqliteCatalog]:
    """A catalog whose writer is not started."""
    opened = connect(tmp_path, socket, "boot")
    yield opened
    await opened.close()


@pytest.fixture
def start(tmp_path: Path, socket: Path) -> Iterator[Start]:
    """Starts writers as processes, of which none outlives the test."""
    with ExitStack() as started:

        def start_writer() -> subprocess.Popen[bytes]:
            program = Path(__file__).with_name("writer_program.py")
            process = subprocess.Popen([sys.executable, str(program), str(tmp_path), str(socket), "boot"])
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start_writer


def mode(path: Path) -> int | None:
    """Return who may use a file, None if it is not there."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


@asynccontextmanager
async def serving(directory: Path, socket: Path) -> AsyncIterator[asyncio.Event]:
    """Have a writer in this process."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve_writer(directory, socket, "boot", stop))
    yield stop
    stop.set()
    await task


async def push(catalog: SqliteCatalog, pusher: int, acknowledged: asyncio.Semaphore) -> None:
    """Push images one after the other, each by its tag, and take every second tag away again.

    The outcomes are those of commands that are carried out once, however often they had to be given.
    """
    for number in range(PUSHES):
        name, tag = f"{pusher}/{number}", parse_tag(f"{pusher}.{number}")
        assert await catalog.do(put(name, tags=(tag,))) == Stored(created=True, changes=((tag, None),))
        if number % 2:
            outcome = await catalog.do(DeleteTag(repository=APP, tag=tag))
            assert outcome == Deleted(digest(name), IMAGE_TYPE, (tag,))
        acknowledged.release()


async def test_a_killed_writer_loses_nothing(start: Start, catalog: SqliteCatalog) -> None:
    """Killed at any moment and started again, every command has its right outcome, once, and all of them are there."""
    writer = start()
    acknowledged = asyncio.Semaphore(0)
    pushers = [asyncio.create_task(push(catalog, pusher, acknowledged)) for pusher in range(PUSHERS)]
    for _ in range(KILLS):
        for _ in range(PUSHERS * PUSHES // (KILLS + 1)):
            await acknowledged.acquire()
        writer.kill()
        writer.wait()
        writer = start()
    await asyncio.gather(*pushers)
    names = [(pusher, number) for pusher in range(PUSHERS) for number in range(PUSHES)]
    tags = {row.name: row.digest for row in await catalog.tags(APP, "", 1000)}
    assert tags == {f"{p}.{n}": digest(f"{p}/{n}") for p, n in names if n % 2 == 0}
    assert {row.digest for row in await catalog.manifests(APP, "", 1000)} == {digest(f"{p}/{n}") for p, n in names}
    log = await catalog.tag_log(APP, None, None, 1000)
    assert len(log) == PUSHERS * (PUSHES + PUSHES // 2)
    writer.terminate()
    assert writer.wait() == 0


async def test_a_command_waits_for_the_writer_to_start(tmp_path: Path, socket: Path, catalog: SqliteCatalog) -> None:
    """Commands given before the writer listens are carried out when it does."""
    command = asyncio.create_task(catalog.do(put("image")))
    await asyncio.sleep(0)
    async with serving(tmp_path, socket):
        assert await command == Stored(created=True, changes=())


async def test_a_command_waits_only_so_long(socket: Path) -> None:
    """Without a writer the outcome is unknown when the deadline is past."""
    client = WriterClient(socket, deadline_s=0.05)
    with pytest.raises(CatalogUnavailableError, match=r"did not answer in 0\.05 s"):
        await client.do(put("image"))
    await client.close()


async def test_reads_say_that_there_is_no_catalog_yet(tmp_path: Path, socket: Path, catalog: SqliteCatalog) -> None:
    """Before the writer made the database nothing can be read, nor while it makes it; afterwards it can."""
    with pytest.raises(CatalogUnavailableError):
        await catalog.repository(APP)
    (tmp_path / DATABASE).touch()
    with pytest.raises(CatalogUnavailableError, match="has schema 0"):
        await catalog.repository(APP)
    async with serving(tmp_path, socket):
        await catalog.do(put("image"))
        assert await catalog.repository(APP)


async def test_reads_go_on_without_a_writer(start: Start, tmp_path: Path, socket: Path, catalog: SqliteCatalog) -> None:
    """While the writer is away every process reads what was acknowledged."""
    writer = start()
    await catalog.do(put("image"))
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert await catalog.manifest_content(APP, digest("image")) == b"image"
    later = connect(tmp_path, socket, "boot")
    assert await later.manifest_content(APP, digest("image")) == b"image"
    await later.close()


async def test_a_busy_client_does_not_starve_another(tmp_path: Path, socket: Path) -> None:
    """One command is answered long before the thousands that another client had given first."""
    async with serving(tmp_path, socket):
        busy, other = WriterClient(socket), WriterClient(socket)
        await busy.do(put("first"))
        await other.do(put("second"))
        many = [
            asyncio.create_task(
                busy.do(ClaimBlob(repository=APP, digest=digest("blob"), token=str(number), owner="boot"))
            )
            for number in range(3000)
        ]
        await asyncio.sleep(0)
        await other.do(put("third"))
        answered = sum(task.done() for task in many)
        assert answered < len(many) // 2
        await asyncio.gather(*many)
        await busy.close()
        await other.close()


async def test_so_many_commands_wait_at_most(socket: Path) -> None:
    """A process without an answer to thousands of commands gives no more: nothing grows without bound."""
    client = WriterClient(socket, deadline_s=0.2)
    many = [asyncio.create_task(client.do(put(str(number)))) for number in range(4097)]
    outcomes = await asyncio.gather(*many, return_exceptions=True)
    assert all(isinstance(outcome, CatalogUnavailableError) for outcome in outcomes)
    assert "wait for the catalog's writer already" in str(outcomes[-1])
    await client.close()


async def test_each_command_has_its_own_deadline(socket: Path) -> None:
    """One timer for all: what is given later waits as long, and is then answered in its turn."""
    loop, client = asyncio.get_running_loop(), WriterClient(socket, deadline_s=0.3)
    ended_s: list[float] = []

    async def wait() -> None:
        given_s = loop.time()
        with pytest.raises(CatalogUnavailableError, match=r"did not answer in 0\.3 s"):
            await client.do(put("image"))
        ended_s.append(loop.time() - given_s)

    first = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    await asyncio.gather(first, wait(), wait())
    await wait()
    assert min(ended_s) >= 0.3
    await client.close()


async def test_a_command_is_not_given_again_before_its_outcome(tmp_path: Path, socket: Path) -> None:
    """Its id stands for one answer: the second caller gets an error at once, the first one its outcome."""
    command = put("image")
    async with serving(tmp_path, socket):
        client = WriterClient(socket)
        first = asyncio.create_task(client.do(command))
        await asyncio.sleep(0)
        with pytest.raises(CatalogError, match="PutManifest was given again before its outcome"):
            await client.do(command)
        assert await first == Stored(created=True, changes=())
        await client.close()


async def test_closing_waits_for_what_was_begun(tmp_path: Path, socket: Path) -> None:
    """Commands given before the close are answered, later ones refused."""
    async with serving(tmp_path, socket):
        client = WriterClient(socket)
        command = asyncio.create_task(client.do(put("image")))
        await asyncio.sleep(0)
        await client.close()
        assert await command == Stored(created=True, changes=())
        with pytest.raises(CatalogUnavailableError, match="was closed"):
            await client.do(put("image"))


async def test_what_was_received_is_answered_at_a_stop(tmp_path: Path, socket: Path) -> None:
    """A writer that is asked to stop carries out what it has, and leaves no socket behind."""
    async with serving(tmp_path, socket) as stop:
        client = WriterClient(socket)
        await client.do(put("image"))
        commands = [asyncio.create_task(client.do(put(str(number)))) for number in range(20)]
        await asyncio.sleep(0.001)
        stop.set()
        await asyncio.gather(*commands)
        await client.close()
    assert mode(socket) is None


async def test_a_cancelled_caller_harms_nobody(tmp_path: Path, socket: Path) -> None:
    """The answer to a caller that has gone is dropped."""
    async with serving(tmp_path, socket):
        client = WriterClient(socket)
        await client.do(put("image"))
        gone = asyncio.create_task(client.do(put("second")))
        await asyncio.sleep(0)
        gone.cancel()
        assert await client.do(put("second")) == Stored(created=False, changes=())
        await client.close()


async def test_an_error_of_the_writer_reaches_its_caller(tmp_path: Path, socket: Path) -> None:
    """A command at fault raises there, and the connection goes on."""
    async with serving(tmp_path, socket):
        client = WriterClient(socket)
        too_large = AdvanceUpload(
            repository=APP, session="s", epoch=1, offset=1 << 63, owner="boot"
        )  # for a column of SQLite
        with pytest.raises(CatalogError, match="AdvanceUpload failed"):
            await client.do(too_large)
        assert await client.do(put("image")) == Stored(created=True, changes=())
        await client.close()


async def test_only_the_owner_may_connect(tmp_path: Path, socket: Path) -> None:
    """The socket is its owner's."""
    async with serving(tmp_path, socket):
        client = WriterClient(socket)
        await client.do(put("image"))
        assert mode(socket) == 0o600
        await client.close()


@pytest.mark.parametrize(
    "sent",
    [b"\x00\x00\x00\x03abc", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x04\x81\xa2\xff\xff"],
)
async def test_what_is_no_command_ends_its_connection(tmp_path: Path, socket: Path, sent: bytes) -> None:
    """A client that sends something else is disconnected, and no other is."""
    async with serving(tmp_path, socket):
        client = WriterClient(socket)
        await client.do(put("image"))
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert await client.do(put("image")) == Stored(created=False, changes=())
        await client.close()


async def test_a_writer_replaces_the_socket_of_one_that_died(tmp_path: Path, socket: Path) -> None:
    """What a killed writer left in the way is no obstacle."""
    with sockets.socket(sockets.AF_UNIX) as left:
        left.bind(str(socket))
    async with serving(tmp_path, socket):
        client = WriterClient(socket)
        assert await client.do(put("image")) == Stored(created=True, changes=())
        await client.close()
    assert (tmp_path / DATABASE).exists()
