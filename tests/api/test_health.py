"""What a registry does when its storage is full, read-only, or away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from http_client import OCTETS, Client
from layout.images import MANIFEST, Image, image, index, sha256
from zot.testing import RunningRegistry, serve

PUSHED = image("a")
LOOSE = b"content of no manifest" * 3000
CONTENT = b"more content"
DIGEST = sha256(CONTENT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory of a registry that holds an image under two tags, and a blob beside it."""
    with serve(tmp_path / "content") as running:
        client = Client(running.host)
        client.push("app", PUSHED, "v1", "v2")
        client.push_blob("app", LOOSE)
    return tmp_path / "content"


def pulls(client: Client, pushed: Image = PUSHED) -> bool:
    """Whether the image can be pulled whole."""
    got = client.get("/v2/app/manifests/v1")
    return got.body == pushed.content and all(
        client.get(f"/v2/app/blobs/{sha256(blob)}").body == blob for blob in pushed.blobs
    )


def test_what_was_pushed_is_there_after_a_restart(root: Path) -> None:
    """A registry that was stopped and started again serves what it held."""
    with serve(root) as running:
        client = Client(running.host)
        assert pulls(client)
        assert client.tags("app") == ["v1", "v2"]


# --- little room ---


@pytest.fixture
def full(root: Path) -> Iterator[Client]:
    """The registry, on a disk that has less room than is kept free."""
    with serve(root, {"storage": {"minFreeBytes": 1 << 60}}) as running:
        yield Client(running.host)


def test_a_full_disk_takes_no_uploads(full: Client) -> None:
    """Bytes of uploads are 503 with a time to come back, in each way; nothing is left of them."""
    for answer in (
        full.ask("PATCH", full.begin("app"), CONTENT, OCTETS),
        full.ask("PUT", f"{full.begin('app')}?digest={DIGEST}", CONTENT, OCTETS),
        full.ask("POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", CONTENT, OCTETS),
        full.ask("POST", f"/v2/new/blobs/uploads/?digest={DIGEST}", CONTENT, OCTETS),
    ):
        assert answer.error == (503, "UNAVAILABLE")
        assert answer["Retry-After"] == "60"
    assert full.get(f"/v2/app/blobs/{DIGEST}").status == 404


def test_a_full_disk_takes_no_new_manifests(full: Client) -> None:
    """New manifests are 503 as uploads are; a tag moves to one that is there."""
    empty = index()
    refused = full.put_manifest("app", "v3", empty.content, empty.media_type)
    assert refused.error == (503, "UNAVAILABLE")
    assert refused["Retry-After"] == "60"
    assert full.get(f"/v2/app/manifests/{empty.digest}").status == 404
    assert full.put_manifest("app", "v3", PUSHED.content, MANIFEST).status == 201


def test_a_full_disk_can_be_emptied(full: Client) -> None:
    """Reading and deleting go on, so that room can be made."""
    assert pulls(full)
    assert full.ask("DELETE", "/v2/app/manifests/v2").status == 202
    assert full.ask("DELETE", f"/v2/app/blobs/{sha256(LOOSE)}").status == 202
    assert full.ask("DELETE", f"/v2/app/manifests/{PUSHED.digest}").status == 202
    for blob in PUSHED.blobs:
        assert full.ask("DELETE", f"/v2/app/blobs/{sha256(blob)}").status == 202
    assert full.tags("app") == []


# --- read-only ---


def test_a_read_only_registry_changes_nothing(root: Path) -> None:
    """Every push and delete is 405 UNSUPPORTED, also of what is not there; reading is as ever."""
    with serve(root, {"storage": {"readOnly": True}}) as running:
        client, empty = Client(running.host), index()
        for method, path in (
            ("POST", "/v2/app/blobs/uploads/"),
            ("POST", f"/v2/app/blobs/uploads/?digest={DIGEST}"),
            ("POST", f"/v2/other/blobs/uploads/?mount={sha256(LOOSE)}&from=app"),
            ("PATCH", "/v2/app/blobs/uploads/x"),
            ("PUT", f"/v2/app/blobs/uploads/x?digest={DIGEST}"),
            ("DELETE", "/v2/app/blobs/uploads/x"),
            ("DELETE", "/v2/app/manifests/v1"),
            ("DELETE", f"/v2/app/manifests/{PUSHED.digest}"),
            ("DELETE", f"/v2/app/blobs/{sha256(LOOSE)}"),
        ):
            assert client.ask(method, path).error == (405, "UNSUPPORTED")
        assert client.put_manifest("app", "v3", empty.content, empty.media_type).error == (405, "UNSUPPORTED")
        assert client.put_manifest("app", PUSHED.digest, PUSHED.content, MANIFEST).error == (405, "UNSUPPORTED")
        assert pulls(client)
        assert client.tags("app") == ["v1", "v2"]
        assert client.get("/v2/_catalog").json == {"repositories": ["app"]}
        assert client.get("/readyz").status == 200


# --- a disk that is away ---


@pytest.fixture
def running(root: Path) -> Iterator[RunningRegistry]:
    """The registry."""
    with serve(root) as running:
        yield running


def test_a_registry_whose_disk_is_away_says_so(running: RunningRegistry) -> None:
    """It is alive and not ready, answers 5xx and no traceback for content, and is itself again when the disk is."""
    client, away = Client(running.host), running.root.with_name("away")
    assert client.get("/readyz").status == 200
    running.root.rename(away)
    running.root.mkdir()
    try:
        assert client.get("/livez").status == 200
        assert client.get("/readyz").status == 503
        blob = client.get(f"/v2/app/blobs/{sha256(LOOSE)}")
        assert blob.error in {(500, "UNKNOWN"), (503, "UNAVAILABLE")}
        upload = client.ask("POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", CONTENT, OCTETS)
        assert upload.error == (503, "UNAVAILABLE")
        assert list(running.root.iterdir()) == []
    finally:
        running.root.rmdir()
        away.rename(running.root)
    assert client.get("/readyz").status == 200
    assert client.get(f"/v2/app/blobs/{sha256(LOOSE)}").body == LOOSE
    assert client.push_blob("app", CONTENT) == DIGEST


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"store": "of-another"}'])
def test_a_lost_identity_is_503_and_named_in_the_log_alone(
    root: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The server starts, and refuses what needs the store with 503 and no path; with the identity back all goes on."""
    file = root / ".zot" / "store.json"
    identity = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with serve(root) as running:
        client = Client(running.host)
        pushed = image("pushed")
        answers = [
            client.get("/readyz"),
            client.ask("POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", CONTENT, OCTETS),
            client.ask("PATCH", client.begin("app"), CONTENT, OCTETS),
            client.ask("POST", f"/v2/new/blobs/uploads/?mount={sha256(LOOSE)}&from=app"),
            client.put_manifest("new", "v1", pushed.content, pushed.media_type),
        ]
        assert [answer.status for answer in answers[:4]] == [503] * 4
        assert answers[4].status in {404, 503}
        assert not any(str(root).encode() in answer.body for answer in answers)
        assert str(root) in caplog.text
        file.write_bytes(identity)
        assert client.get("/readyz").status == 200
        assert client.push_blob("app", CONTENT) == DIGEST


def test_a_blob_that_lost_its_bytes_is_not_served_as_whole(
    running: RunningRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is gone, or has another length than it had, is 404 and named in the log, until it is pushed again."""
    client, digest = Client(running.host), sha256(LOOSE)
    file = running.root / "app" / "blobs" / digest.replace(":", "/")
    for content in (LOOSE[:5], LOOSE + b"x", None):
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        assert client.get(f"/v2/app/blobs/{digest}").error == (404, "BLOB_UNKNOWN")
        assert client.push_blob("app", LOOSE) == digest
        assert client.get(f"/v2/app/blobs/{digest}").body == LOOSE
    assert caplog.text.count(f"damaged blob {digest} of app") == 3
