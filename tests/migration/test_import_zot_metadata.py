"""The import of zot's database on the first start on its directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from admin.harness import Place
from migration.test_zot_metadb import EMPTY_CONFIG, WRITTEN
from zot.accounts.interface import AccountsUnavailableError
from zot.accounts.sqlite import SqliteAccounts
from zot.config.state_directory import StateDirectory
from zot.foundation.threads import ThreadPool
from zot.migration.import_zot_metadata import accounts_awaited

if TYPE_CHECKING:
    pass


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Threads for a database."""
    pool = ThreadPool("accounts", 1, 64)
    yield pool
    pool.close()


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    found: list[tuple[object, ...]] = connection.execute(query).fetchall()
    connection.close()
    return found


def test_zot_metadata_is_imported_once(tmp_path: Path) -> None:
    """Users, keys, stars and statistics are imported by the first start only; zot's file stays."""
    place = Place(tmp_path, {})
    place.root.mkdir()
    (place.root / "meta.db").write_bytes(WRITTEN)
    for _ in range(2):
        with place.serve():
            pass
    directory = place.root / ".zot"
    assert rows(directory / "identity.db", "SELECT name FROM user ORDER BY name") == [
        ("alice",),
        ("bob",),
        ("carol",),
    ]
    assert rows(directory / "identity.db", "SELECT owner, label FROM api_key") == [("alice", "ci")]
    assert rows(directory / "identity.db", "SELECT owner, repository FROM star") == [("alice", "team/app")]
    query = f"SELECT pulls, pushed_by FROM statistic WHERE digest = '{EMPTY_CONFIG}'"
    assert rows(directory / "activity.db", query) == [(3, "alice")]
    assert (place.root / "meta.db").read_bytes() == WRITTEN
    assert "not imported from zot: user bob: star" in (tmp_path / "zot.log").read_text()


def test_what_an_earlier_version_refused_is_imported(tmp_path: Path) -> None:
    """Records that version 1 refused are imported by a later version; the others stay as they are."""
    place = Place(tmp_path, {})
    place.root.mkdir()
    (place.root / "meta.db").write_bytes(WRITTEN)
    directory = place.root / ".zot"
    directory.mkdir()
    (directory / "zot-taken-over").touch()
    for _ in range(2):
        with place.serve():
            pass
        # alice and the statistics were imported by version 1: what became of them since is not undone.
        assert rows(directory / "identity.db", "SELECT name FROM user") == [("bob",)]
        assert rows(directory / "activity.db", "SELECT count(*) FROM statistic") == [(0,)]


async def test_an_unknown_key_is_no_wrong_one_before_the_import(tmp_path: Path, pool: ThreadPool) -> None:
    """Until zot's users are imported, or cannot be, an unknown key does not count as invalid."""
    root, directory = tmp_path / "root", tmp_path / "catalog"
    root.mkdir()
    directory.mkdir()

    def awaited(*, read_only: bool = False, boot: str = "now") -> Callable[[], bool]:
        state = StateDirectory(directory, directory, root / "_sessions", root / "meta.db")
        return accounts_awaited(state, boot, read_only=read_only)

    assert not awaited()()
    (root / "meta.db").write_bytes(WRITTEN)
    assert not awaited(read_only=True)()
    waiting = awaited()
    accounts = SqliteAccounts(directory / "identity.db", pool, waiting)
    with pytest.raises(AccountsUnavailableError, match="imported"):
        await accounts.key("unknown")
    (directory / "zot-accounts-settled").write_text("earlier")
    assert waiting()
    (directory / "zot-accounts-settled").write_text("now")
    assert await accounts.key("unknown") is None
    assert awaited(boot="later")()
    (directory / "zot-taken-over").touch()
    assert not awaited(boot="later")()
    await accounts.close()


def test_a_broken_database_does_not_prevent_a_start(tmp_path: Path) -> None:
    """An unreadable database is logged, and the server starts."""
    place = Place(tmp_path, {})
    place.root.mkdir()
    (place.root / "meta.db").write_bytes(b"no database")
    with place.serve():
        pass
    assert "is not imported" in (tmp_path / "zot.log").read_text()
