"""The migration of an SQLite file: each step whole or not at all, in one process of several."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from zot.catalog.sqlite.schema import SCHEMA as CATALOG
from zot.foundation.sqlite_file import FileKind, SqliteFile
from zot.foundation.sqlite_schema import SchemaMismatchError, SqliteSchema, immediate
from zot.foundation.threads import ThreadPool

STEPS = ("CREATE TABLE one (x INTEGER);", "CREATE TABLE two (x INTEGER); INSERT INTO two VALUES (1);")
FAILS_MIDWAY = (STEPS[0], "CREATE TABLE two (x INTEGER); INSERT INTO nowhere VALUES (1);")
APPLICATION = 0x7A6F7478


class UnavailableError(Exception):
    """The file cannot be used."""


def kind(*migrations: str) -> FileKind:
    """Return a kind of file with these steps."""
    return FileKind("tests", SqliteSchema(APPLICATION, migrations), "full", UnavailableError)


def state(path: Path) -> tuple[int, list[str]]:
    """Return the version and the tables, as another library reads them."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    return version, [name for (name,) in tables]


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """A thread for the files."""
    pool = ThreadPool("files", 1, 8)
    yield pool
    pool.close()


async def test_a_step_that_fails_midway_changes_nothing(tmp_path: Path, pool: ThreadPool) -> None:
    """The steps before it stay, nothing of it does, and a program whose step is right goes on from there at once."""
    path = tmp_path / "some.db"
    broken = SqliteFile(path, kind(*FAILS_MIDWAY), pool)
    with pytest.raises(UnavailableError, match="no such table: nowhere"):
        broken.read("SELECT 1", ())
    assert state(path) == (1, ["one"])
    right = SqliteFile(path, kind(*STEPS), pool)
    assert right.read("SELECT x FROM two", ()) == [(1,)]
    assert state(path) == (2, ["one", "two"])
    await right.close()
    await broken.close()


@pytest.mark.parametrize("content", ["other program", "newer version"])
def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, pool: ThreadPool, content: str) -> None:
    """A database of another program, or of a newer version, is refused with what to do, and stays as it was."""
    path = tmp_path / "some.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.pragma("application_id", APPLICATION if content == "newer version" else 1)
        connection.pragma("user_version", 9)
    expected = "start that version" if content == "newer version" else "another program"
    with pytest.raises(UnavailableError, match=expected):
        SqliteFile(path, kind(*STEPS), pool)
    assert state(path) == (9, ["theirs"])


def test_a_present_file_is_not_written_to(tmp_path: Path) -> None:
    """A process opens it although another one holds the lock of the writer, as on a full disk."""
    path, schema = tmp_path / "some.db", SqliteSchema(APPLICATION, STEPS)
    with closing(apsw.Connection(str(path))) as first, closing(apsw.Connection(str(path))) as second:
        schema.migrate(first, path)
        with immediate(first):
            schema.migrate(second, path)


def test_the_catalog_is_migrated_alike(tmp_path: Path) -> None:
    """Each released step of the catalog is carried out whole: one that fails leaves the version before it."""
    path = tmp_path / "catalog.db"
    for number in range(1, CATALOG.version):
        broken = CATALOG._replace(migrations=(*CATALOG.migrations[:number], "CREATE TABLE half (x); SELECT nothing;"))
        with closing(apsw.Connection(str(path))) as connection:
            with pytest.raises(apsw.SQLError):
                broken.migrate(connection, path)
            assert CATALOG.version_of(connection, path) == number
            assert "half" not in state(path)[1]
    with closing(apsw.Connection(str(path))) as connection:
        CATALOG.migrate(connection, path)
        assert CATALOG.version_of(connection, path) == CATALOG.version
        with pytest.raises(SchemaMismatchError, match="another program"):
            SqliteSchema(1, ()).version_of(connection, path)
