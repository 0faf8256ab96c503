"""`~/.zot`: what others wrote there stays, what is broken stays as it is, and nobody sees half of it."""

import json
import stat
from pathlib import Path

import pytest

from zli.conftest import Zli

URL = "https://registry.example.org"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"showspinner = false", "Expecting value"),
        (b'{"configs": [', "Expecting value"),
        (b"[" * 100_000, "recursion"),
        (b'{"configs": "\xff"}', "utf-8"),
        (b"[]", "it is not a JSON object"),
        (b'{"configs": {"_name": "main", "url": "https://x"}}', '"configs" must be a JSON array'),
        (b'{"configs": ["main"]}', "configs[0] must be a JSON object"),
        (b'{"configs": [{"url": "https://x"}]}', 'configs[0]: "_name" must be a non-empty string'),
        (b'{"configs": [{"_name": "a", "url": "https://x"}, {"_name": "b"}]}', 'configs[1]: "url" must be'),
        (b'{"configs": [], "defaultConfigName": 1}', '"defaultConfigName" must be a string'),
    ],
)
def test_a_broken_file_is_said_and_left_alone(zli: Zli, content: bytes, why: str) -> None:
    """Whatever is asked, the file is named with what is wrong in it, and not overwritten."""
    zli.file.write_bytes(content)
    for words in (["config", "list"], ["config", "add", "x", URL], ["config", "clear-default"], ["status"]):
        said = zli.refused(*words)
        assert f"invalid cli config: {zli.file}: " in said
        assert why in said
    assert zli.file.read_bytes() == content
    assert [each.name for each in zli.home.iterdir()] == [".zot"]


@pytest.mark.parametrize("content", [b"", b" \n", b"{}", b'{"configs": null}'])
def test_a_file_without_profiles_has_none(zli: Zli, content: bytes) -> None:
    """It is no error, and the first profile can be added."""
    zli.file.write_bytes(content)
    assert zli("config", "list") == ""
    zli("config", "add", "main", URL)
    assert [each["_name"] for each in zli.saved["configs"]] == ["main"]


def test_reading_makes_no_file(zli: Zli) -> None:
    """Where there is none, there is none afterwards."""
    zli("config", "list")
    zli.refused("config", "show", "main")
    assert list(zli.home.iterdir()) == []


def test_keys_of_others_are_kept(zli: Zli) -> None:
    """In the file and in a profile, in their places; only what was asked for changes."""
    before = {
        "theirs": {"a": [1, 2.5, None, "é"]},
        "configs": [
            {"_name": "main", "colour": "blue", "url": URL, "verify-tls": "false"},
            {"_name": "other", "url": URL, "extra": {}},
        ],
        "more": 1,
    }
    zli.file.write_text(json.dumps(before))
    zli("config", "set", "main", "showspinner", "false")
    zli("config", "add", "third", URL)
    zli("config", "remove", "third")
    configs = [{**before["configs"][0], "showspinner": False}, before["configs"][1]]  # type: ignore[index]
    assert zli.saved == {**before, "configs": configs}
    assert list(zli.saved) == list(before)


def test_a_default_that_is_not_there_is_said_until_it_is_mended(zli: Zli) -> None:
    """Nothing else is asked in its place."""
    zli.file.write_text(f'{{"configs": [{{"_name": "main", "url": "{URL}"}}], "defaultConfigName": "gone"}}')
    for words in (["config", "list"], ["config", "show", "main"], ["status"]):
        assert "\"defaultConfigName\" is 'gone'" in zli.refused(*words)
    zli("config", "set-default", "main")
    assert zli("config", "list") == f"main (default)\t{URL}\n"


def test_only_its_owner_can_read_it(zli: Zli) -> None:
    """Also where it was readable by others before; nothing else is left in the home."""
    zli("config", "add", "main", URL)
    assert stat.S_IMODE(zli.file.stat().st_mode) == 0o600
    zli.file.chmod(0o644)
    zli("config", "clear-default")
    assert stat.S_IMODE(zli.file.stat().st_mode) == 0o600
    assert [each.name for each in zli.home.iterdir()] == [".zot"]


def test_a_reader_never_sees_half_of_it(zli: Zli) -> None:
    """The file is replaced, not written in place: who has it open reads the old one to its end."""
    zli("config", "add", "main", URL)
    with zli.file.open() as old:
        zli("config", "add", "other", URL)
        assert len(json.load(old)["configs"]) == 1


def test_a_link_stays_a_link(zli: Zli, tmp_path: Path) -> None:
    """What it leads to is replaced, where homes are kept in a repository."""
    kept = tmp_path / "dotfiles"
    kept.write_text("")
    zli.file.symlink_to(kept)
    zli("config", "add", "main", URL)
    assert zli.file.is_symlink()
    assert json.loads(kept.read_text())["configs"][0]["_name"] == "main"


def test_what_cannot_be_read_or_written_is_said(zli: Zli) -> None:
    """A directory in its place, as of a registry that keeps its data in the home, and a home that is not there."""
    zli.file.mkdir()
    assert f"{zli.file} cannot be read: Is a directory" in zli.refused("config", "list")
    nowhere = Zli(zli.home / "nowhere")
    assert f"{nowhere.file} cannot be written: No such file" in nowhere.refused("config", "add", "main", URL)
