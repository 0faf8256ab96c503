"""The scripts that Redis runs: one for each command and each read, composed of the files in `lua/` at import.

Redis builds all functions of a script again with each call, which costs more than most commands do. So a script has
only what its command or read needs of these files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from zot.databases.redis_calls import RedisScript

_COMMAND_FILES = ("keys", "scope", "blobs", "uploads", "carried", "tags", "manifests", "layouts", "owners")
_READ_FILES = ("keys", "reads")

# A statement of a file begins at the margin, and ends where the next one begins.
_STATEMENT = re.compile(r"^(?:local|function)\b.*?(?=^(?:local|function)\b|\Z)", re.MULTILINE | re.DOTALL)
_DEFINED = re.compile(r"local function (\w+)|function ([\w.]+)|local ([\w, ]+)")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)?")


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement at the margin of a file: what it defines, and the names that it mentions."""

    text: str
    defines: frozenset[str]
    mentions: frozenset[str]


@cache
def command_script(command: str) -> RedisScript:
    """Return what carries out one command: it is idempotent, or its outcome is remembered."""
    return _composed(_COMMAND_FILES, f"local handler = handlers.{command}\n", "carry_out")


@cache
def read_script(read: str) -> RedisScript:
    """Return what answers one read."""
    return _composed(_READ_FILES, f"local read = reads.{read}\n", "answer")


def _composed(names: Iterable[str], chosen: str, last: str) -> RedisScript:
    statements = [each for name in names for each in _statements(name)]
    end = chosen + _text(last)
    needed = _mentioned(end)
    kept: set[_Statement] = set()
    while found := [each for each in statements if each not in kept and each.defines & needed]:
        kept.update(found)
        needed = needed.union(*(each.mentions for each in found))
    return RedisScript("".join(each.text for each in statements if each in kept) + end, repeatable=True)


@cache
def _statements(name: str) -> tuple[_Statement, ...]:
    return tuple(_statement(text) for text in _STATEMENT.findall(_text(name)))


def _statement(text: str) -> _Statement:
    defined = _DEFINED.match(text)
    assert defined is not None
    names = frozenset(each.strip() for each in (defined[1] or defined[2] or defined[3]).split(","))
    return _Statement(text, names, _mentioned(text))


def _mentioned(text: str) -> frozenset[str]:
    found = _NAME.findall(text)
    return frozenset(found) | {name.partition(".")[0] for name in found}


@cache
def _text(name: str) -> str:
    """Return a file without the lines that are comments."""
    return _COMMENT.sub("", (files("zot.catalog.redis") / "lua" / f"{name}.lua").read_text())
