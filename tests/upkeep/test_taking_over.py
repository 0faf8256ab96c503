"""The first start on a directory of zot's."""

from __future__ import annotations

from pathlib import Path

import apsw

from layout.test_zot_metadb import EMPTY_CONFIG, WRITTEN
from upkeep.operator_place import Place


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    """Return what a query finds."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    found: list[tuple[object, ...]] = connection.execute(query).fetchall()
    connection.close()
    return found


def test_what_zot_knew_is_taken_over_once(tmp_path: Path) -> None:
    """Users, keys, stars, statistics are there after the first start, the same after the second; zot's file stays."""
    place = Place(tmp_path, {})
    place.root.mkdir()
    (place.root / "meta.db").write_bytes(WRITTEN)
    for _ in range(2):
        with place.serve():
            pass
    directory = place.root / ".zot"
    assert rows(directory / "identity.db", "SELECT name FROM user ORDER BY name") == [("alice",), ("carol",)]
    assert rows(directory / "identity.db", "SELECT owner, label FROM api_key") == [("alice", "ci")]
    assert rows(directory / "identity.db", "SELECT owner, repository FROM star") == [("alice", "team/app")]
    query = f"SELECT pulls, pushed_by FROM statistic WHERE digest = '{EMPTY_CONFIG}'"
    assert rows(directory / "activity.db", query) == [(3, "alice")]
    assert (place.root / "meta.db").read_bytes() == WRITTEN
    assert "not taken over from zot: user bob" in (tmp_path / "zot.log").read_text()


def test_a_broken_database_keeps_nobody_from_serving(tmp_path: Path) -> None:
    """What cannot be read is said, and the server starts."""
    place = Place(tmp_path, {})
    place.root.mkdir()
    (place.root / "meta.db").write_bytes(b"no database")
    with place.serve():
        pass
    assert "nothing is taken over" in (tmp_path / "zot.log").read_text()
