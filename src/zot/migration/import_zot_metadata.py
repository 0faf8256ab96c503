"""Import zot's database on the first start on its directory: users, API keys, stars, statistics."""

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
from zot.statistics.interface import StatisticsStore
from zot.storage.disk import Disk

_log = logging.getLogger("zot.server")

_VERSION = 2
"""Version 1 refused a whole record if a part was unreadable: all statistics, since each has such a part of zot's."""


class _Found(NamedTuple):
    records: list[ZotUser | ZotStatistics]
    unreadable: list[UnreadableEntry]


async def import_zot_metadata(
    state: StateDirectory, owner: str, accounts: AccountsEngine, statistics_store: StatisticsStore, pool: ThreadPool
) -> None:
    """Import users with their groups, API keys, stars and bookmarks, and statistics, from zot's `meta.db`.

    Users are imported first, since requests with an API key wait for them. The file is read once and not changed, so
    that operators can return to zot. Unreadable records are named in the log. A start after an interrupted import
    imports again, and counts of pulls may double. Records that an earlier version of this program refused are imported
    by the first start of a later one. Raises AccountsUnavailableError, StatisticsUnavailableError.
    """
    version = _imported_version(state.zot_imported)
    if version >= _VERSION or not state.zot_metadata.exists():
        return
    try:
        found_users = await pool.run(_read, state.zot_metadata, users, version)
        await _import_users(accounts, found_users, pool)
        _mark(state.zot_accounts_settled, owner)
        found_statistics = await pool.run(_read, state.zot_metadata, statistics, version)
        repositories = await _import_statistics(statistics_store, found_statistics)
    except (OSError, InvalidBoltError) as error:
        _log.error("zot's database %s cannot be read, and is not imported: %s", state.zot_metadata, error)
        _mark(state.zot_accounts_settled, owner)
        return
    _mark(state.zot_imported, json.dumps({"version": _VERSION}))
    imported = [each for each in found_users.records if isinstance(each, ZotUser)]
    _log.info(
        "imported from zot: %d users, %d API keys, statistics of %d repositories",
        len(imported),
        sum(len(user.keys) for user in imported),
        repositories,
    )


def accounts_awaited(state: StateDirectory, owner: str, *, read_only: bool) -> Callable[[], bool]:
    """Return a function that tells whether zot's users and API keys are still to be imported."""
    settled = read_only or not state.zot_metadata.exists()

    def awaited() -> bool:
        nonlocal settled
        settled = settled or state.zot_imported.exists() or _read_text(state.zot_accounts_settled) == owner
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
    """Return the records to import, and the unreadable ones. Raises OSError, InvalidBoltError."""
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
            _log.warning("not imported from zot: %s: %s", each.what, each.why)


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
    """Add the statistics and return the number of repositories that have some."""
    _warn(found.unreadable)
    repositories = 0
    for each in found.records:
        if isinstance(each, ZotStatistics) and each.statistics:
            repositories += 1
            await store.add({(each.repository, statistic.digest): statistic for statistic in each.statistics})
    return repositories
