"""The older spellings of `zli config` do what their commands do, and say which those are."""

import pytest

from zli.conftest import Zli

URL = "https://registry.example.org"


@pytest.mark.parametrize(
    ("older", "today", "notice"),
    [
        (["-l"], ["list"], "`zli config --list`; use `zli config list`"),
        (["--list"], ["list"], "`zli config --list`; use `zli config list`"),
        (["main", "-l"], ["show", "main"], "`zli config <name> --list`; use `zli config show <name>`"),
        (["-l", "main"], ["show", "main"], "`zli config <name> --list`; use `zli config show <name>`"),
        (["main", "url"], ["get", "main", "url"], "`zli config <name> <key>`; use `zli config get <name> <key>`"),
    ],
)
def test_reading_prints_the_same(zli: Zli, older: list[str], today: list[str], notice: str) -> None:
    """On standard output; the notice is on standard error alone."""
    zli("config", "add", "main", URL)
    done = zli.run("config", *older)
    assert (done.exit_code, done.stdout) == (0, zli("config", *today))
    assert done.stderr == f"Warning: deprecated invocation {notice} instead.\n"


@pytest.mark.parametrize("words", [["main", "verify-tls", "--reset"], ["--reset", "main", "verify-tls"]])
def test_setting_and_resetting_change_the_file(zli: Zli, words: list[str]) -> None:
    """As `set` and `reset` do, wherever the option stands."""
    zli("config", "add", "main", URL)
    done = zli.run("config", "main", "verify-tls", "false")
    assert done.stderr.startswith("Warning: deprecated invocation `zli config <name> <key> <value>`;")
    assert zli.saved["configs"][0]["verify-tls"] is False
    done = zli.run("config", *words)
    assert done.stderr.startswith("Warning: deprecated invocation `zli config <name> <key> --reset`;")
    assert "verify-tls" not in zli.saved["configs"][0]


def test_errors_are_those_of_the_command(zli: Zli) -> None:
    """The notice goes before them."""
    zli("config", "add", "main", URL)
    said = zli.refused("config", "main", "url", "nowhere")
    assert said.startswith("Warning: deprecated invocation")
    assert "invalid URL format" in said
    assert "does not exist" in zli.refused("config", "other", "url")


@pytest.mark.parametrize(
    "words",
    [["main"], ["main", "-l", "url"], ["--reset"], ["--reset", "main"], ["-l", "--reset"], ["main", "a", "b", "c"]],
)
def test_what_was_never_a_spelling_is_wrong_usage(zli: Zli, words: list[str]) -> None:
    """Nothing is printed or changed."""
    zli("config", "add", "main", URL)
    before = zli.file.read_bytes()
    zli.refused("config", *words)
    assert zli.file.read_bytes() == before


def test_commands_have_no_older_options(zli: Zli) -> None:
    """Neither before nor behind their names."""
    zli("config", "add", "main", URL)
    assert "no options of a command" in zli.refused("config", "-l", "show", "main")
    assert "unknown flag: -l" in zli.refused("config", "show", "main", "-l")


def test_without_words_it_shows_its_help(zli: Zli) -> None:
    """The older spellings among the rest."""
    assert "--reset" in zli("config")
    assert zli("config") == zli("config", "--help")
