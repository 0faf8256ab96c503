"""`zli config`: profiles are made, read, changed and removed."""

import pytest

from zli.conftest import Zli
from zot.zli.config import config

URL = "https://registry.example.org:5000"


def test_an_added_profile_is_saved_as_zot_saves_it(zli: Zli) -> None:
    """The file has zot's keys, the switches on, and no default."""
    assert zli("config", "add", "main", URL) == ""
    assert zli.saved == {"configs": [{"_name": "main", "url": URL, "showspinner": True, "verify-tls": True}]}


def test_profiles_are_listed_with_the_default_marked(zli: Zli) -> None:
    """A line each, the URLs at the same stop of a tabulator, in the order in which they were added."""
    assert zli("config", "list") == ""
    zli("config", "add", "main", URL)
    zli("config", "add", "a-much-longer-name", "http://127.0.0.1:8080")
    assert zli("config", "list") == f"main\t\t\t{URL}\na-much-longer-name\thttp://127.0.0.1:8080\n"
    zli("config", "set-default", "main")
    assert zli("config", "list") == f"main (default)\t\t{URL}\na-much-longer-name\thttp://127.0.0.1:8080\n"


def test_a_profile_is_shown_whole(zli: Zli) -> None:
    """Each key, and whether it is the default one."""
    zli("config", "add", "main", URL)
    shown = f"url = {URL}\nshowspinner = true\nverify-tls = true\n"
    assert zli("config", "show", "main") == shown
    zli("config", "set-default", "main")
    assert zli("config", "show", "main") == shown + "default = true\n"
    zli("config", "clear-default")
    assert zli("config", "show", "main") == shown


@pytest.mark.parametrize(("typed", "kept"), [("false", False), ("0", False), ("F", False), ("TRUE", True), ("t", True)])
def test_a_switch_takes_what_go_takes_for_a_boolean(zli: Zli, typed: str, kept: bool) -> None:
    """It is kept as a JSON boolean, and a reset makes it what it was before anybody set it."""
    zli("config", "add", "main", URL)
    zli("config", "set", "main", "verify-tls", typed)
    assert zli.saved["configs"][0]["verify-tls"] is kept
    assert zli("config", "get", "main", "verify-tls") == f"{kept}\n".lower()
    zli("config", "reset", "main", "verify-tls")
    assert "verify-tls" not in zli.saved["configs"][0]
    assert zli("config", "get", "main", "verify-tls") == "true\n"


def test_a_url_can_be_changed(zli: Zli) -> None:
    """And nothing else changes by that."""
    zli("config", "add", "main", URL)
    zli("config", "set", "main", "showspinner", "false")
    zli("config", "set", "main", "url", "http://[::1]:8080")
    assert zli("config", "get", "main", "url") == "http://[::1]:8080\n"
    assert zli("config", "get", "main", "showspinner") == "false\n"


def test_removing_the_default_profile_leaves_no_default(zli: Zli) -> None:
    """Removing another one does not touch it."""
    for name in ("one", "two", "three"):
        zli("config", "add", name, URL)
    zli("config", "set-default", "two")
    zli("config", "remove", "one")
    assert zli.saved["defaultConfigName"] == "two"
    zli("config", "remove", "two")
    assert [each["_name"] for each in zli.saved["configs"]] == ["three"]
    assert "defaultConfigName" not in zli.saved


@pytest.mark.parametrize("name", sorted(config.commands))
def test_a_profile_cannot_be_named_like_a_command(zli: Zli, name: str) -> None:
    """It would hide behind the command; one that is already there can be read and removed."""
    assert "name is reserved" in zli.refused("config", "add", name, URL)
    assert not zli.file.exists()
    zli.file.write_text(f'{{"configs": [{{"_name": "{name}", "url": "{URL}"}}]}}')
    assert zli("config", "get", name, "url") == f"{URL}\n"
    zli("config", "remove", name)
    assert zli.saved == {"configs": []}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["add", "main", URL], "cli config name already added: 'main'"),
        (["add", " ", URL], "the name of a config cannot be empty"),
        (["remove", "other"], "config with the given name does not exist: 'other'"),
        (["show", "other"], "config with the given name does not exist"),
        (["get", "other", "url"], "config with the given name does not exist"),
        (["set", "other", "url", URL], "config with the given name does not exist"),
        (["reset", "other", "verify-tls"], "config with the given name does not exist"),
        (["set-default", "other"], "config with the given name does not exist"),
        (["get", "main", "colour"], "given config key is not allowed: 'colour', only url, showspinner, verify-tls"),
        (["set", "main", "_name", "x"], "given config key is not allowed"),
        (["reset", "main", "colour"], "given config key is not allowed"),
        (["reset", "main", "url"], "cannot reset given config key"),
        (["reset", "main", "_name"], "cannot reset given config key"),
        (["set", "main", "verify-tls", "yes"], "verify-tls must be true or false, not 'yes'"),
        (["set", "main", "showspinner", ""], "showspinner must be true or false"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(zli: Zli, words: list[str], why: str) -> None:
    """With exit status 1 and the reason on standard error."""
    zli("config", "add", "main", URL)
    before = zli.file.read_bytes()
    assert why in zli.refused("config", *words)
    assert zli.file.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("registry.example.org", "scheme not provided"),
        ("localhost:5000/", "scheme not provided"),
        ("https://", "scheme not provided"),
        ("ftp://registry.example.org", "not of the form"),
        ("https://:5000", "not of the form"),
        ("https://registry.example.org:port", "invalid URL format"),
        ("https://[::1", "invalid URL format"),
        ("https://registry..example.org", "invalid URL format"),
        (f"https://{'a' * 64}.example.org", "invalid URL format"),
        ("https://registry example.org", "not of the form"),
        ("https://me:secret@registry.example.org", "give them with --user"),
    ],
)
def test_what_is_no_url_of_a_registry_is_refused(zli: Zli, url: str, why: str) -> None:
    """When it is added, when it is set, and when it is asked; a password in it is not repeated."""
    zli("config", "add", "main", URL)
    for words in (["config", "add", "other", url], ["config", "set", "main", "url", url], ["status", "--url", url]):
        said = zli.refused(*words)
        assert why in said
        assert "secret" not in said
    assert zli("config", "list") == f"main\t{URL}\n"
