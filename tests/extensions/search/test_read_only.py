"""Searches of a read-only server find what its list of repositories has."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from urllib.parse import quote

from http_client import Client
from layout.images import image
from zot.testing import serve

NAMES = "{RepoListWithNewestImage{Results{Name}}}"


def layouts(root: Path) -> dict[str, bytes]:
    """Return the files of all layouts."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("team/**/*")) if path.is_file()}


def found(client: Client) -> list[str]:
    """Return the repositories that a search finds; none while the index is being made."""
    answer = client.get(f"/v2/_zot/ext/search?query={quote(NAMES)}")
    if answer.status != 200:
        return []
    return sorted(row["Name"] for row in answer.json["data"]["RepoListWithNewestImage"]["Results"])


def test_layouts_of_another_program_are_found_unasked(tmp_path: Path) -> None:
    """A read-only server that never saw a store finds its repositories, and changes no file of them."""
    with serve(tmp_path) as registry:
        for name in ("team/api", "team/web"):
            Client(registry.host).push(name, image(name), "1.0")
    shutil.rmtree(tmp_path / ".zot")  # what is left is what another program may have written
    before = layouts(tmp_path)
    assert len(before) > 6
    with serve(tmp_path, {"storage": {"readOnly": True}, "extensions": {"search": {}}}) as registry:
        client = Client(registry.host)
        listed = client.get("/v2/_catalog").json["repositories"]
        assert listed == ["team/api", "team/web"]
        while found(client) != listed:
            time.sleep(0.05)
    assert layouts(tmp_path) == before
