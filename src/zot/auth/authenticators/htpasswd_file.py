"""The format of htpasswd files: a user and a password hash a line."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from zot.auth.cached_file import read_regular_file
from zot.auth.credentials import names_user
from zot.auth.password_hashes import usable

# Spaces around a line or a hash. Nothing else is taken off: other programs take it for a part of the name.
_BLANKS = b" \t\r"


class HtpasswdFile(msgspec.Struct, frozen=True):
    """The content of an htpasswd file."""

    users: Mapping[str, str]
    """The hashes by user name, unusable ones too: such a user is refused, as by a wrong password."""
    faults: Sequence[str]
    """What is wrong with which line, one sentence each; such a line concerns nothing but itself."""


def parse(content: bytes) -> HtpasswdFile:
    """Return the users of an htpasswd file, and the faults of its lines.

    A line is `name:hash`; what follows another colon is ignored, as by Apache and zot. Only a line feed ends a line,
    as for zot: of all that Unicode calls a line break, nothing begins a user in the middle of a comment. Empty lines
    and lines that begin with `#` are comments. Of lines with the same name the last holds. A byte order mark is
    skipped. Raises ValueError for a file in UTF-16, of which nothing could be read.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("the file is UTF-16 and should be UTF-8")
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
    """Read an htpasswd file. Raises OSError if it cannot be read, ValueError if it is no text file."""
    return parse(read_regular_file(path))


def _user(line: bytes) -> tuple[str, str]:
    name, colon, rest = line.partition(b":")
    if not colon or not name:
        raise ValueError("not of the form name:hash")
    try:
        decoded = name.decode(), rest.partition(b":")[0].strip(_BLANKS).decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not names_user(decoded[0]):
        raise ValueError("the name has characters that cannot be sent in a login")
    return decoded
