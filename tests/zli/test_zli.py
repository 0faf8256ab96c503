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
COMMANDS = [
    *("completion", "config", "cve", "diff", "explain", "history"),
    *("image", "repo", "restore", "search", "status", "usage"),
]
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
    """Its commands; also when nothing is asked, and of a group of commands."""
    said = zli("--help")
    assert zli("-h") == zli() == said
    listed = said.split("Commands:\n")[1]
    assert [line.split()[0] for line in listed.splitlines() if not line.startswith("   ")] == COMMANDS
    assert "..." not in listed, "a sentence is cut"
    assert zli("image") == zli("image", "--help")


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


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["imag"], 'unknown command "imag" for "zli"\n\nDid you mean this?\n\timage\nRun \'zli --help\' for usage.'),
        (["image", "lst"], "unknown cli subcommand 'lst' for 'image'\n\nDid you mean this?\n\tlist"),
        (["image", "xyz"], "unknown cli subcommand 'xyz' for 'image'"),
        (["--nope"], "unknown flag: --nope"),
        (["image", "list", "--nope"], "unknown flag: --nope"),
        (["cve", "fixed", "a"], "accepts 2 arg(s), received 1"),
        (["cve", "list"], "accepts 1 arg(s), received 0"),
        (["search", "query", "a", "b", "c"], "accepts 1 arg(s), received 3"),
        (["image", "list", "a"], 'unknown command "a" for "zli image list"'),
        (["cve", "affected", "GHSA-1"], "invalid cli parameter: expected a cveid 'CVE-...' got 'GHSA-1'"),
        (["cve", "fixed", "A:b", "x"], "invalid cli parameter: expected a valid repo name for first argument 'A:b'"),
        (["cve", "diff", "a:1"], "accepts between 2 and 4 arg(s), received 1"),
        (["cve", "diff", "linux/amd64", "a:1"], "invalid cli arguments: first argument should be a repo:tag"),
        (["cve", "diff", "a:1", "x/y", "x/y", "b:1"], "invalid cli arguments: 3rd argument should be a repo:tag"),
        (
            ["cve", "diff", "a:1", "x/y"],
            "invalid cli arguments: not enough arguments, specified only 1 image with arch",
        ),
        (["cve", "diff", "a:1", "b:1", "c:1"], "invalid cli arguments: too many repo:tag inputs"),
        (["cve", "list", "a"], "invalid image reference format, use [repo:tag] or [repo@digest]"),
        (["search", "subject", ":1"], "invalid image reference format, use [repo:tag] or [repo@digest]"),
        (["image", "name", ":1"], "invalid image reference format, use [repo:tag] or [repo@digest]"),
    ],
)
def test_wrong_usage_is_one_error_with_status_1(zli: Zli, words: list[str], error: str) -> None:
    """As zot's zli: no usage is printed, and nothing is asked."""
    assert zli.refused(*words) == f"Error: {error}\n"


def test_help_and_completion_import_little() -> None:
    """Neither the HTTP client nor YAML, and nothing of the server: a shell asks for completions at every tab."""
    code = "import sys, zot.zli.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert (
        loaded & {"aiohttp", "asyncio", "importlib.metadata", "msgspec", "pydantic", "yaml", "rich", "subprocess"}
        == set()
    )
    own = {name for name in loaded if name.startswith("zot.")}
    assert {name for name in own if not name.startswith(("zot.zli", "zot.oci"))} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(zli: Zli, shell: str) -> None:
    """It asks zli itself."""
    script = zli("completion", shell)
    assert "_ZLI_COMPLETE" in script
    assert f"{shell}_complete" in script
    assert "'tcsh' is not one of" in zli.refused("completion", "tcsh")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("zli", COMMANDS),
        ("zli image", ["base", "cve", "derived", "digest", "list", "name"]),
        ("zli repo list --sort-by", ["alpha-asc", "alpha-dsc"]),
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
