"""What the pages on switching from zot and back promise."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

from zot.testing import RunningRegistry, serve

IMAGE = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b"{}"


def send(registry: RunningRegistry, method: str, path: str, body: bytes = b"", content_type: str = "") -> int:
    """Return the status of a request."""
    request = urllib.request.Request(f"{registry.url}{path}", data=body, method=method)
    request.add_header("Content-Type", content_type or "application/octet-stream")
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def push(registry: RunningRegistry, repository: str, tag: str) -> None:
    """Push an image with one layer, its own."""
    layer = f"{repository}:{tag}".encode()
    for blob in (CONFIG, layer):
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        assert send(registry, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", blob) == 201
    descriptors = [
        {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}
        for kind, blob in (("application/vnd.oci.image.config.v1+json", CONFIG), ("application/layer", layer))
    ]
    manifest = {"schemaVersion": 2, "mediaType": IMAGE, "config": descriptors[0], "layers": descriptors[1:]}
    assert send(registry, "PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), IMAGE) == 201


def tags(registry: RunningRegistry, repository: str) -> list[str]:
    """Return the tags that the registry lists."""
    with urllib.request.urlopen(f"{registry.url}/v2/{repository}/tags/list") as answer:
        return list(json.load(answer)["tags"])


def layout_tags(root: Path, repository: str) -> set[str]:
    """Return the tags that a layout shows to any other program."""
    index = json.loads((root / repository / "index.json").read_bytes())
    return {each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]}


def test_a_directory_of_layouts_is_served_as_it_is_and_given_back_level(tmp_path: Path) -> None:
    """What layouts hold is served without `.zot`; after a clean stop they hold what was pushed since, too."""
    root = tmp_path / "store"
    with serve(root) as registry:
        push(registry, "team/app", "before")
        push(registry, "other", "before")
    shutil.rmtree(root / ".zot")

    with serve(root) as registry:
        assert send(registry, "GET", "/v2/other/manifests/before") == 200
        push(registry, "team/app", "since")
        assert tags(registry, "team/app") == ["before", "since"]
    assert layout_tags(root, "team/app") == {"before", "since"}
    assert layout_tags(root, "other") == {"before"}


def test_what_another_program_pushed_meanwhile_is_taken_in(tmp_path: Path) -> None:
    """Coming back to a `.zot` that stayed behind loses neither side's tags."""
    root = tmp_path / "store"
    with serve(root) as registry:
        push(registry, "team/app", "ours")
    index_json = root / "team" / "app" / "index.json"
    index = json.loads(index_json.read_bytes())
    theirs = json.loads(json.dumps(index["manifests"][0]))
    theirs["annotations"]["org.opencontainers.image.ref.name"] = "theirs"
    index["manifests"].append(theirs)
    index_json.write_text(json.dumps(index))

    with serve(root) as registry:
        push(registry, "team/app", "again")
    with serve(root) as registry:
        assert tags(registry, "team/app") == ["again", "ours", "theirs"]


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
