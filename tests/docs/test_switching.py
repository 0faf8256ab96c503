"""The promises of the pages on switching from zot and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from http_client import Client
from layout.images import image
from zot.testing import serve


def layout_tags(root: Path, repository: str) -> set[str]:
    """Return the tags that another program finds in a layout."""
    index = json.loads((root / repository / "index.json").read_bytes())
    return {each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]}


def test_a_directory_of_layouts_is_served_and_left_in_sync(tmp_path: Path) -> None:
    """Layouts are served without `.zot`; after a clean stop they also hold what was pushed since."""
    root = tmp_path / "store"
    with serve(root) as registry:
        Client(registry.host).push("team/app", image("before"), "before")
        Client(registry.host).push("other", image("before"), "before")
    shutil.rmtree(root / ".zot")

    with serve(root) as registry:
        assert Client(registry.host).get("/v2/other/manifests/before").status == 200
        Client(registry.host).push("team/app", image("since"), "since")
        assert Client(registry.host).tags("team/app") == ["before", "since"]
    assert layout_tags(root, "team/app") == {"before", "since"}
    assert layout_tags(root, "other") == {"before"}


def test_pushes_of_another_program_in_between_are_imported(tmp_path: Path) -> None:
    """A start with an older `.zot` keeps the tags of both programs."""
    root = tmp_path / "store"
    with serve(root) as registry:
        Client(registry.host).push("team/app", image("ours"), "ours")
    index_json = root / "team" / "app" / "index.json"
    index = json.loads(index_json.read_bytes())
    theirs = json.loads(json.dumps(index["manifests"][0]))
    theirs["annotations"]["org.opencontainers.image.ref.name"] = "theirs"
    index["manifests"].append(theirs)
    index_json.write_text(json.dumps(index))

    with serve(root) as registry:
        Client(registry.host).push("team/app", image("again"), "again")
    with serve(root) as registry:
        assert Client(registry.host).tags("team/app") == ["again", "ours", "theirs"]


def test_the_configuration_for_zot_has_only_keys_of_zot(tmp_path: Path) -> None:
    """`zot config --for-zot` prints a file without keys beyond zot's, and names what is lost."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"storage": {"rootDirectory": "/r", "minFreeBytes": 5}, "http": {"workers": 2}}))
    program = Path(sys.executable).with_name("zot")
    done = subprocess.run([program, "config", "--for-zot", file], capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert printed["storage"]["rootDirectory"] == "/r"
    assert "minFreeBytes" not in json.dumps(printed)
    assert "workers" not in json.dumps(printed)
    assert "storage.minFreeBytes" in done.stderr
    assert "http.workers" in done.stderr
