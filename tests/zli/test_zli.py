"""The command itself: help, version, completion."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from programs import ROOT
from zli.conftest import Zli
from zot import __version__
from zot.zli.cli import main

PAGE = ROOT / "docs" / "how-to" / "ask-a-registry.md"
COMMAND = Path(sys.executable).with_name("zli")
COMPLETED = """
source <(zli completion bash)
COMP_WORDS=({words} '')
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_zli_completion zli
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_it_is_installed() -> None:
    """Under its name, beside `zot` and `zb`."""
    (entry,) = entry_points(group="console_scripts", name="zli")
    assert entry.load() is main


def test_the_help_says_what_there_is(zli: Zli) -> None:
    """Its commands, and what comes later; also when nothing is asked."""
    said = zli("--help")
    assert zli("-h") == zli() == said
    assert "Queries of images, repositories and vulnerabilities come with the search" in said
    assert [line.split()[0] for line in said.split("Commands:\n")[1].splitlines()] == ["completion", "config", "status"]


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_version_is_a_line_of_json(zli: Zli, flag: str) -> None:
    """As zot logs it."""
    said = json.loads(zli(flag))
    assert (said["message"], said["version"], said["distribution-spec"]) == ("version", __version__, "1.1.1")


def test_the_lines_of_the_documentation_work(zli: Zli) -> None:
    """From top to bottom, but for asking a registry that is not there."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("zli config ")]
    assert len(lines) > 5
    for line in lines:
        zli(*line.split()[1:])


def test_an_unknown_command_is_wrong_usage(zli: Zli) -> None:
    """What needs the search extension is not there."""
    assert "No such command 'image'" in zli.refused("image", "list", status=2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(zli: Zli, shell: str) -> None:
    """It asks zli itself."""
    script = zli("completion", shell)
    assert "_ZLI_COMPLETE" in script
    assert f"{shell}_complete" in script
    assert "'tcsh' is not one of" in zli.refused("completion", "tcsh", status=2)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("zli", ["completion", "config", "status"]),
        ("zli config show", ["main", "other"]),
        ("zli config get main", ["url", "showspinner", "verify-tls"]),
        ("zli status -c", ["main", "other"]),
        ("zli status -f", ["text", "json", "yaml", "yml"]),
    ],
)
def test_bash_completes_commands_profiles_and_keys(zli: Zli, words: str, offered: list[str]) -> None:
    """With the script that `completion` prints."""
    zli("config", "add", "main", "http://127.0.0.1")
    zli("config", "add", "other", "http://127.0.0.1")
    assert bash(zli, COMPLETED.format(words=words)).split() == offered


def test_a_broken_file_completes_to_nothing(zli: Zli) -> None:
    """No error is put into somebody's line."""
    zli.file.write_text("{")
    assert bash(zli, COMPLETED.format(words="zli config show")).split() == []


def bash(zli: Zli, script: str) -> str:
    """Run a script in the home, with the installed zli in its path, and return all that was printed."""
    env = os.environ | {"HOME": str(zli.home), "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", script]
    return subprocess.run(
        command, env=env, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, check=True
    ).stdout.decode()
