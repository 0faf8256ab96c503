"""Blobs of a storage that has locations, or only streams of bytes: what is redirected, and what is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import bcrypt
import pytest

from auth.harness import PEOPLE, Site, basic, serving
from storage.remote import RemoteStorage
from zot.oci.digest import digest_of
from zot.oci.names import parse_repository

APP, SECRET = parse_repository("app"), parse_repository("secret")
MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 10_000
DIGEST = digest_of(CONTENT)
BLOB = f"/v2/app/blobs/{DIGEST}"
URL = f"https://bucket.example/app/{DIGEST}?signature=x"

RULES = {
    "repositories": {"app": {"policies": [{"users": ["alice"], "actions": ["read"]}]}},
    "adminPolicy": {"users": ["root"], "actions": ["read", "create"]},
}


class Pulled(NamedTuple):
    """The response to a pull."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def about(self) -> Mapping[str, str]:
        """The headers that describe the content."""
        names = ("Content-Length", "Content-Range", "Docker-Content-Digest", "Location")
        return {name: self.headers[name] for name in names if name in self.headers}


@dataclass
class Remote:
    """A registry before a remote storage, with the blob in two repositories, of which alice may read one."""

    site: Site
    storage: RemoteStorage

    async def ask(self, method: str = "GET", user: str = "alice", **headers: str) -> Pulled:
        """Ask for the blob, without following a redirect; its content must be closed when it is answered."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()} | (basic(user) if user else {})
        async with (
            self.site.client() as client,
            client.request(method, BLOB, headers=fields, allow_redirects=False) as response,
        ):
            pulled = Pulled(response.status, response.headers, await response.read())
        assert self.storage.opened == 0
        return pulled


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Remote]:
    """Serve with passwords and rules, and push the blob to both repositories."""
    path = tmp_path / "htpasswd"
    hashes = {name: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for name, password in PEOPLE.items()}
    path.write_text("".join(f"{name}:{hashed}\n" for name, hashed in hashes.items()))
    http = {"auth": {"htpasswd": {"path": str(path)}}, "accessControl": RULES}
    storage = RemoteStorage()
    async with serving(tmp_path / "data", http, storage=storage) as site:
        for repository in (APP, SECRET):
            status = await site.status(
                f"/v2/{repository}/blobs/uploads/?digest={DIGEST}",
                "POST",
                data=BytesIO(CONTENT),
                headers={"Content-Type": "application/octet-stream"} | basic("root"),
            )
            assert status == 201
        yield Remote(site, storage)


async def test_a_blob_with_a_location_is_redirected_to_it(remote: Remote) -> None:
    """GET is 307 with the location and the digest; it sends no byte and reads none."""
    remote.storage.homes[APP] = APP
    response = await remote.ask()
    assert (response.status, response.body) == (307, b"")
    assert response.about == {"Location": URL, "Docker-Content-Digest": DIGEST, "Content-Length": "0"}
    assert remote.storage.reads == []


async def test_head_is_not_redirected(remote: Remote) -> None:
    """HEAD is answered here: a location is signed for GET alone."""
    remote.storage.homes[APP] = APP
    response = await remote.ask("HEAD")
    assert response.status == 200
    assert response.about == {"Content-Length": str(len(CONTENT)), "Docker-Content-Digest": DIGEST}
    assert remote.storage.located == []


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=10-19", 206, CONTENT[10:20]),
        (f"bytes={MIB - 5}-{MIB + 4}", 206, CONTENT[MIB - 5 : MIB + 5]),
        ("bytes=100-", 206, CONTENT[100:]),
        ("lines=1-2", 200, CONTENT),
        (f"bytes={len(CONTENT)}-", 416, b""),
    ],
    ids=["one window", "two windows", "to the end", "another unit", "outside"],
)
async def test_a_range_is_sent_and_not_redirected(remote: Remote, asked: str, status: int, body: bytes) -> None:
    """With a Range header, whatever it asks for, this server sends from the stream what is wanted of it."""
    remote.storage.homes[APP] = APP
    response = await remote.ask(Range=asked)
    assert (response.status, response.body) == (status, body)
    assert remote.storage.located == []


async def test_several_ranges_of_a_stream(remote: Remote) -> None:
    """Each range is read at its place, and comes in its part."""
    body = (await remote.ask(Range="bytes=0-4,500-509")).body
    assert remote.storage.reads == [(0, 5), (500, 10)]
    assert CONTENT[:5] in body
    assert CONTENT[500:510] in body


async def test_a_condition_comes_before_the_redirect(remote: Remote) -> None:
    """A client that has the content gets 304, and no location."""
    remote.storage.homes[APP] = APP
    response = await remote.ask(If_None_Match=f'"{DIGEST}"')
    assert (response.status, remote.storage.located) == (304, [])


async def test_without_location_the_stream_is_sent(remote: Remote) -> None:
    """Content without bytes in memory, descriptor and location is sent in pieces of bounded size."""
    response = await remote.ask()
    assert (response.status, response.body) == (200, CONTENT)
    assert max(length for _, length in remote.storage.reads) <= MIB


async def test_a_location_that_cannot_be_made_is_none(remote: Remote) -> None:
    """If the storage fails to give a location, this server sends the content."""
    remote.storage.homes[APP], remote.storage.signs = APP, False
    response = await remote.ask()
    assert (response.status, response.body) == (200, CONTENT)


@pytest.mark.parametrize(("user", "status"), [("", 401), ("bob", 403)])
async def test_the_location_is_told_to_those_who_may_pull(remote: Remote, user: str, status: int) -> None:
    """A client that may not pull the blob is refused before a location is made."""
    remote.storage.homes[APP] = APP
    assert (await remote.ask(user=user)).status == status
    assert remote.storage.located == []


async def test_the_location_of_another_repository_needs_its_permission(remote: Remote) -> None:
    """Where repositories share an object, its URL names one of them: only its readers are redirected."""
    remote.storage.homes[APP] = SECRET
    response = await remote.ask(user="alice")
    assert (response.status, response.body) == (200, CONTENT)
    assert response.about == {"Content-Length": str(len(CONTENT)), "Docker-Content-Digest": DIGEST}
    response = await remote.ask(user="root")
    assert (response.status, response.headers["Location"]) == (307, URL.replace("/app/", "/secret/"))
