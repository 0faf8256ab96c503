"""zot.testing: a registry inside a user's tests."""

import base64
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import bcrypt
import pytest

from certificates import Authority
from http_client import Client
from layout.images import Layout, image
from programs import ROOT
from zot.config.errors import ConfigurationError
from zot.storage.interface import StorageError
from zot.testing import serve

PUSHED = image("a")
PAGE = ROOT / "docs" / "how-to" / "test-against-a-registry.md"
USE = """

def test_{}(zot_registry):
    with urllib.request.urlopen(zot_registry.url + "/v2/_catalog") as answer:
        assert answer.read() == b'{{"repositories":[]}}'
    request = urllib.request.Request(zot_registry.url + "/v2/app/blobs/uploads/", method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 202
"""


def test_it_serves_for_a_block() -> None:
    """It serves from the first line of the block on; after the block its files and threads are gone."""
    threads = threading.active_count()
    with serve() as registry:
        client = Client(registry.host)
        client.push("team/app", PUSHED, "v1")
        assert client.get("/v2/team/app/manifests/v1").body == PUSHED.content
        assert registry.url == f"http://{registry.host}"
    assert not registry.root.parent.exists()
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        client.get("/v2/")


def test_a_given_directory_is_kept(tmp_path: Path) -> None:
    """The next registry on the directory serves its content, and other programs read it as image layouts."""
    with serve(tmp_path / "content") as registry:
        Client(registry.host).push("app", PUSHED, "v1")
    assert Layout(tmp_path / "content" / "app").tags() == {"v1": PUSHED.digest}
    with serve(tmp_path / "content") as registry:
        assert Client(registry.host).tags("app") == ["v1"]


def test_several_run_concurrently() -> None:
    """Each has its own port and content."""
    with serve() as one, serve() as two:
        Client(one.host).push("app", PUSHED, "v1")
        assert Client(two.host).get("/v2/app/tags/list").status == 404


def test_in_memory_it_writes_no_content(tmp_path: Path) -> None:
    """It answers as one on a directory does, users and all, and leaves nothing; the next one is empty."""
    with serve(memory=True) as registry:
        client = Client(registry.host)
        client.push("team/app", PUSHED, "v1")
        assert client.get("/v2/team/app/manifests/v1").body == PUSHED.content
        assert client.tags("team/app") == ["v1"]
        assert client.ask("DELETE", "/v2/team/app/manifests/v1").status == 202
        assert client.get("/v2/team/app/manifests/v1").status == 404
        assert client.get("/readyz").status == 200
        assert {path.name for path in registry.root.parent.iterdir()} == {"zot.log"}
    with serve(memory=True) as registry:
        assert Client(registry.host).get("/v2/_catalog").json == {"repositories": []}
    with pytest.raises(ValueError, match="no root"), serve(tmp_path, memory=True):
        pass


def test_in_memory_the_rules_hold(tmp_path: Path) -> None:
    """Logins, API keys and access control need no files, but the one with passwords."""
    users = tmp_path / "htpasswd"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    http = {
        "auth": {"htpasswd": {"path": str(users)}, "apikey": True},
        "accessControl": {"repositories": {"**": {"anonymousPolicy": ["read"], "defaultPolicy": ["read", "create"]}}},
    }
    alice = {"Authorization": "Basic " + base64.b64encode(b"alice:secret").decode()}
    with serve(memory=True, config={"http": http}) as registry:
        client = Client(registry.host)
        assert client.ask("POST", "/v2/app/blobs/uploads/").status == 401
        assert client.ask("POST", "/v2/app/blobs/uploads/", headers=alice).status == 202


def test_a_directory_is_used_by_one_registry(tmp_path: Path) -> None:
    """A second registry on a directory is refused while the first one runs."""
    with serve(tmp_path / "content"), pytest.raises(StorageError, match="is in use by"), serve(tmp_path / "content"):
        pass
    with serve(tmp_path / "content"):
        pass


def test_any_configuration_can_be_tested_against(tmp_path: Path, authority: Authority) -> None:
    """Access control, certificates and every other key of a configuration file can be given."""
    rules = {"repositories": {"**": {"anonymousPolicy": ["read"]}}}
    tls = {"cert": str(authority.folder / "server.pem"), "key": str(authority.folder / "server.key")}
    with serve(config={"http": {"accessControl": rules, "tls": tls}}) as registry:
        assert registry.url == f"https://{registry.host}"
        client = Client(registry.host, ssl.create_default_context(cafile=authority.path))
        assert client.ask("POST", "/v2/app/blobs/uploads/").error == (403, "DENIED")


@pytest.mark.parametrize("config", [{"nonsense": 1}, {"http": {"port": "x"}}, {"storage": {"gcDelay": "soon"}}])
def test_a_wrong_configuration_is_an_error(config: dict[str, object]) -> None:
    """It raises the error with which the program refuses such a file."""
    with pytest.raises(ConfigurationError), serve(config=config):
        pass


def test_an_error_in_the_block_is_raised(tmp_path: Path) -> None:
    """An exception leaves the block unchanged, and the registry is stopped."""
    with pytest.raises(ZeroDivisionError), serve(tmp_path / "content"):
        raise ZeroDivisionError
    with serve(tmp_path / "content"):
        pass


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page of the documentation."""
    return [block.partition("```")[0] for block in page.read_text().split("```python\n")[1:]]


def test_the_fixture_works_as_documented(tmp_path: Path) -> None:
    """A suite that names the plugin gets `zot_registry`, a separate registry in each test."""
    conftest, test, *_ = blocks(PAGE)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_push.py").write_text(test + USE.format(1) + USE.format(2))
    command = [sys.executable, "-m", "pytest", "-q", f"--basetemp={tmp_path / 'temporary'}", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_blocks_of_the_documentation_run(tmp_path: Path) -> None:
    """The examples of `serve` on the page run."""
    shown = [block for block in blocks(PAGE) if "with serve(" in block]
    assert len(shown) == 5
    for block in shown:
        exec(compile(block.replace("/tmp/images", str(tmp_path / "images")), str(PAGE), "exec"), {})
