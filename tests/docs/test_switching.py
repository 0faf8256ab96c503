"""What the pages on switching from zot and back promise."""

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
    """Return the tags that a layout shows to any other program."""
    index = json.loads((root / repository / "index.json").read_bytes())
    return {each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]}


def test_a_directory_of_layouts_is_served_as_it_is_and_given_back_level(tmp_path: Path) -> None:
    """What layouts hold is served without `.zot`; after a clean stop they hold what was pushed since, too."""
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


def test_what_another_program_pushed_meanwhile_is_taken_in(tmp_path: Path) -> None:
    """Coming back to a `.zot` that stayed behind loses neither side's tags."""
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
    """`zot config --for-zot` prints a file that has no key beyond zot's, and says what is lost."""
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
