"""The OCI project's conformance program."""

import subprocess
import sys

import pytest

import programs


@pytest.mark.needs("conformance")
def test_every_test_of_the_conformance_program_passes() -> None:
    """With every optional switch on, nothing fails and nothing is skipped."""
    script = programs.ROOT / "scripts" / "conformance.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
