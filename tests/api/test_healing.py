"""A blob whose file was lost or damaged: 404 from the first look on, and whole again after any kind of push."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from http_client import OCTETS, Client
from layout.images import image, sha256
from zot.testing import RunningRegistry, serve

IMAGE = image("healed")
CONTENT = IMAGE.blobs[-1]
DIGEST = sha256(CONTENT)
METRIC = 'zot_damaged_blobs_total{found_by="pull"}'

Harm = Callable[[Path], object]


@pytest.fixture(scope="module", params=[True, False], ids=["dedupe", "copies"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry, with and without shared bytes, and with metrics."""
    config = {
        "storage": {"dedupe": request.param},
        "extensions": {"metrics": {"enable": True, "prometheus": {"path": "/metrics"}}},
    }
    with serve(tmp_path_factory.mktemp("healing") / "content", config) as running:
        yield running


@pytest.fixture
def registry(running: RunningRegistry) -> Client:
    """A client of it."""
    return Client(running.host)


@pytest.fixture
def file(running: RunningRegistry, registry: Client, repo: str) -> Path:
    """Where the blob of a pushed image is, in a file of its own."""
    assert in_chunks(registry, repo) == 201  # in one request its bytes would be in the catalog at first
    registry.push(repo, IMAGE, "v1")
    path = running.root / repo / "blobs" / DIGEST.replace(":", "/")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def remove(path: Path) -> None:
    """Lose the file."""
    path.unlink()


def empty(path: Path) -> None:
    """Lose all bytes of it."""
    path.write_bytes(b"")


def shorten(path: Path) -> None:
    """Lose some."""
    path.write_bytes(CONTENT[:5])


def lengthen(path: Path) -> None:
    """Have some more."""
    path.write_bytes(CONTENT + b"!")


def flip(path: Path) -> None:
    """Have other bytes of the same size."""
    path.write_bytes(CONTENT.swapcase())


def replace_by_directory(path: Path) -> None:
    """Have something else in its place."""
    path.unlink()
    path.mkdir()


def in_one_request(registry: Client, repo: str) -> int:
    """POST with the digest."""
    return registry.ask("POST", f"/v2/{repo}/blobs/uploads/?digest={DIGEST}", CONTENT, OCTETS).status


def by_put(registry: Client, repo: str) -> int:
    """POST, then PUT with all bytes."""
    return registry.ask("PUT", f"{registry.begin(repo)}?digest={DIGEST}", CONTENT, OCTETS).status


def in_chunks(registry: Client, repo: str) -> int:
    """POST, PATCH twice, PUT without a body."""
    location = registry.begin(repo)
    for start, stop in ((0, 4), (4, len(CONTENT))):
        place = OCTETS | {"Content-Range": f"{start}-{stop - 1}"}
        assert registry.ask("PATCH", location, CONTENT[start:stop], place).status == 202
    return registry.ask("PUT", f"{location}?digest={DIGEST}").status


def by_mount(registry: Client, repo: str) -> int:
    """Mount from another repository that has it whole."""
    source = f"{repo}-source"
    in_one_request(registry, source)
    return registry.ask("POST", f"/v2/{repo}/blobs/uploads/?mount={DIGEST}&from={source}").status


# A mount brings no bytes to compare with those that are there: bytes that changed are found by a scrub alone.
PUSHES = (in_one_request, by_put, in_chunks)
FOUND_BY_LOOKING = (remove, empty, shorten, lengthen, replace_by_directory)


@pytest.mark.parametrize("look", [True, False])
@pytest.mark.parametrize(
    ("harm", "push"),
    [*product(FOUND_BY_LOOKING, (*PUSHES, by_mount)), *product((flip,), PUSHES)],
)
def test_a_push_heals(
    registry: Client, repo: str, file: Path, harm: Harm, push: Callable[[Client, str], int], look: bool
) -> None:
    """201 means that GET gives these bytes, with and without a look before, by whatever way they come."""
    harm(file)
    blob = f"/v2/{repo}/blobs/{DIGEST}"
    if look and harm is not flip:
        for answer in (registry.head(blob), registry.get(blob), registry.get(blob, Range="bytes=0-1")):
            assert answer.status == 404
        manifest = registry.put_manifest(repo, "v2", IMAGE.content, IMAGE.media_type)
        assert manifest.error == (404, "MANIFEST_BLOB_UNKNOWN")
    assert push(registry, repo) == 201
    assert (registry.head(blob).status, registry.get(blob).body) == (200, CONTENT)
    assert registry.put_manifest(repo, "v2", IMAGE.content, IMAGE.media_type).status == 201
    if push is in_chunks:  # by the others the catalog has the bytes until they are exported
        assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("harm", [remove, empty, shorten, lengthen])
def test_a_damaged_blob_is_not_mounted(registry: Client, repo: str, file: Path, harm: Harm) -> None:
    """The client is told to send it."""
    harm(file)
    answer = registry.ask("POST", f"/v2/{repo}-target/blobs/uploads/?mount={DIGEST}&from={repo}")
    assert answer.status == 202
    assert registry.head(f"/v2/{repo}-target/blobs/{DIGEST}").status == 404
    assert registry.head(f"/v2/{repo}/blobs/{DIGEST}").status == 404


@pytest.mark.parametrize("harm", [remove, shorten, flip])
def test_verified_bytes_are_not_shared_with_damaged_ones(registry: Client, repo: str, file: Path, harm: Harm) -> None:
    """A push to another repository has its own bytes, also where content is deduplicated."""
    harm(file)
    assert in_one_request(registry, f"{repo}-other") == 201
    assert registry.get(f"/v2/{repo}-other/blobs/{DIGEST}").body == CONTENT


def test_a_repository_that_vanished_is_pushed_again(
    running: RunningRegistry, registry: Client, repo: str, file: Path
) -> None:
    """Directory and all: after the image was pushed again each of its blobs is there."""
    directory = file.parents[2]
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    directory.rmdir()
    registry.push(repo, IMAGE, "v1")
    for blob in IMAGE.blobs:
        assert registry.get(f"/v2/{repo}/blobs/{sha256(blob)}").body == blob
    assert running.root in directory.parents


def test_found_damage_is_counted(registry: Client, repo: str, file: Path) -> None:
    """Once for each blob, by what found it."""

    def count() -> float:
        lines = registry.get("/metrics").body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(METRIC))

    before = count()
    remove(file)
    for _ in range(3):
        registry.head(f"/v2/{repo}/blobs/{DIGEST}")
    assert count() == before + 1
