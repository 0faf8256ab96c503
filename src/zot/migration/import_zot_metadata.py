"""The first start on a directory of zot's: what its database knows and layouts do not is imported, once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from zot.accounts.engine import AccountsEngine
from zot.accounts.interface import Accounts
from zot.config.state_directory import StateDirectory
from zot.foundation.threads import ThreadPool
from zot.migration.boltdb import BoltReader, InvalidBoltError
from zot.migration.zot_metadb import UnreadableEntry, ZotStatistics, ZotUser, record_name, statistics, users
from zot.statistics.statistics import StatisticsStore
from zot.storage.disk import Disk

_log = logging.getLogger("zot.server")

_VERSION = 2
"""1 refused a record as a whole if a part of it was unreadable: all statistics, since zot has such a part in each."""


class _Found(NamedTuple):
    records: list[ZotUser | ZotStatistics]
    unreadable: list[UnreadableEntry]


async def import_zot_metadata(
    state: StateDirectory, boot: str, accounts: AccountsEngine, statistics_store: StatisticsStore, pool: ThreadPool
) -> None:
    """Import users with their groups, API keys, stars and bookmarks, and statistics, from zot's `meta.db`.

    The users come first: requests with an API key wait for them. The file is only read, and only once: the way back
    stays open. What is unreadable is named in the log. A start after an interrupted import imports again, and counts
    of pulls may double. What an earlier version of this program refused is imported by the first start of a later
    one. Raises AccountsUnavailableError, StatisticsUnavailableError.
    """
    version = _imported_version(state.zot_imported)
    if version >= _VERSION or not state.zot_metadata.exists():
        return
    try:
        found_users = await pool.run(_read, state.zot_metadata, users, version)
        await _import_users(accounts, found_users, pool)
        _mark(state.zot_accounts_settled, boot)
        found_statistics = await pool.run(_read, state.zot_metadata, statistics, version)
        repositories = await _import_statistics(statistics_store, found_statistics)
    except (OSError, InvalidBoltError) as error:
        _log.error("zot's database %s cannot be read, nothing is taken over from it: %s", state.zot_metadata, error)
        _mark(state.zot_accounts_settled, boot)
        return
    _mark(state.zot_imported, json.dumps({"version": _VERSION}))
    taken = [each for each in found_users.records if isinstance(each, ZotUser)]
    _log.info(
        "taken over from zot: %d users, %d API keys, statistics of %d repositories",
        len(taken),
        sum(len(user.keys) for user in taken),
        repositories,
    )


def accounts_awaited(state: StateDirectory, boot: str, *, read_only: bool) -> Callable[[], bool]:
    """Return a test for whether zot's users, and with them their API keys, are still to be imported."""
    settled = read_only or not state.zot_metadata.exists()

    def awaited() -> bool:
        nonlocal settled
        settled = settled or state.zot_imported.exists() or _read_text(state.zot_accounts_settled) == boot
        return not settled

    return awaited


def _imported_version(done: Path) -> int:
    text = _read_text(done)
    if text is None:
        return 0
    try:
        return int(json.loads(text)["version"])
    except (ValueError, KeyError, TypeError):  # version 1 left the file empty
        return 1


def _mark(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        _log.error("%s cannot be written: the next start imports from zot again: %s", path, error)


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _read(
    path: Path, read: Callable[[BoltReader], Iterator[ZotUser | ZotStatistics | UnreadableEntry]], imported_version: int
) -> _Found:
    """Return what is to be imported, and what is unreadable. Raises OSError, InvalidBoltError."""
    disk = Disk()
    with disk.open(disk.real_path(str(path))) as file:
        bolt = BoltReader(lambda offset, length: disk.read(file, length, offset), disk.status_of(file).st_size)
        found = list(read(bolt))
    unreadable = [each for each in found if isinstance(each, UnreadableEntry)]
    records = [each for each in found if not isinstance(each, UnreadableEntry)]
    if imported_version:
        refused = {each.record for each in unreadable}
        records = [each for each in records if record_name(each) in refused]
    return _Found(records, unreadable)


def _warn(unreadable: Iterable[UnreadableEntry]) -> None:
    for each in unreadable:
        if not each.expected:
            _log.warning("not taken over from zot: %s: %s", each.what, each.why)


async def _import_users(engine: AccountsEngine, found: _Found, pool: ThreadPool) -> None:
    _warn(found.unreadable)
    if not found.records:
        return
    accounts = engine.open_accounts(pool)
    try:
        for user in found.records:
            if isinstance(user, ZotUser):
                await _add(accounts, user)
    finally:
        await accounts.close()


async def _add(accounts: Accounts, user: ZotUser) -> None:
    await accounts.record_login(user.name, user.groups)
    for key in user.keys:
        if await accounts.key(key.hash) is None:
            await accounts.add_key(key)
    for repository in set(user.stars) - set(await accounts.starred(user.name)):
        await accounts.toggle_star(user.name, repository)
    for repository in set(user.bookmarks) - set(await accounts.bookmarked(user.name)):
        await accounts.toggle_bookmark(user.name, repository)


async def _import_statistics(store: StatisticsStore, found: _Found) -> int:
    """Add the statistics and return of how many repositories there were some."""
    _warn(found.unreadable)
    repositories = 0
    for each in found.records:
        if isinstance(each, ZotStatistics) and each.statistics:
            repositories += 1
            await store.add({(each.repository, statistic.digest): statistic for statistic in each.statistics})
    return repositories
