"""What commands print: whole sentences in their help, JSON where they print tables, and completion for shells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from http_client import Client
from layout.images import image
from zot.cli.main import COMMANDS, cli
from zot.testing import serve


def groups(group: click.Group, context: click.Context) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of each group of commands."""
    yield ()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            for below in groups(command, context):
                yield name, *below


@pytest.mark.parametrize("arguments", [*groups(cli, click.Context(cli))], ids=" ".join)
def test_no_sentence_of_a_list_of_commands_is_cut(arguments: tuple[str, ...]) -> None:
    """Each command of a group is listed with a sentence that ends with its full stop."""
    lines = CliRunner().invoke(cli, [*arguments, "--help"]).output.partition("Commands:\n")[2]
    assert "..." not in lines
    entries = " ".join(f"|{line}" if line[2] != " " else line.strip() for line in lines.splitlines()).split("|")[1:]
    assert entries
    assert [each for each in entries if not each.strip().endswith(".")] == []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a configuration with users, and make its store with an image and an account."""
    path = tmp_path / "config.json"
    http = {"auth": {"htpasswd": {"path": str(path)}, "apikey": True}}
    path.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "data")}, "http": http}))
    with serve(tmp_path / "data") as registry:
        Client(registry.host).push("team/app", image("a"), "v1")
    zot("account", "create", "robot", "--group", "ci", path)
    zot("account", "key", "robot", "--label", "one", path)
    return path


def zot(*arguments: str | Path) -> str:
    """Run a command; return what it printed."""
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (("usage",), {"repository": "team/app", "tags": 1, "manifests": 1}),
        (("usage", "--tags", "team/app"), {"repository": "team/app", "tag": "v1"}),
        (("scrub",), {"repository": "team/app", "tag": "v1", "ok": True}),
        (("gc",), {"store": "/", "failed": False}),
        (("gc", "--explain", "team/app"), {"repository": "team/app"}),
        (("tag", "history", "team/app"), {"tag": "v1", "before": None}),
        (("tag", "asof", "team/app", "2100-01-01"), {"tag": "v1", "here": True}),
        (("account", "list"), {"name": "robot", "kind": "service", "keys": 1, "groups": ["ci"]}),
        (("account", "keys", "robot"), {"label": "one", "expires_s": None}),
    ],
    ids=str,
)
def test_a_table_is_printed_as_json(file: Path, arguments: tuple[str, ...], fields: dict[str, object]) -> None:
    """A list of objects, on standard output alone."""
    (row,) = json.loads(zot(*arguments, "--json", file))
    assert {name: row[name] for name in fields} == fields


def test_no_hash_of_a_key_is_printed(file: Path) -> None:
    """What a key is verified by stays in the store."""
    (row,) = json.loads(zot("account", "keys", "robot", "--json", file))
    assert "hash" not in row


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str) -> None:
    """The script asks `zot` for completions, by the variable that `zot` looks at."""
    script = zot("completion", shell)
    assert "_ZOT_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_completions_are_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, by the name that the shell has completed so far."""
    monkeypatch.setenv("COMP_WORDS", "zot ver")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_ZOT_COMPLETE", "bash_complete")
    result = CliRunner().invoke(cli, prog_name="zot")
    assert result.output.split() == [f"plain,{name}" for name in sorted(COMMANDS) if name.startswith("ver")]
