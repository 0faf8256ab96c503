"""Reads the newest lines of the audit log, also of the file that was rotated last."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

READ_LIMIT_BYTES = 16 << 20
"""How much of the log's end is read."""
_ROTATED = ".1"
_TEXT_LIMIT = 2048
_REQUEST = "HTTP API Audit"

PAGES = "administration"
"""The message of lines about what administrators did in pages."""


class AuditEntry(msgspec.Struct, frozen=True):
    """A line of the audit log. Texts are cut; what a line does not have is empty."""

    time: str
    """RFC 3339, in UTC."""
    user: str
    """Of a request: the user, or `anonymous`; empty for what the server did by itself."""
    action: str
    """The method of a request and its operation; else the message."""
    object: str
    """The path of a request, or the tag or digest that was deleted."""
    repository: str
    status: str
    """Of the response."""
    result: str
    """`done`, `denied` or `failed`; for what the server did by itself its reason."""
    client: str
    """The client's address."""


class AuditFilter(msgspec.Struct, frozen=True):
    """Which lines. All that is not empty has to fit."""

    user: str = ""
    """The user's name."""
    repository: str = ""
    """Part of the repository's name."""
    action: str = ""
    """Part of the action, in any case."""
    status: str = ""
    """The beginning of the status: `4` for all that were refused."""

    def matches(self, entry: AuditEntry) -> bool:
        """Tell whether an entry fits."""
        return (
            (not self.user or entry.user == self.user)
            and self.repository in entry.repository
            and self.action.lower() in entry.action.lower()
            and entry.status.startswith(self.status)
        )


class AuditPage(msgspec.Struct, frozen=True):
    """A part of the lines that fit, newest first."""

    entries: list[AuditEntry]
    more: bool
    """Whether older lines of what was read fit as well."""
    bytes_read: int
    older: bool
    """Whether the log has older lines that were not read."""


def read_tail(
    path: Path, wanted: AuditFilter, limit: int, offset: int, limit_bytes: int = READ_LIMIT_BYTES
) -> AuditPage:
    """Return entries that fit, newest first, after `offset` newer ones. It blocks.

    At most `limit_bytes` of the end are read, across the file and the one that rotation calls `NAME.1`. Lines that
    cannot be read are left out. Raises OSError if the file cannot be read; one that is not there yet has no lines.
    """
    entries: list[AuditEntry] = []
    skipped, left_bytes, older = 0, limit_bytes, False
    for each in (path, path.with_name(f"{path.name}{_ROTATED}")):
        if left_bytes <= 0:
            older = older or each.exists()
            break
        content, cut = _end_of(each, left_bytes)
        left_bytes -= len(content)
        older = older or cut
        for line in reversed(content.split(b"\n")):
            entry = _entry(line)
            if entry is None or not wanted.matches(entry):
                continue
            if skipped < offset:
                skipped += 1
            elif len(entries) < limit:
                entries.append(entry)
            else:
                return AuditPage(entries, True, limit_bytes - left_bytes, older)
    return AuditPage(entries, False, limit_bytes - left_bytes, older)


def _end_of(path: Path, limit_bytes: int) -> tuple[bytes, bool]:
    """Return the whole lines at the end of a file, and whether there are lines before them. Raises OSError."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - limit_bytes)
            file.seek(start)
            content = file.read(limit_bytes)
    except FileNotFoundError:
        return b"", False
    return (content.partition(b"\n")[2] if start else content), start > 0


def _entry(line: bytes) -> AuditEntry | None:
    """Return what a line says, None if it is none of the audit log's."""
    try:
        found = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    message = _text(found, "message")
    is_request = message in {_REQUEST, PAGES}
    names = [message] if not is_request else list(_texts(found, "action", "operation"))
    return AuditEntry(
        time=_text(found, "time"),
        user=_text(found, "subject") if is_request else "",
        action=" ".join(names),
        object=next(_texts(found, "object", "tag", "reference", "digest"), ""),
        repository=_text(found, "repository"),
        status=_text(found, "status"),
        result=next(_texts(found, "result", "reason"), ""),
        client=_text(found, "clientIP"),
    )


def _texts(found: Mapping[str, Any], *names: str) -> Iterator[str]:
    return (text for text in (_text(found, name) for name in names) if text)


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return "" if value is None else str(value)[:_TEXT_LIMIT]
