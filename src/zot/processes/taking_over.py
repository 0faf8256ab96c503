"""The first start on a directory of zot's: what its database knows and layouts do not is taken over, once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from zot.accounts.build import IDENTITY_FILE
from zot.accounts.interface import Accounts
from zot.accounts.sqlite import SqliteAccounts
from zot.accounts.statistics import Statistic, StatisticsStore
from zot.app import Core
from zot.layout.boltdb import Bolt, BoltBroken
from zot.layout.zot_metadb import Unreadable, ZotUser, statistics, users
from zot.oci.names import Repository
from zot.storage.disk import Disk

_log = logging.getLogger("zot.server")

_DONE = "zot-taken-over"


class _Found(NamedTuple):
    users: list[ZotUser]
    statistics: list[tuple[Repository, list[Statistic]]]
    unreadable: list[Unreadable]


async def take_over(core: Core) -> None:
    """Take over users with their groups, API keys, stars and bookmarks, and statistics, from zot's `meta.db`.

    It is only read, and only once: the way back stays open. What cannot be taken over is named in the log. If it is
    broken off, the next start does it again, and counts of pulls may double. Raises AccountsUnavailable,
    StatisticsUnavailable.
    """
    database, done = Path(core.plan.roots[0], "meta.db"), Path(core.plan.catalog_directory, _DONE)
    if core.read_only or done.exists() or not database.exists():  # noqa: ASYNC240 - nothing is served here yet
        return
    try:
        found = await core.pools.durable.run(_read, str(database))
    except (OSError, BoltBroken) as error:
        _log.error("zot's database %s cannot be read, nothing is taken over from it: %s", database, error)
        return
    for each in found.unreadable:
        _log.warning("not taken over from zot: %s: %s", each.what, each.why)
    if found.users:
        accounts = SqliteAccounts(Path(core.plan.catalog_directory, IDENTITY_FILE), core.pools.durable)
        try:
            for user in found.users:
                await _add(accounts, user)
        finally:
            await accounts.close()
    await _count(core.statistics, found.statistics)
    await core.pools.durable.run(done.touch)
    _log.info(
        "taken over from zot: %d users, %d API keys, statistics of %d repositories",
        len(found.users),
        sum(len(user.keys) for user in found.users),
        len(found.statistics),
    )


def _read(path: str) -> _Found:
    found = _Found([], [], [])
    disk = Disk()
    with disk.open(path) as file:
        bolt = Bolt(lambda offset, length: disk.read(file, length, offset), disk.status_of(file).st_size)
        for user in users(bolt):
            if isinstance(user, Unreadable):
                found.unreadable.append(user)
            else:
                found.users.append(user)
        for each in statistics(bolt):
            if isinstance(each, Unreadable):
                found.unreadable.append(each)
            else:
                found.statistics.append(each)
    return found


async def _add(accounts: Accounts, user: ZotUser) -> None:
    await accounts.record_login(user.name, user.groups)
    for key in user.keys:
        if await accounts.key(key.hash) is None:
            await accounts.add_key(key)
    for repository in set(user.stars) - set(await accounts.starred(user.name)):
        await accounts.toggle_star(user.name, repository)
    for repository in set(user.bookmarks) - set(await accounts.bookmarked(user.name)):
        await accounts.toggle_bookmark(user.name, repository)


async def _count(store: StatisticsStore, found: list[tuple[Repository, list[Statistic]]]) -> None:
    for repository, counted in found:
        if counted:
            await store.add({(repository, each.digest): each for each in counted})
