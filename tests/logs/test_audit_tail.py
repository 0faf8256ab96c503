"""The newest lines of the audit log are read from its end, within a bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zot.logs.audit_tail import AuditFilter, read_tail

ALL = AuditFilter()


def line(number: int, **more: Any) -> bytes:
    """Return the line of a request."""
    fields = {"time": f"2026-01-01T00:00:{number:02}Z", "message": "HTTP API Audit", "subject": f"user{number}"}
    return json.dumps(fields | more).encode() + b"\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def users(log: Path, wanted: AuditFilter = ALL, limit: int = 100, offset: int = 0, **more: int) -> list[str]:
    return [each.user for each in read_tail(log, wanted, limit, offset, **more).entries]


def test_the_newest_line_comes_first(log: Path) -> None:
    log.write_bytes(b"".join(line(number) for number in range(3)))
    assert users(log) == ["user2", "user1", "user0"]
    assert users(log, limit=1, offset=1) == ["user1"]
    assert read_tail(log, ALL, 2, 0).more
    assert not read_tail(log, ALL, 2, 1).more


def test_a_log_that_is_not_there_yet_has_no_lines(log: Path) -> None:
    found = read_tail(log, ALL, 10, 0)
    assert (found.entries, found.more, found.older) == ([], False, False)


def test_the_file_that_was_rotated_last_is_read_as_well(log: Path) -> None:
    log.with_name("audit.log.1").write_bytes(line(0) + line(1))
    assert users(log) == ["user1", "user0"]
    log.write_bytes(line(2))
    assert users(log) == ["user2", "user1", "user0"]


def test_only_the_end_is_read(log: Path) -> None:
    """A line that begins before the bound is left out, and so is all that is older."""
    log.write_bytes(b"".join(line(number) for number in range(10)))
    size = len(line(0))
    found = read_tail(log, ALL, 100, 0, 3 * size - 1)
    assert [each.user for each in found.entries] == ["user9", "user8"]
    assert found.older
    log.with_name("audit.log.1").write_bytes(line(20))
    assert users(log, limit_bytes=3 * size - 1) == ["user9", "user8"]


def test_lines_that_cannot_be_read_are_left_out(log: Path) -> None:
    torn = line(1)[:-10]
    log.write_bytes(line(0) + torn + b"\n\xff\n[]\n" + b"[" * 100_000 + b"\n" + line(2))
    assert users(log) == ["user2", "user0"]


def test_values_of_any_type_are_shown_as_text(log: Path) -> None:
    log.write_bytes(line(0, status=201, object=["a"], repository={"x": 1}, clientIP=None))
    (found,) = read_tail(log, ALL, 10, 0).entries
    assert (found.status, found.object, found.repository, found.client) == ("201", "['a']", "{'x': 1}", "")


def test_long_texts_are_cut(log: Path) -> None:
    log.write_bytes(line(0, object="x" * 100_000))
    (found,) = read_tail(log, ALL, 10, 0).entries
    assert len(found.object) == 2048


def test_filters_have_to_fit_all(log: Path) -> None:
    log.write_bytes(
        line(0, action="PUT", operation="manifest.push", repository="team/app", status=201)
        + line(1, action="DELETE", operation="manifest.delete", repository="team/app", status=403)
        + line(2, action="DELETE", operation="blob.delete", repository="other", status=202)
    )
    assert users(log, AuditFilter(action="delete")) == ["user2", "user1"]
    assert users(log, AuditFilter(action="manifest", repository="team")) == ["user1", "user0"]
    assert users(log, AuditFilter(status="4")) == ["user1"]
    assert users(log, AuditFilter(user="user2")) == ["user2"]
    assert users(log, AuditFilter(user="user")) == []


def test_what_the_server_did_by_itself_has_no_user(log: Path) -> None:
    """The subject of such a line is a manifest, not a user."""
    gone = {"message": "removed manifest without reference", "subject": "sha256:0", "repository": "a", "reason": "gone"}
    log.write_bytes(line(0, **gone, tag="1.0"))
    (found,) = read_tail(log, ALL, 10, 0).entries
    assert (found.user, found.action, found.object, found.result) == ("", gone["message"], "1.0", "gone")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        read_tail(tmp_path, ALL, 10, 0)
