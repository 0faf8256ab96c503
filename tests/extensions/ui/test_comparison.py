"""The page that compares two images of a repository."""

from __future__ import annotations

import json
from typing import Any

from http_client import Client
from layout.images import CONFIG, INDEX, LAYER, MANIFEST, Image, sha256


def built(layer: bytes, **settings: Any) -> Image:
    """Return an image of a common layer and one of its own."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": settings}).encode()
    layers = (b"base", layer)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": sha256(each), "size": len(each)} for each in layers],
    }
    return Image(json.dumps(document).encode(), MANIFEST, (config, *layers))


OLD, NEW = built(b"old", Env=["A=1"], User="root"), built(b"new", Env=["A=2"], User="app")


def test_config_and_environment_are_compared_as_by_the_api(client: Client) -> None:
    """The page has what the route has: layers by digest, settings and variables by name."""
    client.push("team/compared", OLD, "1")
    client.push("team/compared", NEW, "2")
    page = client.get("/image/team%2Fcompared/tag/1/compare?with=2")
    text = page.body.decode()
    assert page.status == 200
    for name, one, other in (
        ("config User", "root", "app"),
        ("environment A", "1", "2"),
        ("layer", sha256(b"old"), ""),
        ("layer", "", sha256(b"new")),
    ):
        row = f'<td class="name">{name}</td><td class="mono">{one}</td><td class="mono">{other}</td>'
        assert row in text, name
    assert sha256(b"base") not in text
    assert "Nothing differs" in client.get("/image/team%2Fcompared/tag/1/compare?with=1").body.decode()


def test_sizes_have_a_unit_and_differ_where_they_do(client: Client) -> None:
    """Images of nearly the same size are told apart: the exact bytes stand beside the rounded size."""
    client.push("team/sizes", built(b"x" * 900_000), "1")
    client.push("team/sizes", built(b"x" * 900_001), "2")
    text = client.get("/image/team%2Fsizes/tag/1/compare?with=2").body.decode()
    sizes = [each.split("<")[0] for each in text.split('<td class="name">size</td>')[1].split('<td class="mono">')[1:3]]
    assert [each.split(" (")[0] for each in sizes] == ["879.5 KiB", "879.5 KiB"]
    assert sizes[0] != sizes[1]


def test_an_index_without_manifests_is_compared_to_nothing(client: Client) -> None:
    """It has no layers and no config."""
    empty = Image(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode(), INDEX)
    client.push("team/empty", empty, "0")
    client.push("team/empty", OLD, "1")
    assert client.get("/image/team%2Fempty/tag/1/compare?with=0").status == 200
