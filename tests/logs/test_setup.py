"""What the program logs arrives in zot's fields, at the level that was asked for."""

import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zot.logs.fields import REQUEST_ID, fields
from zot.logs.formatters import json_line
from zot.logs.handler import LineHandler
from zot.logs.setup import AUDIT, LEVELS, Logs
from zot.logs.writer import LineWriter

_log = logging.getLogger("zot.test")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "zot.log"


@pytest.fixture
def logs(output: Path, tmp_path: Path) -> Iterator[Logs]:
    """Logs at level debug, with an audit log."""
    with Logs("debug", str(output), str(tmp_path / "audit.log")) as logs:
        yield logs


def written(logs: Logs, path: Path) -> list[dict[str, Any]]:
    """The lines of a log of these logs."""
    assert logs.writer.flush()
    if logs.audit_writer is not None:
        assert logs.audit_writer.flush()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_zots_fields(logs: Logs, output: Path) -> None:
    """Time, level, message, context fields, then caller, func and goroutine."""
    _log.info("repository %s adopted", "team/app", extra=fields(manifests=12, repository="team/app"))
    (line,) = written(logs, output)
    assert list(line) == ["time", "level", "message", "manifests", "repository", "caller", "func", "goroutine"]
    assert line["message"] == "repository team/app adopted"
    assert line["manifests"] == 12
    assert re.search(r"test_setup\.py:\d+$", line["caller"])
    assert line["func"] == "zot.test.test_a_line_has_zots_fields"


def test_an_error_is_told_with_its_traceback(logs: Logs, output: Path) -> None:
    """An exception's text is in `error`, where it came from in `traceback`."""
    try:
        raise ValueError("redis://user:hunter2hunter2@host")  # noqa: TRY301
    except ValueError:
        _log.exception("it failed")
    (line,) = written(logs, output)
    assert line["level"] == "error"
    assert line["error"] == "redis://user:******@host"
    assert "test_setup.py" in line["traceback"]


def test_secrets_are_masked(logs: Logs, output: Path) -> None:
    """Fields and messages are masked on their way into the file."""
    _log.warning("token Bearer abcdefgh12345", extra=fields(password="hunter2", params={"secretkey": "hunter2"}))
    written(logs, output)
    assert "hunter2" not in output.read_text()
    assert "abcdefgh12345" not in output.read_text()


def test_own_fields_cannot_be_replaced(logs: Logs, output: Path) -> None:
    """A field named like one of the line's own does not take its place."""
    _log.warning("true", extra=fields(message="false", level="info", time=0))
    (line,) = written(logs, output)
    assert (line["message"], line["level"]) == ("true", "warn")


def test_lines_name_the_request(logs: Logs, output: Path) -> None:
    """What is logged while a request is answered names it."""
    token = REQUEST_ID.set("abc-1")
    _log.info("during")
    REQUEST_ID.reset(token)
    _log.info("after")
    during, after = written(logs, output)
    assert during["requestId"] == "abc-1"
    assert "requestId" not in after


def test_the_audit_log_is_apart(logs: Logs, output: Path, tmp_path: Path) -> None:
    """Audit lines go to their own file and nowhere else, without caller, func and goroutine."""
    logging.getLogger(AUDIT).info("HTTP API Audit", extra=fields(subject="alice"))
    (line,) = written(logs, tmp_path / "audit.log")
    assert list(line) == ["time", "level", "message", "subject"]
    assert output.read_text() == ""


def test_without_an_audit_log_audit_lines_are_gone(output: Path) -> None:
    """No `log.audit`: audit lines are written nowhere."""
    with Logs("debug", str(output)) as logs:
        logging.getLogger(AUDIT).warning("HTTP API Audit")
        assert written(logs, output) == []


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", ["trace", "debug", "info", "warn", "error"]),
        ("debug", ["debug", "info", "warn", "error"]),
        ("INFO", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("warning", ["warn", "error"]),
        ("error", ["error"]),
        ("fatal", []),
        ("panic", []),
    ],
)
def test_levels_are_zots(level: str, shown: list[str], output: Path) -> None:
    """Each of zot's levels shows itself and what is graver; `fatal` and `panic` leave errors out."""
    with Logs(level, str(output)) as logs:
        for name in ("trace", "debug", "info", "warn", "error"):
            _log.log(LEVELS[name], "said")
        assert [line["level"] for line in written(logs, output)] == shown


def test_libraries_are_heard_from_warnings_on(logs: Logs, output: Path) -> None:
    """What a library says about itself below WARNING, which may hold secrets, is not logged at any level."""
    logging.getLogger("botocore").debug("request headers")
    logging.getLogger("asyncio").warning("slow callback")
    assert [line["message"] for line in written(logs, output)] == ["slow callback"]


@pytest.mark.filterwarnings("default")
def test_warnings_are_logged(logs: Logs, output: Path) -> None:
    """Python's warnings are lines like all others."""
    warnings.warn("soon gone", stacklevel=1)
    (line,) = written(logs, output)
    assert line["level"] == "warn"
    assert "soon gone" in line["message"]


def test_logging_is_put_back_at_the_end(output: Path) -> None:
    """After `close` the standard library's loggers are as they were."""
    root, own = logging.getLogger(), logging.getLogger("zot")
    before = (root.level, own.level, list(root.handlers))
    Logs("debug", str(output)).close()
    assert (root.level, own.level, list(root.handlers)) == before


def test_a_wrong_call_does_not_break_its_caller(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A message whose arguments do not fit is told on standard error, and the caller goes on."""
    writer = LineWriter(tmp_path / "log", json_line)
    LineHandler(writer).handle(logging.LogRecord("zot", logging.INFO, __file__, 1, "%d pieces", ("some",), None))
    writer.close()
    assert (tmp_path / "log").read_text() == ""
    assert "Arguments: ('some',)" in capfd.readouterr().err
