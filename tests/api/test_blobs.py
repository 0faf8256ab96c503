"""/v2/{name}/blobs/{digest}: content, ranges of it, and its end."""

import asyncio
import json
import os
import re
import socket

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from http_client import Client, Response
from layout.images import LAYER, image, sha256
from zot.api import blob_stream
from zot.api.http_request import HttpRequest
from zot.api.sending_threads import SendingThreads
from zot.oci.media_types import IMAGE_MANIFEST
from zot.storage.interface import Content

NOWHERE = "sha256:" + "0" * 64
CONTENT = bytes(range(256)) * 400
SIZE = len(CONTENT)


@pytest.fixture
def blob(registry: Client, repo: str) -> str:
    """The path of a blob."""
    return f"/v2/{repo}/blobs/{registry.push_blob(repo, CONTENT)}"


def parts(answer: Response) -> list[tuple[str, bytes]]:
    """The parts of a multipart answer: Content-Range and content, split by hand."""
    media_type = answer["Content-Type"]
    assert media_type is not None
    match = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", media_type)
    assert match is not None
    boundary = match[1].encode()
    before, *found, after = answer.body.split(b"--" + boundary)
    assert (before, after) == (b"\r\n", b"--\r\n")
    split = []
    for each in found:
        head, _, part = each.removesuffix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ") for line in head.decode().strip().split("\r\n"))
        assert fields["Content-Type"] == "application/octet-stream"
        split.append((fields["Content-Range"], part))
    return split


def test_a_blob_is_pulled_as_it_was_pushed(registry: Client, blob: str) -> None:
    """GET gives the bytes, HEAD all about them; both say that ranges are served."""
    got, head = registry.get(blob), registry.head(blob)
    assert (got.status, got.body) == (200, CONTENT)
    assert (head.status, head.body) == (200, b"")
    for answer in (got, head):
        assert answer["Content-Length"] == str(SIZE)
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Docker-Content-Digest"] == blob.rpartition("/")[2]
        assert answer["Accept-Ranges"] == "bytes"
        assert answer["Docker-Distribution-API-Version"] == "registry/2.0"
        assert answer["X-Request-Id"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("pushed", [b"", b"content"])
def test_blobs_of_any_algorithm_and_of_no_bytes(registry: Client, repo: str, algorithm: str, pushed: bytes) -> None:
    """Each digest algorithm names blobs, and a blob may be empty."""
    digest = registry.push_blob(repo, pushed, algorithm)
    got = registry.get(f"/v2/{repo}/blobs/{digest.replace(':', '%3a')}")
    assert (got.status, got.body, got["Content-Length"]) == (200, pushed, str(len(pushed)))
    assert registry.get(f"/v2/{repo}/blobs/{digest}", Range="bytes=0-0").status == (206 if pushed else 416)


def test_a_manifest_tells_the_type_of_its_blobs(registry: Client, repo: str) -> None:
    """Once a manifest names a blob, its media type is that of the descriptor."""
    pushed = image("a")
    registry.push(repo, pushed, "v1")
    assert registry.head(f"/v2/{repo}/blobs/{sha256(pushed.blobs[1])}")["Content-Type"] == LAYER


def test_a_browser_runs_nothing_of_a_blob(registry: Client, repo: str) -> None:
    """Its type is a pusher's choice: whole, in part or by HEAD, it is no page of this registry's origin."""
    page = b"<script>alert(document.domain)</script>"
    digest = registry.push_blob(repo, page)
    described = {"mediaType": "text/html", "digest": digest, "size": len(page)}
    manifest = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": described, "layers": []}
    assert registry.put_manifest(repo, "v1", json.dumps(manifest).encode(), IMAGE_MANIFEST).status == 201
    path = f"/v2/{repo}/blobs/{digest}"
    for answer in (registry.get(path), registry.get(path, Range="bytes=0-7"), registry.head(path)):
        assert answer["Content-Type"] == "text/html"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "sandbox"


def test_what_is_not_there_is_unknown(registry: Client, repo: str) -> None:
    """A missing repository is NAME_UNKNOWN, a missing blob BLOB_UNKNOWN, a malformed digest DIGEST_INVALID."""
    for method in ("GET", "DELETE"):
        answer = registry.ask(method, f"/v2/{repo}/blobs/{NOWHERE}")
        assert answer.error == (404, "NAME_UNKNOWN")
    assert registry.head(f"/v2/{repo}/blobs/{NOWHERE}").status == 404
    registry.push_blob(repo, b"content")
    for method in ("GET", "DELETE"):
        answer = registry.ask(method, f"/v2/{repo}/blobs/{NOWHERE}")
        assert answer.error == (404, "BLOB_UNKNOWN")
        assert answer.detail["digest"] == NOWHERE
        assert registry.ask(method, f"/v2/{repo}/blobs/latest").error == (400, "DIGEST_INVALID")
        assert registry.ask(method, f"/v2/{repo}/blobs/{NOWHERE.upper()}").error == (400, "DIGEST_INVALID")
    assert registry.head(f"/v2/{repo}/blobs/latest").status == 400


# --- deleting ---


def test_a_deleted_blob_is_gone_though_others_hold_it(registry: Client, repo: str) -> None:
    """Deleting takes the blob from its repository at once, and from no other; a push brings it back."""
    other = f"{repo}-other"
    digest = registry.push_blob(repo, CONTENT)
    assert registry.push_blob(other, CONTENT) == digest
    assert registry.ask("DELETE", f"/v2/{repo}/blobs/{digest}").status == 202
    assert registry.get(f"/v2/{repo}/blobs/{digest}").error == (404, "BLOB_UNKNOWN")
    assert registry.head(f"/v2/{repo}/blobs/{digest}").status == 404
    assert registry.ask("DELETE", f"/v2/{repo}/blobs/{digest}").error == (404, "BLOB_UNKNOWN")
    assert registry.get(f"/v2/{other}/blobs/{digest}").body == CONTENT
    registry.push_blob(repo, CONTENT)
    assert registry.get(f"/v2/{repo}/blobs/{digest}").body == CONTENT


def test_what_a_manifest_names_stays(registry: Client, repo: str) -> None:
    """A blob that a manifest names cannot be deleted before it: 405 DENIED."""
    pushed = image("a")
    registry.push(repo, pushed, "v1")
    blob = f"/v2/{repo}/blobs/{sha256(pushed.blobs[0])}"
    assert registry.ask("DELETE", blob).error == (405, "DENIED")
    assert registry.get(blob).status == 200
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{pushed.digest}").status == 202
    assert registry.ask("DELETE", blob).status == 202


# --- manifests as blobs ---


def test_a_manifest_is_a_blob_too(registry: Client, repo: str) -> None:
    """As in a layout, and in zot: HEAD, GET and ranges of its digest under blobs give its bytes."""
    pushed = image("as a blob")
    digest = registry.push(repo, pushed, "v1")
    path = f"/v2/{repo}/blobs/{digest}"
    for _ in range(2):
        assert (registry.head(path).status, registry.head(path)["Content-Length"]) == (200, str(len(pushed.content)))
        got = registry.get(path)
        assert (got.status, got.body, got["Docker-Content-Digest"]) == (200, pushed.content, digest)
        assert registry.get(path, Range="bytes=0-1").body == pushed.content[:2]
    assert registry.get(f"/v2/{repo}-other/blobs/{digest}").status == 404
    assert registry.ask("DELETE", path).status == 405
    assert registry.get(f"/v2/{repo}/manifests/v1").body == pushed.content


def test_a_manifest_may_be_named_as_a_blob(registry: Client, repo: str) -> None:
    """What HEAD calls present a manifest may name, asked for or not; then it outlives the manifest that it is."""
    first, second = image("first"), image("second")
    registry.push(repo, first, "first")
    registry.push(repo, second, "second")
    registry.head(f"/v2/{repo}/blobs/{first.digest}")
    naming = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": {"mediaType": "application/vnd.x", "digest": sha256(first.blobs[0]), "size": len(first.blobs[0])},
            "layers": [
                {"mediaType": IMAGE_MANIFEST, "digest": each.digest, "size": len(each.content)}
                for each in (first, second)
            ],
        }
    ).encode()
    assert registry.put_manifest(repo, "naming", naming, IMAGE_MANIFEST).status == 201
    for each in (first, second):
        assert registry.ask("DELETE", f"/v2/{repo}/manifests/{each.digest}").status == 202
        got = registry.get(f"/v2/{repo}/blobs/{each.digest}")
        assert (got.body, got["Content-Type"]) == (each.content, IMAGE_MANIFEST)
    missing = naming.replace(second.digest.encode(), NOWHERE.encode())
    assert registry.put_manifest(repo, "missing", missing, IMAGE_MANIFEST).error == (404, "MANIFEST_BLOB_UNKNOWN")


# --- ranges ---


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=100-", 100, SIZE - 1),
        ("bytes=-7", SIZE - 7, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        (f"bytes=5-{SIZE * 2}", 5, SIZE - 1),
        ("bytes=0-4,5-9", 0, 9),
        ("bytes=20-30, 0-25", 0, 30),
        ("BYTES=1-2", 1, 2),
    ],
)
def test_one_range(registry: Client, blob: str, asked: str, first: int, last: int) -> None:
    """Bytes by number, to the end or from it, are answered 206; ranges that touch are one."""
    got = registry.get(blob, Range=asked)
    assert (got.status, got.body) == (206, CONTENT[first : last + 1])
    assert got["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert got["Content-Length"] == str(last - first + 1)


def test_several_ranges_are_parts(registry: Client, blob: str) -> None:
    """Ranges apart from each other come in the parts of one answer, whose length was announced."""
    got = registry.get(blob, Range="bytes=500-509,0-9, -10")
    assert got.status == 206
    assert got["Content-Length"] == str(len(got.body))
    assert parts(got) == [
        (f"bytes 0-9/{SIZE}", CONTENT[:10]),
        (f"bytes 500-509/{SIZE}", CONTENT[500:510]),
        (f"bytes {SIZE - 10}-{SIZE - 1}/{SIZE}", CONTENT[-10:]),
    ]


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", "bytes=5-4", "bytes=x", "bytes=", "bytes=0-0,x"])
def test_what_is_no_range_of_it_is_416(registry: Client, blob: str, asked: str) -> None:
    """Ranges outside of the content, and malformed ones, are refused with the size that there is."""
    got = registry.get(blob, Range=asked)
    assert got.status == 416
    assert got["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("count", [16, 17, 200, 1024])
def test_many_ranges_are_parts(registry: Client, blob: str, count: int) -> None:
    """Clients of zstd:chunked layers ask for up to 1,024 ranges at once: each comes in a part."""
    got = registry.get(blob, Range="bytes=" + ",".join(f"{10 * each}-{10 * each + 4}" for each in range(count)))
    assert got.status == 206
    assert got["Content-Length"] == str(len(got.body))
    assert parts(got) == [
        (f"bytes {10 * each}-{10 * each + 4}/{SIZE}", CONTENT[10 * each : 10 * each + 5]) for each in range(count)
    ]


def test_many_ranges_of_a_large_layer_fit_into_a_header(registry: Client, blob: str) -> None:
    """1,024 ranges with offsets of terabytes come to 28 KB: the limit on a header lets them in."""
    far = ",".join(f"{each * 10**9 + 10**12}-{each * 10**9 + 10**12 + 9}" for each in range(1023))
    got = registry.get(blob, Range=f"bytes=0-9,{far}")
    assert (got.status, got.body) == (206, CONTENT[:10])


def test_many_ranges_that_touch_are_one(registry: Client, blob: str) -> None:
    """They are joined before they are sent, in whatever order they came."""
    asked = ",".join(f"{100 * each}-{100 * each + 99}" for each in reversed(range(1024)))
    got = registry.get(blob, Range=f"bytes={asked}")
    assert (got.status, got["Content-Range"], got.body) == (206, f"bytes 0-{SIZE - 1}/{SIZE}", CONTENT)


@pytest.mark.parametrize("count", [1025, 2000])
def test_more_ranges_are_the_whole(registry: Client, blob: str, count: int) -> None:
    """Beyond 1,024 the header is ignored: the client gets all of it, as from a server without ranges."""
    got = registry.get(blob, Range="bytes=" + ",".join(f"{2 * each}-{2 * each}" for each in range(count)))
    assert (got.status, got.body, got["Content-Range"]) == (200, CONTENT, None)


def test_other_units_and_methods_ignore_ranges(registry: Client, blob: str) -> None:
    """A unit that nobody knows gets all of it, and so does HEAD (RFC 9110, 14.2)."""
    assert registry.get(blob, Range="lines=1-2").body == CONTENT
    head = registry.head(blob, Range="bytes=0-1")
    assert (head.status, head["Content-Length"]) == (200, str(SIZE))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE // 4)), min_size=1, max_size=16))
def test_any_ranges_are_the_bytes(registry: Client, blob: str, ranges: list[tuple[int, int]]) -> None:
    """Whatever ranges are asked for, each byte of them comes once, at its place."""
    asked = {each for start, length in ranges for each in range(start, min(start + length, SIZE))}
    got = registry.get(blob, Range="bytes=" + ",".join(f"{start}-{start + length - 1}" for start, length in ranges))
    assert got.status == 206
    header = got["Content-Range"]
    received: dict[int, int] = {}
    for where, part in [(header, got.body)] if header else parts(got):
        first, last = map(int, where.removeprefix("bytes ").partition("/")[0].split("-"))
        assert len(part) == last - first + 1
        received |= dict(enumerate(part, first))
    assert received == {each: CONTENT[each] for each in asked}


@pytest.mark.parametrize(("asking", "window_bytes"), [(False, 1024 * 1024), (True, 256 * 1024)])
def test_large_content_is_sent_in_windows(
    registry: Client, repo: str, monkeypatch: pytest.MonkeyPatch, asking: bool, window_bytes: int
) -> None:
    """Without a free thread, others get their turn between two calls to the kernel, for less while they ask."""
    lengths: list[int] = []
    send = blob_stream._by_sendfile

    async def busy(threads: SendingThreads, http: HttpRequest, descriptor: int, offset: int, length: int) -> int:
        del threads, http, descriptor, offset, length
        return 0

    async def recorded(
        http: HttpRequest, response: web.StreamResponse, opened: Content, offset: int, length: int
    ) -> None:
        lengths.append(length)
        await send(http, response, opened, offset, length)
        if asking:
            assert (await asyncio.to_thread(registry.get, "/v2/")).status == 200

    large = bytes(5 * 1024 * 1024)
    digest = registry.push_blob(repo, large)
    monkeypatch.setattr(blob_stream, "_by_sendfile", recorded)
    monkeypatch.setattr(SendingThreads, "send", busy)
    assert registry.get(f"/v2/{repo}/blobs/{digest}").body == large
    assert sum(lengths) == len(large)
    assert max(lengths[1:]) == window_bytes


SMALL = CONTENT[:50]


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("", 200, None, SMALL),
        ("bytes=0-0", 206, "bytes 0-0/50", SMALL[:1]),
        ("bytes=5-", 206, "bytes 5-49/50", SMALL[5:]),
        ("bytes=-7", 206, "bytes 43-49/50", SMALL[-7:]),
    ],
)
def test_small_content_is_sent_as_large(
    registry: Client, repo: str, asked: str, status: int, content_range: str | None, body: bytes
) -> None:
    """Content that is sent from memory has the same responses, whole and in a range."""
    path = f"/v2/{repo}/blobs/{registry.push_blob(repo, SMALL)}"
    got = registry.get(path, **({"Range": asked} if asked else {}))
    assert (got.status, got["Content-Range"], got.body) == (status, content_range, body)
    assert got["Content-Length"] == str(len(body))


def test_small_content_in_several_ranges(registry: Client, repo: str) -> None:
    """Several ranges of content in memory come in parts; with none of them in it the size is told."""
    path = f"/v2/{repo}/blobs/{registry.push_blob(repo, SMALL)}"
    assert parts(registry.get(path, Range="bytes=0-4,9-12")) == [
        ("bytes 0-4/50", SMALL[:5]),
        ("bytes 9-12/50", SMALL[9:13]),
    ]
    refused = registry.get(path, Range="bytes=50-")
    assert (refused.status, refused["Content-Range"]) == (416, "bytes */50")


def test_a_slow_client_gets_the_rest_later(registry: Client, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a socket does not take at once of a body of one window is sent as the client reads."""
    taken: list[int] = []
    send = blob_stream._send_now

    def recorded(http: HttpRequest, opened: Content, offset: int, length: int) -> int:
        transport = http.transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        taken.append(send(http, opened, offset, length))
        return taken[-1]

    body = os.urandom(1024 * 1024)
    digest = registry.push_blob(repo, body)
    monkeypatch.setattr(blob_stream, "_send_now", recorded)
    assert registry.get(f"/v2/{repo}/blobs/{digest}").body == body
    assert taken[0] < len(body)


# --- conditions ---


def test_who_has_it_is_not_sent_it(registry: Client, blob: str) -> None:
    """If-None-Match with the entity tag, weak or strong, or with `*` is 304; with another one it is sent."""
    tag = registry.get(blob)["ETag"]
    assert tag is not None
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        got = registry.get(blob, If_None_Match=condition)
        assert (got.status, got.body, got["ETag"]) == (304, b"", tag)
        assert registry.head(blob, If_None_Match=condition).status == 304
    assert registry.get(blob, If_None_Match='"other"').body == CONTENT


def test_a_range_of_what_the_client_has(registry: Client, blob: str) -> None:
    """If-Range with the strong entity tag gives the range, with anything else the whole (RFC 9110, 13.1.5)."""
    tag = registry.get(blob)["ETag"]
    assert tag is not None
    assert registry.get(blob, Range="bytes=0-1", If_Range=tag).status == 206
    for other in ('"other"', f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        got = registry.get(blob, Range="bytes=0-1", If_Range=other)
        assert (got.status, got.body) == (200, CONTENT)


def test_manifests_are_conditional_too(registry: Client, repo: str) -> None:
    """Who polls a tag is sent its manifest when it moved, and 304 until then."""
    one, two = image("one"), image("two")
    registry.push(repo, one, "v1")
    tag = registry.get(f"/v2/{repo}/manifests/v1")["ETag"]
    assert tag is not None
    got = registry.get(f"/v2/{repo}/manifests/v1", If_None_Match=tag)
    assert (got.status, got.body, got["Docker-Content-Digest"]) == (304, b"", one.digest)
    registry.push(repo, two, "v1")
    assert registry.get(f"/v2/{repo}/manifests/v1", If_None_Match=tag).body == two.content
