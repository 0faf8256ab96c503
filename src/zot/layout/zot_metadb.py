"""What zot knows and layouts do not (`meta.db`): users, API keys, stars; what was pulled and pushed, when, by whom."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from zot.accounts.interface import ApiKey
from zot.accounts.statistics import Statistic
from zot.layout.boltdb import Bolt
from zot.layout.protobuf import ProtobufBroken, fields, signed
from zot.oci.digest import InvalidDigestError, parse_digest
from zot.oci.names import InvalidNameError, Repository, parse_repository

# Fields of zot's messages RepoMeta, DescriptorStatistics, and of google.protobuf.Timestamp; of a map's entry.
_REPOSITORY_STATISTICS = 3
_DOWNLOADS, _PULLED, _PUSHED, _PUSHED_BY = 1, 2, 3, 4
_SECONDS, _NANOS = 1, 2
_KEY, _VALUE = 1, 2


class ZotUser(NamedTuple):
    """A user of zot's, with all that is theirs."""

    name: str
    groups: tuple[str, ...]
    keys: tuple[ApiKey, ...]
    stars: tuple[Repository, ...]
    bookmarks: tuple[Repository, ...]


class Unreadable(NamedTuple):
    """A record that cannot be taken over, and why."""

    what: str
    why: str


class _Key(msgspec.Struct, rename="camel"):
    created_at: datetime | None = None
    expiration_date: datetime | None = None
    creator_ua: str = ""
    last_used: datetime | None = None
    label: str = ""
    scopes: list[str] | None = None
    uuid: str = ""


class _User(msgspec.Struct):
    StarredRepos: list[str] | None = None
    BookmarkedRepos: list[str] | None = None
    Groups: list[str] | None = None
    APIKeys: dict[str, _Key] | None = None


def users(bolt: Bolt) -> Iterator[ZotUser | Unreadable]:
    """Iterate over the users. Raises BoltBroken."""
    for key, value in bolt.bucket(b"UserData"):
        name = key.decode(errors="replace")
        try:
            user = msgspec.json.decode(value, type=_User)
            yield ZotUser(
                name,
                tuple(user.Groups or ()),
                tuple(_api_key(name, hashed, each) for hashed, each in (user.APIKeys or {}).items()),
                tuple(map(parse_repository, user.StarredRepos or ())),
                tuple(map(parse_repository, user.BookmarkedRepos or ())),
            )
        except (ValueError, RecursionError) as error:
            yield Unreadable(f"user {name}", str(error))


def statistics(bolt: Bolt) -> Iterator[tuple[Repository, list[Statistic]] | Unreadable]:
    """Iterate over the repositories with the statistics of their manifests. Raises BoltBroken."""
    for key, value in bolt.bucket(b"RepoMeta"):
        name = key.decode(errors="replace")
        try:
            repository = parse_repository(name)
            entries = [_bytes(entry) for number, entry in fields(value) if number == _REPOSITORY_STATISTICS]
            yield repository, [_statistic(dict(fields(entry))) for entry in entries]
        except (InvalidNameError, InvalidDigestError, ProtobufBroken, UnicodeDecodeError) as error:
            yield Unreadable(f"statistics of {name}", str(error))


def _statistic(entry: dict[int, int | bytes]) -> Statistic:
    found: dict[int, Any] = dict(fields(_bytes(entry.get(_VALUE, b""))))
    pulls = found.get(_DOWNLOADS, 0)
    if not isinstance(pulls, int):
        raise ProtobufBroken("a count that is no integer")
    return Statistic(
        parse_digest(_bytes(entry.get(_KEY, b"")).decode()),
        max(0, signed(pulls)),
        _time(found.get(_PULLED, b"")),
        _time(found.get(_PUSHED, b"")),
        _bytes(found.get(_PUSHED_BY, b"")).decode(),
    )


def _time(message: int | bytes) -> float | None:
    """Return seconds since the epoch, None for what Go calls no time: the year 1."""
    found = dict(fields(_bytes(message)))
    seconds, nanos = found.get(_SECONDS, 0), found.get(_NANOS, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        raise ProtobufBroken("a time that is no integer")
    return signed(seconds) + nanos / 10**9 if signed(seconds) > 0 else None


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufBroken("an integer where bytes should be")
    return value


def _api_key(owner: str, hashed: str, key: _Key) -> ApiKey:
    return ApiKey(
        id=key.uuid,
        owner=owner,
        hash=hashed,
        label=key.label,
        # zot keeps scopes and enforces none: as limits they would lock out whoever has such a key.
        scopes=(),
        created_s=_seconds(key.created_at) or 0.0,
        expires_s=_seconds(key.expiration_date),
        last_used_s=_seconds(key.last_used),
        creator_agent=key.creator_ua,
    )


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time is not None and time.year > 1 else None
