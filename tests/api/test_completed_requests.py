"""Observers are told of every answer, in order, soon, and of all of them when it matters."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp import web

from loopback import ok, serve_handler
from zot.api import completed_requests
from zot.api.client_address import ClientAddresses
from zot.api.completed_requests import CompletedRequest
from zot.api.http_request import HttpRequest
from zot.logs.fields import REQUEST_ID


class Witness:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.batches: list[list[CompletedRequest]] = []
        self.told = asyncio.Event()

    def observe(self, answered: Sequence[CompletedRequest]) -> None:
        if answered:
            self.batches.append(list(answered))
            self.told.set()

    @property
    def paths(self) -> list[str]:
        return [each.http.raw_path for batch in self.batches for each in batch]


async def ask(host: tuple[str, int], *paths: str) -> None:
    """Ask for each on one connection, and take the answers, which are all the same."""
    reader, writer = await asyncio.open_connection(*host)
    for path in paths:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()


async def test_they_are_told_soon_without_being_asked() -> None:
    """A single answer is told of some milliseconds later, when its connection is gone already; its client is known."""
    witness = Witness()
    async with serve_handler(ok, witness.observe) as server:
        await ask(server.host, "/one")
        await asyncio.wait_for(witness.told.wait(), 30)
    ((observed,),) = witness.batches
    assert observed.response.status == 200
    assert observed.seconds > 0
    assert ClientAddresses().of(observed.http).ip == "127.0.0.1"


async def test_many_are_told_of_together_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is left out and none is told of twice, however they are gathered."""
    monkeypatch.setattr(completed_requests, "_DELAY_S", 60.0)  # a busy machine needs longer for 64 of them
    witness = Witness()
    paths = [f"/{number}" for number in range(200)]
    async with serve_handler(ok, witness.observe) as server:
        await ask(server.host, *paths)
    assert witness.paths == paths
    assert [len(batch) for batch in witness.batches] == [64, 64, 64, 8]


async def test_large_answers_are_not_held() -> None:
    """What waits to be told of does not keep more than a mebibyte of bodies in memory."""
    witness = Witness()

    async def large(http: HttpRequest) -> web.StreamResponse:
        del http
        return web.Response(body=bytes(600_000))

    async with serve_handler(large, witness.observe) as server:
        reader, writer = await asyncio.open_connection(*server.host)
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(600_000)
        writer.close()
    assert [len(batch) for batch in witness.batches] == [2, 2]


async def test_one_that_fails_is_said_and_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the client nor the next observer notices."""
    witness = Witness()

    def broken(answered: Sequence[CompletedRequest]) -> None:
        raise ValueError(str(len(answered)))

    async with serve_handler(ok, broken, witness.observe) as server:
        assert (await server.ask("GET", "/one")).status == 200
    assert witness.paths == ["/one"]
    assert "completed requests could not be observed" in caplog.text


async def test_what_they_log_is_not_the_last_requests() -> None:
    """A batch belongs to no request: lines that an observer writes carry the name of none by accident."""
    names: list[str] = []

    async def named(http: HttpRequest) -> web.StreamResponse:
        REQUEST_ID.set(http.raw_path)
        return await ok(http)

    def observe(answered: Sequence[CompletedRequest]) -> None:
        names.extend(REQUEST_ID.get() for _ in answered)

    async with serve_handler(named, observe) as server:
        await ask(server.host, *(f"/{number}" for number in range(70)))
    assert names == [""] * 70
