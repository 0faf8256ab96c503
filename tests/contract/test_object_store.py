"""The contract of `zot.storage.object_store.interface.ObjectStore`, tested with every driver."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from servers.versitygw import S3Server
from zot.config.driver_options import S3, driver_options
from zot.storage.interface import StorageError, StorageUnavailableError
from zot.storage.object_store.interface import ObjectMissingError, ObjectPart, ObjectStore
from zot.storage.object_store.s3 import S3Objects

pytestmark = pytest.mark.needs("versitygw")

PART_BYTES = 5 * 1024 * 1024


@pytest.fixture(params=[{}, {"storageclass": "STANDARD_IA", "multipartcopythresholdsize": 6}], ids=["s3", "s3 marked"])
async def objects(s3_server: S3Server, request: pytest.FixtureRequest) -> AsyncIterator[ObjectStore]:
    """An empty object store of each kind; what is written to the last is marked, and copied in parts."""
    made = S3Objects(driver_options(s3_server.make_bucket() | request.param, S3, "storageDriver"), "zot/zot")
    yield made
    await made.close()


async def keys(objects: ObjectStore, prefix: str = "") -> list[str]:
    """Return the keys that begin with a prefix."""
    return [info.key async for batch in objects.list(prefix) for info in batch]


async def whole(objects: ObjectStore, key: str) -> bytes:
    """Return all bytes of an object."""
    return (await objects.open(key, 1 << 30))[1]


async def test_a_written_object_is_read(objects: ObjectStore) -> None:
    """Pieces become one object, which every read shows with the same size and version."""
    written = await objects.write("team/app/blobs/a", [b"some ", b"content"])
    looked = await objects.look("team/app/blobs/a")
    opened, first = await objects.open("team/app/blobs/a", 4)
    assert looked == opened
    assert looked is not None
    assert looked.modified_s > 0
    assert (looked.key, looked.size, looked.version) == (written.key, 12, written.version)
    assert first == b"some"
    assert await objects.open("team/app/blobs/a", 100) == (looked, b"some content")
    assert await objects.read("team/app/blobs/a", 5, 4) == b"cont"
    assert await objects.read("team/app/blobs/a", 5, 400) == b"content"


@pytest.mark.parametrize("pieces", [[], [b""]])
async def test_an_object_may_be_empty(objects: ObjectStore, pieces: list[bytes]) -> None:
    """An object of no bytes is an object."""
    await objects.write("empty", pieces)
    info, content = await objects.open("empty", 10)
    assert (info.size, content) == (0, b"")
    assert await objects.look("empty") == info


async def test_a_missing_object_is_told_apart(objects: ObjectStore) -> None:
    """A missing object is no failure of the store; removing it changes nothing."""
    assert await objects.look("a") is None
    for reading in (objects.open("a", 10), objects.read("a", 0, 10)):
        with pytest.raises(ObjectMissingError):
            await reading
    await objects.remove("a")


async def test_an_object_is_replaced_as_a_whole(objects: ObjectStore) -> None:
    """A second write replaces all bytes, and the version."""
    first = await objects.write("a", [b"much longer"])
    second = await objects.write("a", [b"new"])
    assert await whole(objects, "a") == b"new"
    assert first.version != second.version


async def test_a_condition_is_kept(objects: ObjectStore) -> None:
    """A conditional write succeeds only where the key has the expected version, or no object."""
    first = await objects.write_if("a", b"one", None)
    assert first is not None
    assert await objects.write_if("a", b"two", None) is None
    assert await objects.write_if("a", b"two", '"of another object"') is None
    assert await objects.write_if("absent", b"two", first.version) is None
    assert await whole(objects, "a") == b"one"
    assert await objects.write_if("a", b"two", first.version) is not None
    assert await whole(objects, "a") == b"two"


async def test_one_of_several_creators_wins(objects: ObjectStore) -> None:
    """Of simultaneous writes that expect no object exactly one succeeds."""
    contents = [b"%d" % number for number in range(10)]
    written = await asyncio.gather(*(objects.write_if("a", content, None) for content in contents))
    [winner] = [content for content, info in zip(contents, written, strict=True) if info is not None]
    assert await whole(objects, "a") == winner


@pytest.mark.parametrize("sizes", [[0], [7], [PART_BYTES, 7], [PART_BYTES, PART_BYTES, PART_BYTES]])
async def test_objects_are_assembled(objects: ObjectStore, sizes: list[int]) -> None:
    """The assembled object has the bytes of its parts, in their order; an object that was there is replaced."""
    await objects.write("target", [b"earlier"])
    parts = [ObjectPart(f"parts/{number}", size) for number, size in enumerate(sizes)]
    for number, part in enumerate(parts):
        await objects.write(part.key, [bytes([number]) * part.size])
    await objects.assemble(parts, "target")
    assert await whole(objects, "target") == b"".join(bytes([n]) * size for n, size in enumerate(sizes))
    assert len(await keys(objects, "parts/")) == len(parts)


@pytest.mark.parametrize("parts", [["gone"], ["there", "gone"], ["gone", "there"]])
async def test_nothing_is_assembled_of_a_missing_part(objects: ObjectStore, parts: list[str]) -> None:
    """If a part is missing the target stays as it was."""
    await objects.write("there", [bytes(PART_BYTES)])
    await objects.write("target", [b"earlier"])
    with pytest.raises(ObjectMissingError):
        await objects.assemble([ObjectPart(key, PART_BYTES) for key in parts], "target")
    assert await whole(objects, "target") == b"earlier"


async def test_keys_are_listed_in_order(objects: ObjectStore) -> None:
    """A list has the keys below its prefix in byte order, and no key of a neighbour whose name begins alike."""
    made = ["app/b", "app/a/c", "app2/a", "app/a-b", "app/A", "app/a+b c~%41&?#=é"]
    for key in made:
        await objects.write(key, [b"x"])
    assert await keys(objects) == sorted(made, key=str.encode)
    assert await keys(objects, "app/") == sorted(made[:2] + made[3:], key=str.encode)
    assert await keys(objects, "app/a/") == ["app/a/c"]
    assert await keys(objects, "none/") == []
    for key in made:
        assert await whole(objects, key) == b"x"


async def test_long_lists_are_paged(objects: ObjectStore) -> None:
    """A list of more objects than one answer has is complete."""
    made = [f"many/{number:05}" for number in range(1100)]
    for first in range(0, len(made), 50):
        await asyncio.gather(*(objects.write(key, [b""]) for key in made[first : first + 50]))
    assert await keys(objects, "many/") == made


async def test_a_removed_object_is_gone(objects: ObjectStore) -> None:
    """After its removal an object is missing; removing it again changes nothing."""
    await objects.write("a/b", [b"x"])
    await objects.write("a/c", [b"y"])
    await objects.remove("a/b")
    assert await objects.look("a/b") is None
    await objects.remove("a/b")
    assert await keys(objects) == ["a/c"]


async def test_a_signed_url_needs_no_credentials(objects: ObjectStore) -> None:
    """A client gets the bytes by a signed URL alone, also a part of them."""
    await objects.write("a b/c+d", [b"some content"])
    url = await objects.sign("a b/c+d", 60)
    async with aiohttp.ClientSession() as client:
        async with client.get(URL(url, encoded=True)) as response:
            assert (response.status, await response.read()) == (200, b"some content")
        async with client.get(URL(url, encoded=True), headers={"Range": "bytes=5-"}) as response:
            assert (response.status, await response.read()) == (206, b"content")
        async with client.get(URL(url.partition("?")[0], encoded=True)) as response:
            assert response.status == 403


async def test_a_server_that_is_away_is_a_failure(s3_server: S3Server) -> None:
    """Nothing is taken for missing, empty or removed while the object store does not answer."""
    parameters = s3_server.make_bucket() | {"regionendpoint": "http://127.0.0.1:1"}
    away = S3Objects(driver_options(parameters, S3, "storageDriver"), "zot")
    calls = [
        lambda: away.look("a"),
        lambda: away.open("a", 10),
        lambda: away.read("a", 0, 1),
        lambda: away.write("a", [b""]),
        lambda: away.write_if("a", b"", None),
        lambda: away.assemble([ObjectPart("a", 1)], "b"),
        lambda: away.assemble([ObjectPart("a", PART_BYTES), ObjectPart("b", 1)], "c"),
        lambda: away.remove("a"),
        lambda: keys(away),
    ]

    async def failure(call: object) -> type[BaseException]:
        with pytest.raises(StorageError) as caught:
            await call()  # type: ignore[operator]
        return caught.type

    assert set(await asyncio.gather(*map(failure, calls))) == {StorageUnavailableError}
    await away.close()


@pytest.mark.parametrize(
    "wrong",
    [{"secretkey": "another"}, {"accesskey": "another"}, {"bucket": "another"}],
    ids=["secret", "key", "bucket"],
)
async def test_a_refused_request_is_a_failure(s3_server: S3Server, wrong: dict[str, object]) -> None:
    """Wrong credentials and a missing bucket are failures that name the reason, and no missing objects."""
    refused = S3Objects(driver_options(s3_server.make_bucket() | wrong, S3, "storageDriver"), "zot")

    async def assemble() -> None:
        await refused.assemble([ObjectPart("a", PART_BYTES), ObjectPart("b", 1)], "c")

    calls = [lambda: refused.write("a", [b""]), lambda: refused.open("a", 9), lambda: keys(refused)]
    for call in [*calls, lambda: refused.remove("a"), assemble]:
        with pytest.raises(StorageError) as caught:
            await call()
        assert caught.type is StorageUnavailableError
        assert re.search(r": [A-Za-z]+: .*(signature|access key|bucket)", str(caught.value)), str(caught.value)
    await refused.close()
