"""Tables of what others pushed, which may be anything."""

import pytest

from zot.zli.records import ImageRecord, ManifestRecord, PlatformRecord, RepositoryRecord
from zot.zli.tables import ImageTable, print_repositories, print_table

HOSTILE = PlatformRecord(os="li\x1b[31m\n\tux", arch="a\u202ed")
SHOWN = "li\\x1b[31m\\x0a\\x09ux/a\\x202ed"


def test_a_platform_is_one_cell_that_no_terminal_acts_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A config has the platform as its author wrote it: it neither steers terminals nor fails the whole list."""
    table = ImageTable(verbose=False)
    table.add(ImageRecord(repo_name="a", tag="1", manifests=[ManifestRecord(platform=HOSTILE, size="1")]))
    table.print()
    print_repositories([RepositoryRecord(name="a", size="1", platforms=[HOSTILE])], verbose=True)
    print_table(("NAME",), [("x\x1b]0;y\x07",)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["a", "1", SHOWN]
    assert lines[3].split()[-1] == SHOWN
    assert lines[5:] == ["x\\x1b]0;y\\x07"]
