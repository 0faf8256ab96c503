"""/v2/{name}/blobs/uploads/: in one request or many, broken off and gone on with, by one client or two."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from http_client import OCTETS, Client, Response, parsed, read_all, wait_for
from layout.images import index, sha256
from zot.registry.blob_commit import BLOB_LIMIT_BYTES
from zot.testing import RunningRegistry, serve

CONTENT = b"0123456789" * 1000
DIGEST = sha256(CONTENT)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NOWHERE = "sha256:" + "0" * 64


def patch(client: Client, location: str, content: bytes, start: int | None = None) -> Response:
    """Send a chunk; with `start` it says where it belongs."""
    place = {} if start is None else {"Content-Range": f"{start}-{start + len(content) - 1}"}
    return client.ask("PATCH", location, content, OCTETS | place)


def finish(client: Client, location: str, digest: str = DIGEST, content: bytes = b"") -> Response:
    """Finish an upload."""
    return client.ask("PUT", f"{location}?digest={digest}", content, OCTETS if content else {})


def offset(client: Client, location: str) -> int:
    """How many bytes the registry says that it has. No test asks after one byte: 0-0 is said of none, too."""
    answer = client.get(location)
    assert answer.status == 204
    header = answer["Range"]
    assert header is not None
    last = int(header.removeprefix("0-"))
    return last + 1 if last else 0


def staged(registry: RunningRegistry, repo: str) -> list[Path]:
    """The files of uploads that are left in a repository."""
    return list((registry.root / repo / ".uploads").glob("*"))


# --- the ways to push ---


def test_begin_answers_where_to_send(registry: Client, repo: str) -> None:
    """202 with a path of the API, an empty range, and the session's id."""
    answer = registry.ask("POST", f"/v2/{repo}/blobs/uploads/")
    location = answer["Location"]
    assert (answer.status, answer.body, answer["Range"]) == (202, b"", "0-0")
    assert location == f"/v2/{repo}/blobs/uploads/{answer['Blob-Upload-UUID']}"
    assert registry.get(location).status == 204
    assert registry.ask("POST", f"/v2/{repo}/blobs/uploads").status == 202


def test_one_chunk_then_finish(registry: Client, repo: str) -> None:
    """PATCH takes the content, PUT makes it a blob, which is then known by its digest."""
    location = registry.begin(repo)
    chunk = patch(registry, location, CONTENT)
    assert (chunk.status, chunk["Location"], chunk["Range"]) == (202, location, f"0-{len(CONTENT) - 1}")
    done = finish(registry, location)
    assert (done.status, done["Location"]) == (201, f"/v2/{repo}/blobs/{DIGEST}")
    assert done["Docker-Content-Digest"] == DIGEST
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT


def test_all_of_it_with_the_finish(registry: Client, repo: str) -> None:
    """PUT may bring the whole content, or the last of it."""
    assert finish(registry, registry.begin(repo), content=CONTENT).status == 201
    location = registry.begin(f"{repo}-two")
    patch(registry, location, CONTENT[:10])
    assert finish(registry, location, content=CONTENT[10:]).status == 201
    assert registry.get(f"/v2/{repo}-two/blobs/{DIGEST}").body == CONTENT


def test_a_body_of_unknown_length(registry: Client, repo: str) -> None:
    """Content may come in HTTP's chunks, as it is made."""
    location = registry.begin(repo)
    answer = registry.ask("PATCH", location, (CONTENT[at : at + 999] for at in range(0, len(CONTENT), 999)), OCTETS)
    assert answer["Range"] == f"0-{len(CONTENT) - 1}"
    assert finish(registry, location).status == 201


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_the_digest_may_be_of_any_algorithm(registry: Client, repo: str, algorithm: str) -> None:
    """Which algorithm it is need not be said before the end, and may be said at the start."""
    digest = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    for query in ("", f"?digest-algorithm={algorithm}"):
        location = registry.ask("POST", f"/v2/{repo}/blobs/uploads/{query}")["Location"]
        assert location is not None
        patch(registry, location, CONTENT[:5000])
        patch(registry, location, CONTENT[5000:])
        assert finish(registry, location, digest).status == 201
    assert registry.get(f"/v2/{repo}/blobs/{digest}").body == CONTENT


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(2, 4000), max_size=6), st.booleans(), st.booleans())
def test_any_cut_makes_the_same_blob(
    registry: Client, repo: str, sizes: list[int], placed: bool, last_with_finish: bool
) -> None:
    """However content is cut into chunks, each is acknowledged with the total so far, and the blob is the content."""
    location, at = registry.begin(repo), 0
    for size in sizes:
        chunk = CONTENT[at : at + size]
        answer = patch(registry, location, chunk, at if placed else None)
        at += len(chunk)
        assert (answer.status, answer["Range"]) == (202, f"0-{at - 1}")
        assert offset(registry, location) == at
        if at == len(CONTENT):
            break
    rest = CONTENT[at:] if last_with_finish else b""
    done = finish(registry, location, sha256(CONTENT[: at + len(rest)]), rest)
    assert done.status == 201
    location = done["Location"] or ""
    assert registry.get(location).body == CONTENT[: at + len(rest)]


def test_nothing_is_a_blob_too(registry: Client, repo: str) -> None:
    """An upload of no bytes is finished by their digest, in each way."""
    empty = sha256(b"")
    assert finish(registry, registry.begin(repo), empty).status == 201
    location = registry.begin(repo)
    assert patch(registry, location, b"").status == 202
    assert finish(registry, location, empty).status == 201
    assert registry.push_blob(repo, b"") == empty


# --- chunks at the wrong place ---


@pytest.mark.parametrize("start", [0, 5, 99, 101, 10**18])
def test_a_chunk_elsewhere_is_refused_with_the_place(registry: Client, repo: str, start: int) -> None:
    """A gap or an overlap is 416, which says where to go on; nothing was taken, and going on there works."""
    location = registry.begin(repo)
    patch(registry, location, CONTENT[:100], 0)
    for answer in (
        patch(registry, location, CONTENT[:50], start),
        registry.ask(
            "PUT", f"{location}?digest={DIGEST}", CONTENT[:50], OCTETS | {"Content-Range": f"{start}-{start + 49}"}
        ),
    ):
        assert answer.error == (416, "BLOB_UPLOAD_INVALID")
        assert (answer["Location"], answer["Range"]) == (location, "0-99")
    assert offset(registry, location) == 100
    assert patch(registry, location, CONTENT[100:], 100).status == 202
    assert finish(registry, location).status == 201


@pytest.mark.parametrize("place", ["0-98", "0-100", "99-0", "x", "0-", "bytes */5"])
def test_a_place_that_is_not_the_chunks_is_refused(registry: Client, repo: str, place: str) -> None:
    """A range of another length than the body's, or no range at all, is 416, with where to go on."""
    location = registry.begin(repo)
    assert patch(registry, location, CONTENT[:10], 0).status == 202
    for method, target in (("PATCH", location), ("PUT", f"{location}?digest={DIGEST}")):
        answer = registry.ask(method, target, CONTENT[10:110], OCTETS | {"Content-Range": place})
        assert answer.error == (416, "BLOB_UPLOAD_INVALID")
        assert (answer["Location"], answer["Range"]) == (location, "0-9")
    assert offset(registry, location) == 10


def test_a_place_in_no_upload_is_unknown(registry: Client, repo: str) -> None:
    """Who sends what is no range to another repository's session learns nothing of it."""
    location = registry.begin(repo)
    elsewhere = location.replace(f"/{repo}/", f"/{repo}-b/")
    answer = registry.ask("PATCH", elsewhere, CONTENT[:100], OCTETS | {"Content-Range": "x"})
    assert answer.error == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_chunk_has_the_length_of_its_place(registry: Client, repo: str) -> None:
    """Also when it comes in HTTP's chunks: more or fewer bytes than the range are refused."""
    for sent in (99, 101):
        location = registry.begin(repo)
        answer = registry.ask("PATCH", location, iter([CONTENT[:sent]]), OCTETS | {"Content-Range": "0-99"})
        assert answer.error == (400, "SIZE_INVALID")


# --- the wrong digest ---


def test_a_wrong_digest_ends_the_upload(registry: Client, shared: RunningRegistry, repo: str) -> None:
    """400 DIGEST_INVALID; session and bytes are gone, and neither digest names a blob."""
    location = registry.begin(repo)
    patch(registry, location, CONTENT)
    assert finish(registry, location, NOWHERE).error == (400, "DIGEST_INVALID")
    assert registry.get(location).error == (404, "BLOB_UPLOAD_UNKNOWN")
    assert finish(registry, location).error == (404, "BLOB_UPLOAD_UNKNOWN")
    for digest in (DIGEST, NOWHERE):
        assert registry.get(f"/v2/{repo}/blobs/{digest}").error == (404, "BLOB_UNKNOWN")
    assert staged(shared, repo) == []


@pytest.mark.parametrize("query", ["", "?digest=", "?digest=sha256:abc", "?digest=md5:" + "0" * 32, "?digest=%C3%28"])
def test_a_finish_needs_a_digest(registry: Client, repo: str, query: str) -> None:
    """Without one, or with a malformed one, it is refused and the session goes on."""
    location = registry.begin(repo)
    patch(registry, location, CONTENT)
    assert registry.ask("PUT", location + query).status == 400
    assert finish(registry, location).status == 201


def test_parameters_are_given_once(registry: Client, repo: str) -> None:
    """Twice the same parameter says nothing: refused."""
    location = registry.begin(repo)
    answer = registry.ask("PUT", f"{location}?digest={DIGEST}&digest={DIGEST}")
    assert answer.error == (400, "BLOB_UPLOAD_INVALID")
    for query in (f"digest={DIGEST}&digest={DIGEST}", f"mount={DIGEST}&mount={DIGEST}", "from=a&from=b&mount=x"):
        assert registry.ask("POST", f"/v2/{repo}/blobs/uploads/?{query}").error == (400, "BLOB_UPLOAD_INVALID")


# --- in a single request ---


def test_a_single_post_takes_the_whole(registry: Client, repo: str) -> None:
    """201 with the blob's place."""
    answer = registry.ask("POST", f"/v2/{repo}/blobs/uploads/?digest={DIGEST}", CONTENT, OCTETS)
    assert (answer.status, answer["Location"]) == (201, f"/v2/{repo}/blobs/{DIGEST}")
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT


def test_a_single_post_that_is_refused_leaves_nothing(registry: Client, shared: RunningRegistry, repo: str) -> None:
    """A wrong digest, type or form is told, and neither a session nor a file stays."""
    target = f"/v2/{repo}/blobs/uploads/?digest="
    for refused, error in (
        (registry.ask("POST", target + NOWHERE, CONTENT, OCTETS), (400, "DIGEST_INVALID")),
        (registry.ask("POST", target + "sha256:abc", CONTENT, OCTETS), (400, "DIGEST_INVALID")),
        (registry.ask("POST", target + DIGEST, CONTENT, {"Content-Type": "text/plain"}), (415, "UNSUPPORTED")),
        (registry.ask("POST", target + DIGEST, iter([CONTENT]), OCTETS), (400, "BLOB_UPLOAD_INVALID")),
        (registry.ask("POST", f"/v2/{repo}/blobs/uploads/?digest-algorithm=md5"), (400, "DIGEST_INVALID")),
        (registry.ask("POST", f"/v2/{repo}/blobs/uploads/?from={repo}"), (405, "UNSUPPORTED")),
    ):
        assert refused.error == error
    assert staged(shared, repo) == []
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").status == 404


# --- sessions ---


def test_a_session_can_be_cancelled(registry: Client, shared: RunningRegistry, repo: str) -> None:
    """DELETE is 204; afterwards the session is unknown to every method, and its bytes are gone."""
    location = registry.begin(repo)
    patch(registry, location, CONTENT)
    assert registry.ask("DELETE", location).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        answer = registry.ask(method, location, CONTENT if method == "PATCH" else None)
        assert answer.error == (404, "BLOB_UPLOAD_UNKNOWN")
    assert finish(registry, location).error == (404, "BLOB_UPLOAD_UNKNOWN")
    assert staged(shared, repo) == []


@pytest.mark.parametrize("session", ["x", "00000000-0000-4000-8000-000000000000", "..", "%2e%2e", "a" * 65, "%00"])
def test_a_session_that_nobody_opened_is_unknown(registry: Client, repo: str, session: str) -> None:
    """404 BLOB_UPLOAD_UNKNOWN, whatever the id looks like."""
    registry.push_blob(repo, b"content")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        query = f"?digest={DIGEST}" if method == "PUT" else ""
        answer = registry.ask(method, f"/v2/{repo}/blobs/uploads/{session}{query}")
        assert answer.error == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_session_is_its_repositorys(registry: Client, repo: str) -> None:
    """The id is no authority: through another repository's path there is no such session."""
    location = registry.begin(repo)
    patch(registry, location, CONTENT)
    elsewhere = location.replace(repo, f"{repo}-other")
    registry.push_blob(f"{repo}-other", b"content")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = registry.ask(method, f"{elsewhere}?digest={DIGEST}", CONTENT if method == "PATCH" else None)
        assert answer.error == (404, "BLOB_UPLOAD_UNKNOWN")
    assert registry.get(f"/v2/{repo}-other/blobs/{DIGEST}").status == 404
    assert finish(registry, location).status == 201


def test_finishing_twice_is_done_twice(registry: Client, repo: str) -> None:
    """Who lost the answer gets it again; with another digest there is no such session any more."""
    location = registry.begin(repo)
    patch(registry, location, CONTENT)
    for _ in range(3):
        assert finish(registry, location).status == 201
    assert finish(registry, location, NOWHERE).error == (404, "BLOB_UPLOAD_UNKNOWN")
    assert registry.get(location).error == (404, "BLOB_UPLOAD_UNKNOWN")
    assert patch(registry, location, CONTENT).error == (404, "BLOB_UPLOAD_UNKNOWN")
    again = finish(registry, location, content=CONTENT)
    assert again.status == 201
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT


# --- connections that end, clients that compete ---


def begin_chunk(client: Client, location: str, announced: int, sent: bytes, method: str = "PATCH") -> socket.socket:
    """Send a part of an announced chunk, once it is asked for, and leave the connection open."""
    connection = client.socket()
    head = f"{method} {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\nExpect: 100-continue\r\n\r\n"
    connection.sendall(head.encode())
    assert connection.recv(len(CONTINUE)) == CONTINUE
    connection.sendall(sent)
    return connection


@pytest.mark.parametrize("sent", [0, 2, 5000, len(CONTENT) - 1])
def test_what_came_before_the_connection_broke_counts(registry: Client, repo: str, sent: int) -> None:
    """After a PATCH that broke off, the session says how much of it came, and goes on from there."""
    location = registry.begin(repo)
    begin_chunk(registry, location, len(CONTENT), CONTENT[:sent]).close()
    wait_for(lambda: offset(registry, location) == sent)
    assert patch(registry, location, CONTENT[sent:], sent).status == 202
    assert finish(registry, location).status == 201
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT


def test_a_finish_that_broke_off_goes_on(registry: Client, repo: str) -> None:
    """A PUT whose connection broke leaves the session open with what came; of up to a MiB with nothing."""
    large = CONTENT * (1 + (1 << 20) // len(CONTENT))
    location = registry.begin(repo)
    begin_chunk(registry, f"{location}?digest={sha256(large)}", len(large), large[:7000], "PUT").close()
    wait_for(lambda: offset(registry, location) == 7000)
    assert finish(registry, location, sha256(large), large[7000:]).status == 201
    location = registry.begin(repo)
    begin_chunk(registry, f"{location}?digest={DIGEST}", len(CONTENT), CONTENT[:7000], "PUT").close()
    assert offset(registry, location) == 0
    assert finish(registry, location, content=CONTENT).status == 201


def test_a_newer_request_takes_the_session(registry: Client, repo: str) -> None:
    """While an old connection hangs in the middle of a chunk, a new one goes on; the old one is closed."""
    location = registry.begin(repo)
    patch(registry, location, CONTENT[:100])
    with begin_chunk(registry, location, 5000, b"lost" * 100) as old:
        assert patch(registry, location, CONTENT[100:], 100).status == 202
        assert read_all(old) == b""
    assert finish(registry, location).status == 201
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT


def test_two_finish_one_upload_at_once(registry: Client, repo: str) -> None:
    """Two clients that finish the same session at once both succeed, or one is told to try again; the blob is whole."""
    for _ in range(5):
        location = registry.begin(repo)
        patch(registry, location, CONTENT)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: finish(registry, location), range(4)))  # noqa: B023
        assert 201 in {answer.status for answer in answers}
        assert {answer.status for answer in answers} <= {201, 409}
        assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT
        assert registry.ask("DELETE", f"/v2/{repo}/blobs/{DIGEST}").status == 202


def test_ten_push_the_same_blob_at_once(registry: Client, shared: RunningRegistry, repo: str) -> None:
    """Every one of them succeeds, in one repository and in several; nothing is left beside the blob."""
    begun = threading.Barrier(10)

    def push(number: int) -> tuple[int, int]:
        location = registry.begin(repo if number % 2 else f"{repo}-{number}")
        begun.wait()
        return patch(registry, location, CONTENT).status, finish(registry, location).status

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(push, range(10))) == {(202, 201)}
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT
    assert staged(shared, repo) == []


# --- refused before the bytes are sent ---


def test_a_body_is_asked_for_once_it_is_wanted(registry: Client, repo: str) -> None:
    """With Expect: 100-continue a client is invited after all is checked, and refused without sending a byte."""
    location = registry.begin(repo)
    for target, status in ((location, CONTINUE), (f"{location}x", b"HTTP/1.1 404 Not Found")):
        with registry.socket() as connection:
            head = f"PATCH {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            received = connection.recv(len(status))
            assert received == status
            if target == location:
                connection.sendall(CONTENT[:10])
                assert b"202 Accepted" in connection.recv(1000)
            else:
                answer = parsed(received + read_all(connection))
                assert answer.error == (404, "BLOB_UPLOAD_UNKNOWN")
                assert answer["Connection"] == "close"
    assert offset(registry, location) == 10


def test_old_clients_are_not_invited(registry: Client, repo: str) -> None:
    """HTTP/1.0 knows no invitations: its body is taken as it comes (RFC 9110, 10.1.1)."""
    head = f"PATCH {registry.begin(repo)} HTTP/1.0\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    assert parsed(registry.raw(head.encode() + CONTENT[:10]))["Range"] == "0-9"


def test_an_upload_that_is_refused_is_not_read(registry: Client, repo: str) -> None:
    """A body that nobody wants ends with the connection: what was announced is never taken in full."""
    head = f"PATCH /v2/{repo}/blobs/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n"
    assert parsed(registry.raw(head.encode() + CONTENT)).error == (404, "BLOB_UPLOAD_UNKNOWN")


# --- limits ---


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry with little room."""
    config = {
        "storage": {
            "maxRepos": 2,
            "quotas": [
                {"repositories": ["small/**"], "bytes": 15_000, "each": True},
                {"repositories": ["team/**"], "bytes": 15_000},
            ],
        },
        "http": {"limits": {"maxUploadsPerRepository": 2}},
    }
    with serve(tmp_path_factory.mktemp("little"), config) as running:
        yield running


@pytest.fixture
def limited(little: RunningRegistry) -> Client:
    """Its client."""
    return Client(little.host)


def test_open_uploads_are_limited(limited: Client) -> None:
    """More sessions at once than allowed are 429; a cancelled one makes room."""
    locations = [limited.begin("sessions") for _ in range(2)]
    refused = limited.ask("POST", "/v2/sessions/blobs/uploads/")
    assert refused.error == (429, "TOOMANYREQUESTS")
    assert limited.ask("DELETE", locations[0]).status == 204
    limited.begin("sessions")


def test_idle_uploads_of_one_client_refuse_no_other(limited: Client) -> None:
    """Anonymous clients are told apart by their addresses: one that holds all it may leaves others theirs."""
    for _ in range(2):
        limited.begin("shared")
    refused = limited.ask("POST", "/v2/shared/blobs/uploads/")
    assert refused.error == (429, "TOOMANYREQUESTS")
    for target, body, status in (("", b"", 202), (f"?digest={sha256(CONTENT)}", CONTENT, 201)):
        with closing(HTTPConnection(limited.host, source_address=("127.0.0.2", 0))) as other:
            other.request("POST", f"/v2/shared/blobs/uploads/{target}", body, OCTETS)
            assert other.getresponse().status == status


def test_a_quota_of_bytes_holds(limited: Client, little: RunningRegistry) -> None:
    """A blob that does not fit is 403 DENIED, however it is pushed, and leaves no file; deleting makes room."""
    digest = limited.push_blob("small/app", CONTENT)
    other = b"x" * 6000
    refused = limited.ask("POST", f"/v2/small/app/blobs/uploads/?digest={sha256(other)}", other, OCTETS)
    assert refused.error == (403, "DENIED")
    location = limited.begin("small/app")
    patch(limited, location, other)
    assert finish(limited, location, sha256(other)).error == (403, "DENIED")
    assert {file.name for file in little.root.glob("small/app/blobs/*/*")} <= {digest.partition(":")[2]}
    assert limited.push_blob("small/app", CONTENT) == digest
    assert limited.ask("DELETE", f"/v2/small/app/blobs/{digest}").status == 202
    assert finish(limited, location, sha256(other)).status == 201


def test_a_quota_of_bytes_is_shared(limited: Client, little: RunningRegistry) -> None:
    """What one repository of the pattern took the others lack, pushed or mounted; the refusal says what is left."""
    digest = limited.push_blob("team/one", CONTENT)
    other = b"y" * 6000
    uploads = "/v2/team/two/blobs/uploads/"
    for refused in (
        limited.ask("POST", f"{uploads}?digest={sha256(other)}", other, OCTETS),
        limited.ask("POST", f"{uploads}?mount={digest}&from=team/one"),
    ):
        assert refused.error == (403, "DENIED")
        (error,) = refused.json["errors"]
        assert error["detail"]["left"] == "5000"
        assert "has 5000 bytes left" in error["detail"]["description"]
    assert not list((little.root / "team").glob("two/blobs/*/*"))
    fitting = b"z" * 5000
    assert limited.push_blob("team/two", fitting) == sha256(fitting)
    empty = index()
    answer = limited.put_manifest("team/three", "v1", empty.content, empty.media_type)
    assert answer.error == (403, "DENIED")
    assert limited.ask("DELETE", f"/v2/team/one/blobs/{digest}").status == 202
    assert limited.push_blob("team/two", other) == sha256(other)


def test_what_can_never_fit_is_refused_before_it_is_sent(limited: Client) -> None:
    """A body that is announced to be larger than the quota, the disk or any disk is not asked for."""
    for repo, size, status in (
        ("small/other", 15_001, 403),
        ("large", BLOB_LIMIT_BYTES, 503),
        ("large", BLOB_LIMIT_BYTES + 1, 413),
        ("large", 1 << 63, 413),
        ("small/other", 1 << 63, 413),
    ):
        location = limited.begin(repo)
        for method, query in (("PATCH", ""), ("PUT", f"?digest={NOWHERE}")):
            head = f"{method} {location}{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
            with limited.socket() as connection:
                connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
                assert connection.recv(13) == f"HTTP/1.1 {status} ".encode()
        assert limited.ask("DELETE", location).status == 204


def test_the_number_of_repositories_is_limited(limited: Client) -> None:
    """A manifest in one repository more than allowed is 429; those that are there go on."""
    empty = index()
    for repo, status in (("one", 201), ("two", 201), ("three", 429), ("two", 201)):
        answer = limited.put_manifest(repo, "v1", empty.content, empty.media_type)
        assert answer.status == status
        assert status == 201 or answer.error == (429, "TOOMANYREQUESTS")
