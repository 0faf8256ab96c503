"""What a NATS sink publishes, and how it gets over a server that is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from extensions.events.rig import NAME, delivering, until
from extensions.search.rig import Registry
from servers.nats import NatsServer
from zot.catalog.change_log import ChangeCursor
from zot.catalog.command import ChangeSource
from zot.extensions.events.event import Event, EventType
from zot.extensions.events.nats_sink import NatsSink
from zot.extensions.events.sink import DeliveryError, Failure
from zot.oci.names import Repository

pytestmark = pytest.mark.needs("nats-server")

EVENT = Event(EventType.IMAGE_UPDATED, 7, 10**18, ChangeCursor(6, 1), Repository("a"), ChangeSource.CLIENT, "me", "1")


@asynccontextmanager
async def client_of(server: NatsServer) -> AsyncIterator[Client]:
    """Connect to a server for the block."""
    client = await nats.connect(server.url)
    yield client
    await client.close()


@asynccontextmanager
async def listening(server: NatsServer, subject: str) -> AsyncIterator[list[Msg]]:
    """Collect the messages on a subject during the block."""
    messages: list[Msg] = []

    async def received(message: Msg) -> None:
        messages.append(message)

    async with client_of(server) as client:
        await client.subscribe(subject, cb=received)
        await client.flush()
        yield messages


async def test_an_event_is_a_cloud_event_in_structured_mode(nats_server: NatsServer) -> None:
    """One JSON document on the subject, without headers."""
    sink = NatsSink(nats_server.url, "structured")
    async with listening(nats_server, "structured") as messages:
        await sink.send(EVENT, "{}")
        await until(lambda: bool(messages))
    await sink.close()
    assert json.loads(messages[0].data) == {
        "specversion": "1.0",
        "id": EVENT.id,
        "source": "zotregistry.dev",
        "type": "zotregistry.image.updated",
        "time": "2001-09-09T01:46:40Z",
        "channel": "structured",
        "datacontenttype": "application/json",
        "data": {"actor": {"name": "me"}, "manifest": "{}", "name": "a", "reference": "1"},
    }
    assert messages[0].headers is None


async def test_a_manifest_that_is_too_long_is_left_out(nats_server: NatsServer) -> None:
    """The event arrives although the server does not accept messages of its size."""
    sink = NatsSink(nats_server.url, "long")
    async with listening(nats_server, "long") as messages:
        await sink.send(EVENT, "x" * (2 << 20))
        await until(lambda: bool(messages))
    await sink.close()
    assert "manifest" not in json.loads(messages[0].data)["data"]


async def test_a_stream_stores_an_event_once(nats_server: NatsServer) -> None:
    """With JetStream an event that is sent again is recognized by its id; without a stream none has arrived."""
    sink = NatsSink(nats_server.url, "stream.events", jetstream=True, timeout_s=5)
    with pytest.raises(DeliveryError, match="no stream") as caught:
        await sink.send(EVENT, None)
    assert caught.value.failure is Failure.UNREACHABLE
    async with client_of(nats_server) as client:
        stream = client.jetstream()
        await stream.add_stream(name="events", subjects=["stream.*"])
        await sink.send(EVENT, None)
        await sink.send(EVENT, None)
        assert (await stream.stream_info("events")).state.messages == 1
    await sink.close()


async def test_credentials(tmp_path: Path) -> None:
    """User name and password are those of the configuration; wrong ones are no fault of the event."""
    with NatsServer(tmp_path, ["--user", "u", "--pass", "p"]) as server:
        right = NatsSink(server.url, "x", username="u", password="p", timeout_s=5)
        await right.send(EVENT, None)
        await right.close()
        wrong = NatsSink(server.url, "x", username="u", password="q", timeout_s=5)
        with pytest.raises(DeliveryError) as caught:
            await wrong.send(EVENT, None)
        assert caught.value.failure is Failure.UNREACHABLE
        await wrong.close()


async def test_a_server_that_restarts(tmp_path: Path) -> None:
    """Events of the time while it is away are stored once it is back, in order, and none is lost."""
    registry = Registry()
    server = NatsServer(tmp_path)
    server.start()
    try:
        async with client_of(server) as client:
            await client.jetstream().add_stream(name="events", subjects=["events"])
        sink = NatsSink(server.url, "events", jetstream=True, timeout_s=1)
        async with delivering(registry.catalog, sink, tmp_path / "events.db") as database:
            await registry.push("a", "1")
            await until(lambda: (row := database.sink(NAME)) is not None and row.delivered == 2)
            await asyncio.to_thread(server.kill)
            await registry.push("a", "2")
            await until(lambda: (row := database.sink(NAME)) is not None and row.failures >= 2)
            await registry.push("a", "3")
            await asyncio.to_thread(server.start)
            await until(lambda: (row := database.sink(NAME)) is not None and row.delivered == 4)
        async with client_of(server) as client:
            stream = client.jetstream()
            stored = [await stream.get_msg("events", number) for number in range(1, 5)]
            assert [json.loads(each.data or b"")["data"].get("reference") for each in stored] == [None, "1", "2", "3"]
    finally:
        server.kill()


@pytest.mark.parametrize("jetstream", [False, True])
async def test_a_server_that_denies_to_publish(tmp_path: Path, *, jetstream: bool) -> None:
    """The server takes such a message and stores nothing: no event has arrived, whatever it answers afterwards."""
    rights = tmp_path / "rights.conf"
    rights.write_text('authorization: {users: [{user: u, password: p, permissions: {publish: {deny: "denied"}}}]}')
    with NatsServer(tmp_path, ["--config", str(rights)]) as server:
        sink = NatsSink(server.url, "denied", username="u", password="p", timeout_s=1, jetstream=jetstream)
        for _ in range(2):
            with pytest.raises(DeliveryError, match="denies to publish") as caught:
                await sink.send(EVENT, None)
            assert caught.value.failure is Failure.UNREACHABLE
        await sink.close()
        allowed = NatsSink(server.url, "allowed", username="u", password="p", timeout_s=5)
        await allowed.send(EVENT, None)
        await allowed.close()


@pytest.mark.parametrize("url", ["nats://u:secret@127.0.0.1:1", "nats://u:secret@127.0.0.1:x", "foo://u:secret@:1"])
async def test_a_server_that_cannot_be_reached(url: str) -> None:
    """It is no fault of the event, is known before the time limit, and the reason has no credentials."""
    sink = NatsSink(url, "x", timeout_s=3600)
    with pytest.raises(DeliveryError, match="cannot be reached") as caught:
        await sink.send(EVENT, None)
    assert caught.value.failure is Failure.UNREACHABLE
    assert "secret" not in str(caught.value)
    await sink.close()


async def test_several_servers(nats_server: NatsServer) -> None:
    """Of the servers that the address lists, one that can be reached gets the event."""
    sink = NatsSink(f"nats://127.0.0.1:1,{nats_server.url}", "several")
    async with listening(nats_server, "several") as messages:
        await sink.send(EVENT, None)
        await until(lambda: bool(messages))
    await sink.close()


async def test_a_server_that_hangs(tmp_path: Path) -> None:
    """A server that is stopped in the midst holds a delivery no longer than its limit, and gets the event later."""
    with NatsServer(tmp_path) as server:
        sink = NatsSink(server.url, "hang", timeout_s=0.3)
        await sink.send(EVENT, None)
        server.freeze()
        try:
            with pytest.raises(DeliveryError):
                await sink.send(EVENT, "x" * 900_000)
            with pytest.raises(DeliveryError, match="cannot be reached"):
                await sink.send(EVENT, None)
        finally:
            server.thaw()
        again = NatsSink(server.url, "hang", timeout_s=10)
        await again.send(EVENT, None)
        await again.close()
        await sink.close()
