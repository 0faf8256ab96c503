"""POST with `mount`: a blob of another repository becomes this one's without being sent."""

from collections.abc import Iterator

import pytest

from http_client import Client
from layout.images import image, sha256
from zot.testing import RunningRegistry, serve

CONTENT = b"content to be mounted"
# Its bytes are in a file from the first moment on.
LARGE = CONTENT * 4000
DIGEST = sha256(CONTENT)
NOWHERE = "sha256:" + "0" * 64


def mount(client: Client, repo: str, digest: str, source: str | None = None) -> int:
    """Ask for a mount and return the status."""
    query = f"mount={digest}" if source is None else f"mount={digest}&from={source}"
    answer = client.ask("POST", f"/v2/{repo}/blobs/uploads/?{query}")
    if answer.status == 201:
        assert answer["Location"] == f"/v2/{repo}/blobs/{digest}"
        assert answer["Docker-Content-Digest"] == digest
    elif answer.status == 202:
        assert (answer["Location"] or "").startswith(f"/v2/{repo}/blobs/uploads/")
    return answer.status


@pytest.mark.parametrize("named", [True, False])
def test_a_mounted_blob_is_both_repositories(registry: Client, repo: str, named: bool) -> None:
    """201; the blob outlives its deletion from where it came, and manifests may name it."""
    source = f"{repo}-source"
    registry.push_blob(source, CONTENT)
    assert mount(registry, repo, DIGEST, source if named else None) == 201
    assert registry.ask("DELETE", f"/v2/{source}/blobs/{DIGEST}").status == 202
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").body == CONTENT
    assert mount(registry, repo, DIGEST, repo) == 201


def test_mounted_bytes_are_shared(registry: Client, shared: RunningRegistry, repo: str) -> None:
    """A mount, like a push of the same bytes, takes no more of the disk."""
    source = f"{repo}-source"
    digest = registry.push_blob(source, LARGE)
    mount(registry, repo, digest, source)
    registry.push_blob(f"{repo}-pushed", LARGE)
    files = [shared.root / each / "blobs" / digest.replace(":", "/") for each in (source, repo, f"{repo}-pushed")]
    assert len({file.stat().st_ino for file in files}) == 1


def test_what_cannot_be_mounted_is_to_be_sent(registry: Client, repo: str) -> None:
    """A missing blob, or a missing source, opens a session as if nothing had been asked for."""
    registry.push_blob(f"{repo}-source", CONTENT)
    assert mount(registry, repo, NOWHERE) == 202
    assert mount(registry, repo, NOWHERE, f"{repo}-source") == 202
    assert mount(registry, repo, DIGEST, f"{repo}-nowhere") == 202
    assert registry.get(f"/v2/{repo}/blobs/{DIGEST}").status == 404


def test_malformed_mounts_are_told(registry: Client, repo: str) -> None:
    """A digest that cannot be is refused, and so is a source without a mount."""
    uploads = f"/v2/{repo}/blobs/uploads/"
    assert registry.ask("POST", f"{uploads}?mount=sha256:abc").error == (400, "DIGEST_INVALID")
    assert registry.ask("POST", f"{uploads}?mount=sha256:abc&from=_").error == (400, "DIGEST_INVALID")
    assert registry.ask("POST", f"{uploads}?from=a").error == (405, "UNSUPPORTED")


@pytest.mark.parametrize(
    "name",
    [
        "Docker.io/Library/Alpine",
        "localhost:5000/a/b",
        "a/blobs/b",
        "cache.db/x",
        "a/" * 130 + "b",
        "",
        "_",
        "a//b",
        "../etc",
        "%2e%2e/x",
        "a%20b",
    ],
)
def test_a_mount_from_a_name_that_is_none_is_a_session(registry: Client, repo: str, name: str) -> None:
    """Clients name images of other registries: there is nothing to mount there, so the blob is to be sent."""
    registry.push_blob(f"{repo}-source", CONTENT)
    assert mount(registry, repo, DIGEST, name) == 202
    assert registry.head(f"/v2/{repo}/blobs/{DIGEST}").status == 404


def test_a_deleted_blob_is_not_mounted(registry: Client, repo: str) -> None:
    """What was deleted everywhere is mounted from nowhere, though its bytes may be in memory."""
    registry.push_blob(f"{repo}-source", CONTENT + repo.encode())
    digest = sha256(CONTENT + repo.encode())
    registry.ask("DELETE", f"/v2/{repo}-source/blobs/{digest}")
    assert mount(registry, repo, digest) == 202


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A registry where `secret/**` can be written by everybody and read by nobody."""
    every = {"anonymousPolicy": ["read", "create", "update", "delete"]}
    rules = {"secret/**": {"anonymousPolicy": ["create"]}, "public/**": every}
    with serve(tmp_path_factory.mktemp("guarded"), {"http": {"accessControl": {"repositories": rules}}}) as running:
        yield Client(running.host)


def test_mounting_needs_read_on_the_source(guarded: Client) -> None:
    """Who knows a digest only, cannot make its content theirs, whether the source is named or not."""
    guarded.push_blob("secret/app", CONTENT)
    assert mount(guarded, "public/app", DIGEST, "secret/app") == 202
    assert mount(guarded, "public/app", DIGEST) == 202
    assert guarded.get(f"/v2/public/app/blobs/{DIGEST}").status == 404
    guarded.push_blob("public/other", CONTENT)
    assert mount(guarded, "public/app", DIGEST, "secret/app") == 202
    assert mount(guarded, "public/app", DIGEST) == 201


def test_pushing_shares_bytes_without_showing_them(guarded: Client) -> None:
    """A push that finds its bytes elsewhere still has to bring all of them: half of a secret is no way to it."""
    guarded.push_blob("secret/other", CONTENT * 2)
    location = guarded.begin("public/guess")
    guarded.ask("PATCH", location, CONTENT)
    refused = guarded.ask("PUT", f"{location}?digest={sha256(CONTENT * 2)}")
    assert refused.error == (400, "DIGEST_INVALID")
    assert guarded.get(f"/v2/public/guess/blobs/{sha256(CONTENT * 2)}").status == 404


def test_a_missing_source_looks_like_a_secret_one(guarded: Client) -> None:
    """What may not be read is answered as what is not there."""
    guarded.push_blob("secret/app", CONTENT)
    hidden = guarded.ask("POST", f"/v2/public/app/blobs/uploads/?mount={DIGEST}&from=secret/app")
    absent = guarded.ask("POST", f"/v2/public/app/blobs/uploads/?mount={DIGEST}&from=secret/absent")
    assert (hidden.status, set(hidden.headers)) == (absent.status, set(absent.headers))


def test_images_of_shared_layers(registry: Client, repo: str) -> None:
    """A manifest whose blobs were all mounted is as good as any."""
    pushed = image("a")
    registry.push(f"{repo}-source", pushed)
    for blob in pushed.blobs:
        assert mount(registry, repo, sha256(blob), f"{repo}-source") == 201
    assert registry.put_manifest(repo, "v1", pushed.content, pushed.media_type).status == 201
