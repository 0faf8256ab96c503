"""zli against zot: what it prints is, to the letter, what zot's own zli printed of the same answers."""

import pytest

from zli.conftest import Zli
from zli.recorded_zot import FOLDER, RecordedZot, transcript

ALL = sorted(path.name.partition("-")[0] for path in FOLDER.glob("*.txt"))
HAS_NO_URL = {"03"}


@pytest.mark.parametrize("name", ALL)
def test_a_command_prints_what_the_zli_of_zot_prints(zli: Zli, zot: RecordedZot, name: str) -> None:
    """Standard output, standard error and exit status are the same: every command, sort order, format and error."""
    expected = transcript(name)
    words = expected.command.split()
    done = zli.run(*words, *(() if name in HAS_NO_URL else ("--url", zot.url)))
    assert done.stdout == expected.stdout
    assert done.stderr == expected.stderr
    assert done.exit_code == expected.status
