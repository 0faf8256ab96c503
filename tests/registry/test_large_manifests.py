"""Large manifests: parsed beside the event loop, one at a time, and with a rest after each."""

import asyncio
import json
import threading

import pytest

from layout.images import INDEX
from zot.catalog.memory.driver import MemoryCatalog
from zot.oci.names import parse_repository, parse_tag
from zot.registry import large_manifests, manifest_commit, manifests
from zot.registry.errors import Unavailable
from zot.registry.large_manifests import LARGE_BYTES, LargeManifests
from zot.registry.pushed_manifest import PushedManifest, check
from zot.registry.registry import Registry
from zot.registry.request import PushManifest
from zot.storage.memory import MemoryStorage

EMPTY = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}


def registry() -> Registry:
    """An empty registry."""
    return Registry(catalog=MemoryCatalog(), storage=MemoryStorage())


def index_of(size: int) -> bytes:
    """An index with an annotation of that many bytes."""
    return json.dumps(EMPTY | {"annotations": {"large": "x" * size}}).encode()


async def pushed(to: Registry, content: bytes) -> None:
    """Push it."""
    repository = parse_repository("a")
    request = PushManifest(repository=repository, reference=parse_tag("v1"), tags=())
    await manifests.push(to, request, content, INDEX, [], "")


@pytest.mark.parametrize(("size", "elsewhere"), [(100, False), (LARGE_BYTES, True), (4_000_000, True)])
async def test_large_ones_are_parsed_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, size: int, *, elsewhere: bool
) -> None:
    """The event loop's thread parses what takes a moment, and nothing that takes longer."""
    threads: list[int] = []

    def noted(to: Registry, request: PushManifest, content: bytes, media_type: str | None) -> PushedManifest:
        threads.append(threading.get_ident())
        return check(to, request, content, media_type)

    monkeypatch.setattr(manifest_commit, "check", noted)
    await pushed(registry(), index_of(size))
    assert [thread != threading.get_ident() for thread in threads] == [elsewhere]


async def test_small_ones_do_not_wait_for_large_ones() -> None:
    """While a large manifest has its turn another large one waits, and small ones are stored."""
    to = registry()
    async with to.large_manifests.turn():
        waiting = asyncio.create_task(pushed(to, index_of(LARGE_BYTES)))
        await pushed(to, index_of(10))
        assert not waiting.done()
    await waiting


async def test_turns_come_in_order_and_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn begins after the one before has ended, in the order of asking."""
    monkeypatch.setattr(large_manifests, "_REST_LIMIT_S", 0.0)
    turns, order = LargeManifests(), []

    async def one(number: int) -> None:
        async with turns.turn():
            order.append(("begins", number))
            await asyncio.sleep(0)
            order.append(("ends", number))

    await asyncio.gather(*map(one, range(5)))
    assert order == [(what, number) for number in range(5) for what in ("begins", "ends")]


async def test_a_turn_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is told before it gives up; whose turn it is goes on."""
    monkeypatch.setattr(large_manifests, "_WAIT_LIMIT_S", 0.01)
    turns = LargeManifests()
    async with turns.turn():
        with pytest.raises(Unavailable):
            async with turns.turn():
                raise AssertionError
