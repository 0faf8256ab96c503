"""The sign that zli waits."""

import asyncio
import io
import sys

import pytest

from zli.conftest import Zli
from zot.zli.spinner import spinner
from zot.zli.target import target


class Terminal(io.StringIO):
    """What is written to a terminal; `turned` is set at the second sign."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = asyncio.Event()

    def isatty(self) -> bool:
        """It is one."""
        return True

    def write(self, text: str) -> int:
        """Keep the text."""
        if text.endswith("/"):
            self.turned.set()
        return super().write(text)


async def wait_and_fail(terminal: Terminal) -> None:
    """Fail in the block, after the sign has turned."""
    async with spinner(shown=True):
        await terminal.turned.wait()
        raise ValueError("broken")


async def test_a_terminal_shows_that_something_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is empty again at the end, also after an error."""
    monkeypatch.setattr("zot.zli.spinner._PERIOD_S", 0.001)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(ValueError, match="broken"):
        await wait_and_fail(terminal)
    assert terminal.getvalue().startswith("\rSearching... |")
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(("stderr", "shown"), [(io.StringIO(), True), (Terminal(), False)])
async def test_nothing_is_shown_otherwise(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO, shown: bool) -> None:
    """To what is no terminal, or when the profile says no."""
    monkeypatch.setattr(sys, "stderr", stderr)
    async with spinner(shown=shown):
        await asyncio.sleep(0)
    assert stderr.getvalue() == ""


def test_a_profile_says_whether_it_is_shown(zli: Zli, monkeypatch: pytest.MonkeyPatch) -> None:
    """By showspinner; a registry that is given by its URL alone is awaited in silence, as in zot's zli."""
    monkeypatch.setenv("HOME", str(zli.home))
    zli("config", "add", "main", "http://127.0.0.1:1")
    assert target(None, "main", "").spinner
    assert not target("http://127.0.0.1:1", None, "").spinner
    zli("config", "set", "main", "showspinner", "false")
    assert not target(None, "main", "").spinner
