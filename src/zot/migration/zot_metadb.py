"""Read zot's `meta.db`: users, API keys, stars, and the statistics of pulls and pushes.

An unreadable part of a record does not affect the other parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from zot.accounts.interface import ApiKey
from zot.migration.boltdb import BoltReader
from zot.migration.protobuf import InvalidProtobufError, fields, signed
from zot.oci.digest import parse_digest
from zot.oci.names import Repository, parse_repository
from zot.statistics.interface import Statistic

Part = TypeVar("Part")
Read = TypeVar("Read")

# Fields of zot's messages RepoMeta, DescriptorStatistics, and of google.protobuf.Timestamp; of a map's entry.
_REPOSITORY_STATISTICS = 3
_DOWNLOADS, _PULLED, _PUSHED, _PUSHED_BY = 1, 2, 3, 4
_SECONDS, _NANOS = 1, 2
_KEY, _VALUE = 1, 2


class ZotUser(NamedTuple):
    """A user of zot's, with the readable parts of the record."""

    name: str
    groups: tuple[str, ...]
    keys: tuple[ApiKey, ...]
    stars: tuple[Repository, ...]
    bookmarks: tuple[Repository, ...]


class ZotStatistics(NamedTuple):
    """The readable statistics of a repository's manifests."""

    repository: Repository
    statistics: tuple[Statistic, ...]


class UnreadableEntry(NamedTuple):
    """A record, or a part of one, that is not imported, with the reason."""

    record: str
    """The `record_name` of the record."""
    what: str
    why: str
    expected: bool = False
    """Whether zot writes such a part itself, without a meaning."""


class _Key(msgspec.Struct, rename="camel"):
    created_at: datetime | None = None
    expiration_date: datetime | None = None
    creator_ua: str = ""
    last_used: datetime | None = None
    label: str = ""
    scopes: list[str] | None = None
    uuid: str = ""


class _User(msgspec.Struct):
    StarredRepos: list[Any] | None = None
    BookmarkedRepos: list[Any] | None = None
    Groups: list[Any] | None = None
    APIKeys: dict[str, msgspec.Raw] | None = None


def record_name(record: ZotUser | ZotStatistics) -> str:
    """Return the name of a record in the log and in `UnreadableEntry`."""
    return f"user {record.name}" if isinstance(record, ZotUser) else f"statistics of {record.repository}"


def users(bolt: BoltReader) -> Iterator[ZotUser | UnreadableEntry]:
    """Iterate over the users, each followed by its unreadable parts. Raises InvalidBoltError."""
    for key, value in bolt.bucket(b"UserData"):
        name = key.decode(errors="replace")
        parts = _Parts(f"user {name}")
        try:
            user = msgspec.json.decode(value, type=_User)
        except (ValueError, RecursionError) as error:
            yield UnreadableEntry(parts.record, parts.record, str(error))
            continue
        yield ZotUser(
            name,
            parts.readable("group", _text, user.Groups or ()),
            parts.readable("API key", partial(_api_key, name), (user.APIKeys or {}).items()),
            parts.readable("star", _repository, user.StarredRepos or ()),
            parts.readable("bookmark", _repository, user.BookmarkedRepos or ()),
        )
        yield from parts.unreadable


def statistics(bolt: BoltReader) -> Iterator[ZotStatistics | UnreadableEntry]:
    """Iterate over the repositories' statistics, each followed by its unreadable entries.

    Raises InvalidBoltError.
    """
    for key, value in bolt.bucket(b"RepoMeta"):
        name = key.decode(errors="replace")
        parts = _Parts(f"statistics of {name}")
        try:
            repository = parse_repository(name)
            entries = [_bytes(entry) for number, entry in fields(value) if number == _REPOSITORY_STATISTICS]
        except ValueError as error:
            yield UnreadableEntry(parts.record, parts.record, str(error))
            continue
        yield ZotStatistics(repository, parts.readable("an entry", _statistic, entries))
        yield from parts.unreadable


class _Parts:
    """Parts of a record, read one by one."""

    def __init__(self, record: str) -> None:
        self.record = record
        self.unreadable: list[UnreadableEntry] = []

    def readable(self, kind: str, read: Callable[[Part], Read], parts: Iterable[Part]) -> tuple[Read, ...]:
        found: list[Read] = []
        for part in parts:
            try:
                found.append(read(part))
            except _NoDigestError as error:
                self.unreadable.append(
                    UnreadableEntry(self.record, f"{self.record}: {kind}", str(error), expected=True)
                )
            except (ValueError, RecursionError) as error:
                self.unreadable.append(UnreadableEntry(self.record, f"{self.record}: {kind}", str(error)))
        return tuple(found)


class _NoDigestError(ValueError):
    """zot keeps an entry without a digest in each repository."""


def _statistic(message: bytes) -> Statistic:
    entry = dict(fields(message))
    if not entry.get(_KEY):
        raise _NoDigestError("it has no digest")
    found: dict[int, Any] = dict(fields(_bytes(entry.get(_VALUE, b""))))
    pulls = found.get(_DOWNLOADS, 0)
    if not isinstance(pulls, int):
        raise InvalidProtobufError("a count that is not an integer")
    return Statistic(
        parse_digest(_bytes(entry.get(_KEY, b"")).decode()),
        max(0, signed(pulls)),
        _time(found.get(_PULLED, b"")),
        _time(found.get(_PUSHED, b"")),
        _bytes(found.get(_PUSHED_BY, b"")).decode(),
    )


def _time(message: int | bytes) -> float | None:
    """Return seconds since the epoch, or None for Go's zero time, the year 1."""
    found = dict(fields(_bytes(message)))
    seconds, nanos = found.get(_SECONDS, 0), found.get(_NANOS, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        raise InvalidProtobufError("a time that is not an integer")
    return signed(seconds) + nanos / 10**9 if signed(seconds) > 0 else None


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise InvalidProtobufError("an integer in place of bytes")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")  # noqa: TRY004 - the record is invalid, not the program
    return value


def _repository(value: object) -> Repository:
    return parse_repository(_text(value))


def _api_key(owner: str, entry: tuple[str, msgspec.Raw]) -> ApiKey:
    hashed, record = entry
    key = msgspec.json.decode(record, type=_Key)
    return ApiKey(
        id=key.uuid,
        owner=owner,
        hash=hashed,
        label=key.label,
        # zot keeps scopes without enforcing them: as limits they would lock out the owners of such keys.
        scopes=(),
        created_s=_seconds(key.created_at) or 0.0,
        expires_s=_seconds(key.expiration_date),
        last_used_s=_seconds(key.last_used),
        creator_agent=key.creator_ua,
    )


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time is not None and time.year > 1 else None
