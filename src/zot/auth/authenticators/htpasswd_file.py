"""Parses htpasswd files: lines of user name and password hash."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from zot.auth.cached_file import read_regular_file
from zot.auth.credentials import is_user_name
from zot.auth.password_hashes import usable

# White space that is stripped around a line or a hash. Other programs treat any other as part of the name.
_BLANKS = b" \t\r"


class HtpasswdFile(msgspec.Struct, frozen=True):
    """The content of an htpasswd file."""

    users: Mapping[str, str]
    """Hashes by user name. With an unusable hash every password of the user is wrong."""
    faults: Sequence[str]
    """Invalid lines, one sentence each; the other lines are valid all the same."""


def parse(content: bytes) -> HtpasswdFile:
    """Return the users of an htpasswd file, and its invalid lines.

    A line is `name:hash`; further fields after another colon are ignored, as by Apache and zot. Only a line feed ends a
    line, as for zot: no other line break of Unicode can start a user inside a comment. Empty lines and lines that begin
    with `#` are comments. Of lines with the same name the last applies. A byte order mark is skipped. Raises ValueError
    for a file in UTF-16.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("the file is UTF-16, expected UTF-8")
    users: dict[str, str] = {}
    faults = []
    for number, line in enumerate(content.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        text = line.strip(_BLANKS)
        if not text or text.startswith(b"#"):
            continue
        try:
            name, hashed = _user(text)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        users[name] = hashed
        if not usable(hashed):
            reason = "the hash is not bcrypt, sha256-crypt or sha512-crypt, or costs too much"
            faults.append(f"line {number}: {name} cannot log in: {reason}")
    return HtpasswdFile(users, faults)


def read(path: Path) -> HtpasswdFile:
    """Read an htpasswd file. Raises OSError if it cannot be read, ValueError if it is not a text file."""
    return parse(read_regular_file(path))


def _user(line: bytes) -> tuple[str, str]:
    name, colon, rest = line.partition(b":")
    if not colon or not name:
        raise ValueError("not of the form name:hash")
    try:
        decoded = name.decode(), rest.partition(b":")[0].strip(_BLANKS).decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not is_user_name(decoded[0]):
        raise ValueError("the name has characters that cannot be sent in a login")
    return decoded
