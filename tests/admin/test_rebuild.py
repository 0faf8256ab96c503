"""A catalog that was lost is rebuilt from the layouts, and equals the old one in all that these hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from admin.harness import APP, Client, Place
from zot.catalog.sqlite.directory import DATABASE
from zot.oci.digest import digest_of
from zot.oci.media_types import IMAGE_INDEX, IMAGE_MANIFEST


def fill(client: Client) -> None:
    """Push images, an index, an untagged image and a referrer."""
    one, two = client.push("one", "v1"), client.push("two", "v2")
    client.push("one", "latest")
    described = [{"mediaType": IMAGE_MANIFEST, "digest": each, "size": 1} for each in (one, two)]
    index = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": described}).encode()
    client.ask("PUT", f"/v2/{APP}/manifests/multi", index, **{"Content-Type": IMAGE_INDEX})
    client.push("moved", "moves")
    client.push("there", "moves")
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
    subject = {"mediaType": IMAGE_MANIFEST, "digest": one, "size": 1}
    signature = {"schemaVersion": 2, "artifactType": "a/b", "config": empty, "layers": [empty], "subject": subject}
    content = json.dumps(signature).encode()
    path = f"/v2/{APP}/manifests/{digest_of(content)}"
    assert client.ask("PUT", path, content, **{"Content-Type": IMAGE_MANIFEST})[0] == 201


def everything(client: Client) -> dict[str, tuple[int, bytes]]:
    """Return all responses that clients see."""
    found = {path: client.ask("GET", path) for path in ("/v2/_catalog", f"/v2/{APP}/tags/list")}
    for tag in json.loads(found[f"/v2/{APP}/tags/list"][1])["tags"]:
        path = f"/v2/{APP}/manifests/{tag}"
        status, content = found[path] = client.ask("GET", path)
        assert status == 200
        path = f"/v2/{APP}/referrers/{digest_of(content)}"
        found[path] = client.ask("GET", path)
        for each in json.loads(content).get("layers", ()):
            path = f"/v2/{APP}/blobs/{each['digest']}"
            found[path] = client.ask("GET", path)
            assert found[path][0] == 200
    return found


def lose(directory: Path) -> None:
    """Remove the catalog's directory, but for the root's identity."""
    store = (directory / "store.json").read_bytes()
    shutil.rmtree(directory)
    directory.mkdir()
    (directory / "store.json").write_bytes(store)


def damage(directory: Path) -> None:
    """Overwrite the beginning of the database."""
    with (directory / DATABASE).open("r+b") as file:
        file.write(b"\x55" * 4096)


@pytest.mark.parametrize("harm", [lose, damage])
def test_a_lost_or_damaged_catalog_is_rebuilt(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Without its catalog the server serves what it served before, and collects no more than before."""
    place = Place(tmp_path, {})
    with place.serve() as registry:
        client = Client(registry)
        fill(client)
        before = everything(client)
        usage = place.zot("usage")
    harm(place.root / ".zot")
    with place.serve() as registry:
        assert everything(Client(registry)) == before
        assert place.zot("usage") == usage
    assert "0 manifests, 0 blobs" in place.zot("gc")
