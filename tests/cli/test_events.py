"""What `zot events` refuses before it asks a server."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from zot.cli.events import command


@pytest.mark.parametrize("option", ["--since", "--id"])
def test_a_number_that_no_entry_has_is_refused(option: str) -> None:
    """A number beyond 64 bits is an error of usage, not one of the server."""
    result = CliRunner().invoke(command, ["replay", option, str(2**63)])
    assert result.exit_code == 2
    assert f"{2**63} is not in the range" in result.output
