"""Commands of root leave nothing in the store of another user that its server could not use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from http_client import Client
from layout.images import image
from zot.cli.main import cli
from zot.storage.owner import give
from zot.testing import serve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")

NOBODY = (65534, 65534)
Zot = Callable[..., Result]


@pytest.fixture
def zot(tmp_path: Path) -> Zot:
    """Have the stopped store of another user; run a command of `zot` on it."""
    with serve(tmp_path / "store") as registry:
        Client(registry.host).push("app", image("a"), "v1")
    give(str(tmp_path / "store"), NOBODY)
    users = tmp_path / "htpasswd"
    users.write_text("alice:$2y$05$SZa/rM6y9lh/hIF5.b4qoev6XEBkpM2hHtRTjpP.RcHkGqjfQ1L12\n")
    tree = {
        "storage": {"rootDirectory": str(tmp_path / "store")},
        "http": {"port": "0", "auth": {"htpasswd": {"path": str(users)}}},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(tree))
    return lambda *words: CliRunner().invoke(cli, [*words, str(file)])


def files(root: Path) -> dict[Path, tuple[int, int, int]]:
    """What is in a store, with its owner and time."""
    return {path: (path.stat().st_uid, path.stat().st_gid, path.stat().st_mtime_ns) for path in root.rglob("*")}


@pytest.mark.parametrize(
    "words",
    [
        ("gc",),
        ("scrub",),
        ("usage",),
        ("gc", "--dry-run"),
        ("tag", "history", "app:v1"),
        ("verify", "--store"),
        ("verify-feature", "retention"),
        ("sessions", "list"),
        ("backup", "backup"),
    ],
)
def test_a_command_of_root_is_refused_with_the_line_to_type(zot: Zot, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Whether it reads or changes; nothing is touched."""
    before = files(tmp_path / "store")
    done = zot(*words)
    assert done.exit_code == 1
    said = done.output + done.stderr + str(done.exception)
    assert f"{tmp_path / 'store'} belongs to nobody" in said
    assert "sudo -u nobody " in said
    assert files(tmp_path / "store") == before


@pytest.mark.parametrize("there", [True, False])
def test_what_root_restores_belongs_to_the_owner(zot: Zot, tmp_path: Path, there: bool) -> None:
    """Of the directory that was made for the store, or of the backup."""
    give(str(tmp_path / "store"), (0, 0))
    assert zot("backup", str(tmp_path / "backup")).exit_code == 0
    (tmp_path / "store").rename(tmp_path / "lost")
    if there:
        (tmp_path / "store").mkdir()
        os.chown(tmp_path / "store", *NOBODY)
    else:
        give(str(tmp_path / "backup"), NOBODY)
    done = zot("restore", str(tmp_path / "backup"))
    assert done.exit_code == 0, done.output
    restored = files(tmp_path / "store")
    assert {owner[:2] for owner in restored.values()} == {NOBODY}
    assert (tmp_path / "store").stat().st_uid == NOBODY[0]
