"""A server whose content is in S3, with real parts: pushes, restarts, crashes, and an S3 server that is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from http_client import OCTETS, wait_for
from layout.images import image, sha256
from servers.versitygw import S3Server
from servers.zot import ZOT, ZotServer

pytestmark = [pytest.mark.needs("versitygw"), pytest.mark.xdist_group("s3")]

MIB = 1024 * 1024
LARGE = os.urandom(12 * MIB)


class Registry:
    """A running registry, and the S3 server that it keeps its content on."""

    def __init__(self, folder: Path) -> None:
        """Describe both; nothing starts yet."""
        (folder / "s3").mkdir()
        self.s3 = S3Server(folder / "s3")
        self.parameters = self.s3.make_bucket() | {"chunksize": 5 * MIB}
        self.objects = self.s3.buckets / str(self.parameters["bucket"]) / "zot" / "zot"
        storage = {
            "storageDriver": self.parameters,
            "dedupe": False,
            "remoteCache": False,
            "gcDelay": "1s",
            "redirectBlobURL": True,
        }
        self.server = ZotServer(folder, storage=storage)
        self.client = self.server.client

    def blob(self, repository: str, digest: str) -> Path:
        """Return the file behind the object of a blob."""
        return self.objects / repository / "blobs" / digest.replace(":", "/")

    def zot(self, *arguments: str) -> str:
        """Run a command of the registry and return its output."""
        done = subprocess.run([ZOT, *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One registry for the tests of this module; a test that stops a part starts it again."""
    made = Registry(tmp_path_factory.mktemp("serving"))
    with made.s3, made.server:
        yield made


def test_an_image_is_pushed_and_pulled(registry: Registry) -> None:
    """Blobs and manifests are objects below the prefix that zot uses, and come back as they were."""
    pushed = image("push")
    registry.client.push("push/app", pushed, "v1")
    assert registry.client.get("/v2/push/app/manifests/v1").body == pushed.content
    for blob in pushed.blobs:
        digest = sha256(blob)
        assert registry.client.get(f"/v2/push/app/blobs/{digest}").body == blob
    wait_for((registry.objects / "push/app/index.json").exists)
    assert all(registry.blob("push/app", sha256(blob)).read_bytes() == blob for blob in pushed.blobs)
    listed = json.loads((registry.objects / "push/app/index.json").read_bytes())
    assert listed["manifests"][0]["digest"] == pushed.digest
    assert registry.client.get("/readyz").status == 200


def test_large_blobs_come_in_pieces_and_go_by_redirect(registry: Registry) -> None:
    """An upload over several chunks is assembled; a whole pull is redirected, a range is sent from here."""
    client, digest = registry.client, sha256(LARGE)
    location = client.begin("large/app")
    for first, last in ((0, 3), (3, 11)):
        answer = client.ask("PATCH", location, LARGE[first * MIB : last * MIB], OCTETS)
        assert answer.status == 202, answer.body
    answer = client.ask("PUT", f"{location}?digest={digest}", LARGE[11 * MIB :], OCTETS)
    assert answer.status == 201, answer.body
    assert registry.blob("large/app", digest).read_bytes() == LARGE
    assert not list((registry.objects / "large/app/.uploads").glob("*/*"))
    redirected = client.get(f"/v2/large/app/blobs/{digest}")
    assert redirected.status == 307
    with urllib.request.urlopen(str(redirected["Location"]), timeout=30) as response:
        assert response.read() == LARGE
    part = client.get(f"/v2/large/app/blobs/{digest}", Range=f"bytes=5-{6 * MIB}")
    assert (part.status, part.body) == (206, LARGE[5 : 6 * MIB + 1])
    assert client.head(f"/v2/large/app/blobs/{digest}")["Content-Length"] == str(len(LARGE))


def test_a_blob_is_mounted_deleted_and_pushed_again(registry: Registry) -> None:
    """A mount is an object of its own; a deleted blob is gone, and there again after the next push."""
    client = registry.client
    digest = client.push_blob("mount/one", b"mounted")
    assert client.ask("POST", f"/v2/mount/two/blobs/uploads/?mount={digest}&from=mount/one").status == 201
    assert client.ask("DELETE", f"/v2/mount/one/blobs/{digest}").status == 202
    assert client.get(f"/v2/mount/one/blobs/{digest}").status == 404
    assert client.get(f"/v2/mount/two/blobs/{digest}").body == b"mounted"
    client.push_blob("mount/one", b"mounted")
    assert client.get(f"/v2/mount/one/blobs/{digest}").body == b"mounted"


def test_collection_removes_only_what_is_ours(registry: Registry) -> None:
    """A deleted image's blobs go; objects of other programs in the bucket stay, inside a repository and beside it."""
    client, pushed = registry.client, image("collected")
    client.push("collect/app", pushed, "v1")
    foreign = [registry.objects / "collect/app/notes.txt", registry.objects / "reports/2026.csv"]
    for each in foreign:
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_bytes(b"of another program")
    assert client.ask("DELETE", f"/v2/collect/app/manifests/{pushed.digest}").status == 202

    def collected() -> bool:
        registry.zot("gc", str(registry.server.config))
        return not any(registry.blob("collect/app", sha256(blob)).exists() for blob in pushed.blobs)

    wait_for(collected)
    assert [each.read_bytes() for each in foreign] == [b"of another program"] * 2


def test_damage_is_found_by_scrub(registry: Registry) -> None:
    """A blob whose object was changed is quarantined, unknown from then on, and healed by the next push."""
    client = registry.client
    pushed = image("scrubbed")
    digest = sha256(pushed.blobs[0])
    client.push("scrub/app", pushed, "v1")
    wait_for(lambda: registry.blob("scrub/app", digest).exists())
    registry.blob("scrub/app", digest).write_bytes(pushed.blobs[0][::-1])
    done = subprocess.run(
        [ZOT, "scrub", str(registry.server.config)], capture_output=True, text=True, check=False, timeout=60
    )
    assert digest.partition(":")[2] in done.stdout
    assert client.get(f"/v2/scrub/app/blobs/{digest}").status == 404
    client.push_blob("scrub/app", pushed.blobs[0])
    assert client.get(f"/v2/scrub/app/blobs/{digest}").body == pushed.blobs[0]


def test_an_upload_goes_on_after_a_restart(registry: Registry) -> None:
    """What was acknowledged before the server was killed is continued after it, and pushed content is there."""
    client, digest = registry.client, sha256(LARGE + b"restart")
    client.push("restart/app", image("restart"), "v1")
    location = client.begin("restart/app")
    assert client.ask("PATCH", location, LARGE[: 7 * MIB], OCTETS).status == 202
    for pid in registry.server.processes().values():
        os.kill(pid, signal.SIGKILL)
    registry.server.kill()
    registry.server.start()
    assert client.get(location)["Range"] == f"0-{7 * MIB - 1}"
    rest = LARGE[7 * MIB :] + b"restart"
    assert client.ask("PUT", f"{location}?digest={digest}", rest, OCTETS).status == 201
    assert registry.blob("restart/app", digest).read_bytes() == LARGE + b"restart"
    assert client.get("/v2/restart/app/manifests/v1").body == image("restart").content


def test_an_s3_server_that_is_away_is_said_and_comes_back(registry: Registry) -> None:
    """Blobs are answered with 503 and Retry-After, manifests still come; all heals without a restart."""
    client = registry.client
    client.push("away/app", image("away"), "v1")
    large = client.push_blob("away/app", LARGE)
    registry.s3.kill()
    answer = client.head(f"/v2/away/app/blobs/{large}")
    refused = client.ask("PUT", f"{client.begin('away/app')}?digest={sha256(LARGE + b'a')}", LARGE + b"a", OCTETS)
    assert (refused.status, refused["Retry-After"] is not None) == (503, True)
    assert client.get("/v2/away/app/manifests/v1").status == 200
    assert client.get("/readyz").status == 503
    registry.s3.start()
    assert answer.status in {200, 503}
    assert client.push_blob("away/app", LARGE + b"a") == sha256(LARGE + b"a")
    wait_for(lambda: client.get("/readyz").status == 200)


def test_an_emptied_bucket_is_not_taken_for_an_empty_registry(registry: Registry) -> None:
    """Without its identity the store is another one: nothing is written or collected until it is back."""
    client = registry.client
    client.push("emptied/app", image("emptied"), "v1")
    aside = registry.objects.with_name("aside")
    registry.objects.rename(aside)
    wait_for(lambda: client.get("/readyz").status == 503)
    if registry.objects.exists():
        registry.objects.rmdir()
    aside.rename(registry.objects)
    wait_for(lambda: client.get("/readyz").status == 200)
    assert client.get("/v2/emptied/app/manifests/v1").status == 200


def test_a_wrong_bucket_is_said_before_anything_is_served(tmp_path: Path, registry: Registry) -> None:
    """The start names the bucket and the reason in one line, and the process ends."""
    parameters = registry.parameters | {"bucket": "not-there-at-all"}
    server = ZotServer(tmp_path, storage={"storageDriver": parameters, "dedupe": False})
    done = subprocess.run([ZOT, "serve", server.config], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "s3://not-there-at-all/zot/zot" in done.stderr
    assert "InvalidBucketName" in done.stderr or "NoSuchBucket" in done.stderr
