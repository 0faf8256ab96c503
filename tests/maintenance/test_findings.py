"""A store that another program filled, served over HTTP, and the findings about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from admin.harness import Client, Place
from layout.images import MANIFEST, REF_NAME, Image, Layout, image, odd_images
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES

ONE = image("one")
LARGE = Image(ONE.content[:-1] + b" " * MANIFEST_LIMIT_BYTES + b"}", MANIFEST, ONE.blobs)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store, empty so far."""
    return Place(tmp_path, {})


def fill(place: Place) -> Layout:
    """Fill the store as other programs do."""
    layout = Layout(place.root / "team" / "blobs")
    odd = odd_images()
    layout.put(ONE, LARGE, *odd.values())
    layout.write(
        ONE.descriptor("1.0+build5"),
        ONE.descriptor("localhost:5000/alpine"),
        LARGE.descriptor("large"),
        image("missing").descriptor("missing"),
        *(each.descriptor(name) for name, each in odd.items()),
    )
    Layout(place.root / "Upper").write()
    return layout


def test_what_is_stored_is_served_and_deleted_by_name(place: Place) -> None:
    """Odd images by tag and digest, odd names percent-encoded, a manifest beyond the limit from its file."""
    layout = fill(place)
    with place.serve() as registry:
        client = Client(registry)
        path = "/v2/team/blobs/manifests"
        status, body = client.ask("GET", "/v2/team/blobs/tags/list")
        assert (status, sorted(json.loads(body)["tags"])) == (200, sorted(odd_images()))
        for name, odd in odd_images().items():
            assert client.ask("GET", f"{path}/{name}") == (200, odd.content)
            assert client.ask("GET", f"{path}/{odd.digest}") == (200, odd.content)
        assert client.ask("GET", f"{path}/1.0%2Bbuild5") == (200, ONE.content)
        assert client.ask("GET", f"{path}/{ONE.digest}") == (200, ONE.content)
        for reference in ("large", LARGE.digest):
            assert client.ask("GET", f"{path}/{reference}") == (200, LARGE.content)
            assert client.ask("HEAD", f"{path}/{reference}") == (200, b"")
        assert client.ask("GET", f"{path}/missing")[0] == 404
        layout.put(image("missing"))
        assert client.ask("GET", f"{path}/missing") == (200, image("missing").content)
        assert client.ask("DELETE", f"{path}/1.0%2Bbuild5")[0] == 202
        assert client.ask("DELETE", f"{path}/1.0%2Bbuild5")[0] == 404
        assert client.ask("DELETE", f"{path}/{LARGE.digest}")[0] == 202
        assert client.ask("GET", f"{path}/large")[0] == 404
        assert client.ask("POST", "/v2/team/blobs/uploads/")[0] == 400  # `team` would be in the way
    assert {name for name, _ in _names(layout)} == {"localhost:5000/alpine", "missing", *odd_images()}


def _names(layout: Layout) -> set[tuple[str, str]]:
    document = json.loads((layout.path / "index.json").read_bytes().decode(errors="replace"))
    return {(each["annotations"][REF_NAME], each["digest"]) for each in document["manifests"]}


def test_findings_name_what_is_not_served_as_it_was_stored(place: Place) -> None:
    """`zot verify --store` names it with the reason, `zot usage` counts it, `zot gc` removes nothing beside it."""
    layout = fill(place)
    before = set(layout.path.rglob("sha256/*"))
    with place.serve() as registry:
        Client(registry).ask("GET", "/v2/team/blobs/tags/list")
    output = place.zot("verify", "--store")
    for what in (
        "team/blobs: 1.0+build5: the name is not a tag",
        "team/blobs: localhost:5000/alpine: the name is not a tag, and no URL",
        "team/blobs: large: it is served from its file",
        "team/blobs: missing: it is not served: its file is missing; its repository is not collected until",
        f"team/blobs: {odd_images()['cut'].digest}: its bytes are served",
        f"{place.root}/Upper: it is a layout that is not served",
    ):
        assert f"Warning: {what}" in output
    (line,) = [line for line in place.zot("usage").splitlines() if line.startswith("team/blobs")]
    assert line.split()[-1] == "3"
    for _ in range(2):
        place.zot("gc", "--delay", "0s")
    assert before == set(layout.path.rglob("sha256/*"))


def test_a_backup_holds_what_is_carried_along(place: Place, tmp_path: Path) -> None:
    """A restored store lists, serves and keeps unread entries."""
    layout = fill(place)
    with place.serve() as registry:
        Client(registry).ask("GET", "/v2/team/blobs/tags/list")
        place.zot("backup", str(tmp_path / "backup"))
    before = _names(layout)
    place.root.rename(tmp_path / "lost")
    place.zot("restore", str(tmp_path / "backup"))
    with place.serve() as registry:
        client = Client(registry)
        assert client.ask("GET", "/v2/team/blobs/manifests/1.0%2Bbuild5") == (200, ONE.content)
        assert client.ask("GET", "/v2/team/blobs/manifests/large") == (200, LARGE.content)
    assert _names(layout) == before
