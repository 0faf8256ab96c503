"""Lines reach the file whole and in order, and nobody waits for them."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from zot.logs.formatters import json_line
from zot.logs.writer import LineWriter


class Said:
    """A line that says one thing."""

    def __init__(self, message: str, size_bytes: int = 10) -> None:
        self.message = message
        self.size_bytes = size_bytes

    def values(self) -> dict[str, object]:
        return {"time": 0, "level": "info", "message": self.message}


class Bad(Said):
    """A line that cannot be put into words."""

    def values(self) -> dict[str, object]:
        raise ValueError("no words for it")


class Slow(Said):
    """A line whose writing waits for the test."""

    def __init__(self) -> None:
        super().__init__("slow", 60)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def values(self) -> dict[str, object]:
        self.begun.set()
        assert self.go_on.wait(10)
        return super().values()


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, each of which is JSON."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def messages(path: Path) -> list[str]:
    """The messages of a log."""
    return [line["message"] for line in lines(path)]


def test_all_lines_are_there_in_order_after_close(tmp_path: Path) -> None:
    """What was written before `close` is in the file when it returns, in the order of writing; twice is once."""
    writer = LineWriter(tmp_path / "log", json_line)
    for number in range(1000):
        writer.write(Said(str(number)), keep=False)
    writer.close()
    writer.close()
    assert messages(tmp_path / "log") == [str(number) for number in range(1000)]


def test_flush_returns_when_lines_are_written(tmp_path: Path) -> None:
    """After `flush` the lines taken so far are in the file."""
    writer = LineWriter(tmp_path / "log", json_line)
    writer.write(Said("first"), keep=False)
    assert writer.flush()
    assert messages(tmp_path / "log") == ["first"]
    writer.close()


def test_the_file_is_private_and_appended_to(tmp_path: Path) -> None:
    """A new file has mode 0600, one that exists is kept and grows."""
    path = tmp_path / "log"
    for _ in range(2):
        writer = LineWriter(path, json_line)
        writer.write(Said("once"), keep=False)
        writer.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert messages(path) == ["once", "once"]


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    """Whoever configures an impossible path hears of it at start."""
    with pytest.raises(FileNotFoundError):
        LineWriter(tmp_path / "missing" / "log", json_line)


def test_a_full_queue_drops_what_need_not_be_kept_and_says_so(tmp_path: Path) -> None:
    """Beyond the limit lines are dropped and counted, kept ones only beyond theirs; the log says how many."""
    writer = LineWriter(tmp_path / "log", json_line, limit_bytes=100, kept_limit_bytes=200)
    slow = Slow()
    writer.write(slow, keep=False)
    assert slow.begun.wait(10)
    writer.write(Said("dropped", 60), keep=False)
    writer.write(Said("kept", 60), keep=True)
    writer.write(Said("too much even so", 100), keep=True)
    slow.go_on.set()
    assert writer.flush()
    writer.write(Said("room again", 60), keep=False)
    writer.close()
    assert writer.dropped == 2
    assert messages(tmp_path / "log") == ["slow", "log lines dropped", "kept", "room again"]
    assert lines(tmp_path / "log")[1]["lines"] == 2


def test_a_line_that_fails_ends_nothing(tmp_path: Path) -> None:
    """A line that cannot be rendered is replaced by one that says so, and the next is written."""
    writer = LineWriter(tmp_path / "log", json_line)
    writer.write(Bad("?"), keep=False)
    writer.write(Said("after"), keep=False)
    writer.close()
    first, second = lines(tmp_path / "log")
    assert first["message"] == "log line could not be written"
    assert "no words for it" in first["error"]
    assert second["message"] == "after"


def test_a_rotated_file_is_made_anew(tmp_path: Path) -> None:
    """After logrotate renamed the file, lines go to a new one of the old name."""
    path, rotated = tmp_path / "log", tmp_path / "log.1"
    writer = LineWriter(path, json_line)
    writer.write(Said("before"), keep=False)
    assert writer.flush()
    path.rename(rotated)
    writer.write(Said("after"), keep=False)
    writer.close()
    assert messages(rotated) == ["before"]
    assert messages(path) == ["after"]


def test_lines_wait_while_the_file_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """While the directory is away nothing is lost; standard error says when it fails and when it works again."""
    directory = tmp_path / "logs"
    directory.mkdir()
    writer = LineWriter(directory / "log", json_line)
    (directory / "log").unlink()
    directory.rmdir()
    writer.write(Said("patient"), keep=False)
    assert not writer.flush(timeout_s=0.2)
    directory.mkdir()
    assert writer.flush(timeout_s=10)
    writer.close()
    assert messages(directory / "log") == ["patient"]
    said = capfd.readouterr().err
    assert "cannot be written" in said
    assert "can be written again" in said


APPEND = """
import sys
from pathlib import Path
from zot.logs.formatters import json_line
from zot.logs.writer import LineWriter

class Said:
    size_bytes = 500
    def __init__(self, number):
        self.number = number
    def values(self):
        return {"time": 0, "level": "info", "message": f"{sys.argv[2]} {self.number}", "padding": "x" * 300}

writer = LineWriter(Path(sys.argv[1]) if sys.argv[1] else None, json_line)
for number in range(2000):
    writer.write(Said(number), keep=True)
writer.close()
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    """Several processes append to one file, and each line is whole and in its process's order."""
    path = tmp_path / "log"
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, path, str(number)]) for number in range(3)]
    assert [each.wait(60) for each in writers] == [0, 0, 0]
    said = messages(path)
    for number in range(3):
        assert [each for each in said if each.startswith(f"{number} ")] == [f"{number} {line}" for line in range(2000)]


def test_processes_share_a_pipe() -> None:
    """Several processes write to one standard output, and no line is torn by another's."""
    reading, writing = os.pipe()
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, "", str(number)], stdout=writing) for number in range(2)]
    os.close(writing)
    with os.fdopen(reading) as output:
        said = [json.loads(line)["message"] for line in output]
    assert [each.wait(60) for each in writers] == [0, 0]
    assert sorted(said) == sorted(f"{number} {line}" for number in range(2) for line in range(2000))
