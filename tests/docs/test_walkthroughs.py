"""The commands of the tutorial and the how-tos work, with the configurations of their pages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from docs.walkthrough import Block, Walkthrough, blocks, small_image
from http_client import Client
from programs import ROOT
from zot.testing import serve

pytestmark = pytest.mark.timeout(600)  # each starts a dozen programs

HTPASSWD = f"alice:{bcrypt.hashpw(b'wonderland', bcrypt.gensalt(5)).decode()}\n"


@pytest.fixture
def upstream() -> Iterator[str]:
    """Serve a stand-in for `docker.io`."""
    with serve() as registry:
        Client(registry.host).push("library/busybox", small_image(), "latest")
        yield registry.host


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Walkthrough]:
    """Return a reader's machine, with a configuration."""
    machine = Walkthrough(tmp_path)
    yield machine
    machine.close()


def commands(page: str, *without: str) -> list[Block]:
    """Return the blocks of a page, without shell blocks that contain one of these words."""
    return [
        block for block in blocks(page) if block.language != "sh" or not any(word in block.text for word in without)
    ]


def configured(machine: Walkthrough, **storage: object) -> None:
    """Write a configuration with users, and serve it with an image of two tags, the second one moved."""
    (machine.folder / "htpasswd").write_text(HTPASSWD)
    machine.configure(
        {
            "storage": {"rootDirectory": str(machine.folder / "registry"), "gcDelay": "1h", **storage},
            "http": {
                "port": str(machine.port),
                "auth": {"htpasswd": {"path": str(machine.folder / "htpasswd")}, "apikey": True},
                "accessControl": {
                    "repositories": {"**": {"anonymousPolicy": ["read", "create", "update", "delete"]}},
                },
            },
            "log": {"level": "error"},
        }
    )
    machine.serve("config.json")
    client = Client(f"127.0.0.1:{machine.port}")
    client.push("team/app", small_image("one"), "1.1", "1.2")
    client.push("team/app", small_image("two"), "1.2")


@pytest.mark.needs("skopeo", "htpasswd")
def test_the_tutorial_works(tmp_path: Path, upstream: str) -> None:
    """From the first start to a registry with a password, with Docker and with skopeo."""
    machine = Walkthrough(tmp_path, upstream)
    try:
        machine.follow(*commands("tutorial/first-image.md", "pip install"))
        assert '{"repositories":["busybox"]}' in machine.output
        assert '{"name":"busybox","tags":["latest"]}' in machine.output
        assert "config.json: config file is valid" in machine.output
        client = Client(f"127.0.0.1:{machine.port}")
        assert client.get("/v2/busybox/manifests/latest").status == 200
        assert client.ask("DELETE", "/v2/busybox/manifests/latest").status == 401
    finally:
        machine.close()


def test_the_policy_of_the_readme_lets_users_push_again_and_an_admin_delete(machine: Walkthrough) -> None:
    """Every client pulls, a user creates and moves a tag, and `admin` alone deletes it."""
    text = (ROOT / "README.md").read_text().partition("```json\n")[2].partition("```")[0]
    tree = json.loads(machine.here(text))
    del tree["http"]["tls"]
    machine.configure(tree)
    (machine.folder / "etc" / "zot" / "htpasswd").write_text(HTPASSWD + HTPASSWD.replace("alice", "admin"))
    machine.serve("config.json")
    host = f"127.0.0.1:{machine.port}"
    alice, admin = (Client(host, user=f"{name}:wonderland") for name in ("alice", "admin"))
    alice.push("team/app", small_image("one"), "latest")
    alice.push("team/app", small_image("two"), "latest")
    assert Client(host).get("/v2/team/app/manifests/latest").body == small_image("two").content
    assert alice.ask("DELETE", "/v2/team/app/manifests/latest").status == 403
    assert admin.ask("DELETE", "/v2/team/app/manifests/latest").status == 202


@pytest.mark.needs("htpasswd", "skopeo")
def test_users_of_a_password_file_log_in(machine: Walkthrough) -> None:
    """The page on htpasswd: create the file, verify, serve, log in."""
    page = commands("how-to/log-in-with-htpasswd.md")
    machine.program("apt-get")
    machine.follow(*page)
    assert "Login Succeeded" in machine.output


@pytest.mark.needs("openssl")
def test_certificates_of_an_own_authority_work(machine: Walkthrough) -> None:
    """The page on certificates: create the authority and the certificate, serve, and send a request by HTTPS."""
    page = blocks("how-to/get-certificates.md")
    machine.follow(*(block for block in page if block.language == "json" or block.note == "run"))
    assert machine.run(machine.here("curl -s --cacert /etc/zot/ca.crt https://localhost:5000/v2/_catalog")) == (
        '{"repositories":[]}'
    )


@pytest.mark.parametrize("running", [True, False])
def test_a_backup_is_made_and_restored(machine: Walkthrough, running: bool) -> None:
    """The page on backups, with a server and without, and after the loss of the store."""
    configured(machine)
    if not running:
        machine.stop()
    backup, *_, restore = (block for block in blocks("how-to/back-up.md") if block.text.startswith("zot "))
    machine.follow(backup)
    machine.stop()
    (machine.folder / "registry").rename(machine.folder / "lost")
    machine.follow(restore)
    assert Client(f"127.0.0.1:{machine.port}").tags("team/app") == ["1.1", "1.2"]


@pytest.mark.parametrize("running", [True, False])
def test_a_tag_is_restored(machine: Walkthrough, running: bool) -> None:
    """The page on tags: their history, a restore of the previous image, and the tags as of a time."""
    configured(machine)
    if not running:
        machine.stop()
    for block in commands("how-to/restore-a-tag.md"):
        machine.follow(block._replace(text=block.text.replace("sha256:0123...", small_image("two").digest)))
    assert f"team/app:1.2 points to {small_image('one').digest}" in machine.output


def test_retention_is_set_up(machine: Walkthrough) -> None:
    """The page on retention: its policies are valid, and their effect is previewed."""
    configured(machine)
    page = commands("how-to/set-up-retention.md")
    policies = json.loads(next(block.text for block in page if block.language == "json"))["storage"]["retention"]
    tree = json.loads((machine.folder / "config.json").read_text())
    tree["storage"]["retention"] = policies
    machine.configure(tree)
    for block in page:
        if block.language == "sh":
            machine.follow(block._replace(text=block.text.replace("team/app:1.2", "team/app:1.1")))
    assert "team/app:1.1 is kept" in machine.output


def test_stored_content_is_verified(machine: Walkthrough) -> None:
    """The page on scrubs: all tags are intact."""
    configured(machine)
    machine.follow(*(block for block in commands("how-to/scrub.md") if block.language == "sh"))
    assert [line.split()[:3] for line in machine.output.splitlines()[1:]] == [
        ["team/app", "1.1", "ok"],
        ["team/app", "1.2", "ok"],
    ]


def test_a_directory_is_switched_to_and_back(machine: Walkthrough) -> None:
    """The pages on switching: check, serve, compare, and print the configuration for the way back."""
    configured(machine)
    machine.stop()
    machine.follow(*commands("how-to/switch-from-zot.md"))
    assert "team/app" in machine.output
    machine.follow(*commands("how-to/switch-back.md"))
    assert json.loads((machine.folder / "config-zot.json").read_text())["storage"]["gcDelay"] == "1h"


def test_service_accounts_get_keys(machine: Walkthrough) -> None:
    """The page on API keys: a service account, its keys, and a revoked one."""
    configured(machine)
    for block in commands("how-to/use-api-keys.md", "registry.example.org"):
        if block.language == "sh":
            text = block.text.replace(
                "deployer UUID", 'deployer "$(zot account keys deployer config.json | head -1 | cut -f1)"'
            )
            machine.follow(block._replace(text=text))
    assert "cluster-a" in machine.output
    assert machine.run("zot account list config.json") == "deployer\tservice\t1 keys\tci\n"


def test_zli_queries_a_registry(machine: Walkthrough) -> None:
    """The page on zli: profiles, and the status of a registry."""
    configured(machine)
    for block in commands("how-to/ask-a-registry.md", "completion"):
        if block.language == "sh":
            text = block.text.replace("https://registry.example.org", f"http://127.0.0.1:{machine.port}")
            machine.follow(block._replace(text=text.replace("alice:PASSWORD", "alice:wonderland")))
    assert "Server Status: online" in machine.output


def test_troubleshooting_explains(machine: Walkthrough) -> None:
    """The commands at the top of the page give an answer."""
    configured(machine)
    (first,) = (block for block in commands("how-to/troubleshoot.md") if block.language == "sh")
    status, verify, explain = (line.partition("#")[0] for line in first.text.splitlines() if line.startswith("zot "))
    assert "up " in machine.run(f"{status} || test $? = 1")  # 1 where something needs attention, such as a full disk
    assert "config file is valid" in machine.run(verify)
    assert "deny: alice create team/app" in machine.run(f"{explain} || test $? = 1")


def test_the_examples_of_the_page_on_testing_run(machine: Walkthrough) -> None:
    """Each Python file of the page runs, those of pytest by pytest."""
    for number, block in enumerate(blocks("how-to/test-against-a-registry.md")):
        if block.language != "python":
            continue
        name = block.text.partition("\n")[0].removeprefix("# ")
        path = machine.folder / (name if name.endswith(".py") else f"example_{number}.py")
        path.write_text(block.text.replace("/tmp/images", str(machine.folder / "images")))
        program = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_push.py"] if name == "test_push.py" else [path]
        subprocess.run([sys.executable, *map(str, program)], cwd=machine.folder, check=True, capture_output=True)
