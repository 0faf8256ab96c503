"""How figures are shown: a table for people, JSON for programs."""

import dataclasses
import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench import load
from bench.figures import Figure, Sample


def table(figures: Sequence[Figure]) -> Table:
    """Return the figures as a table: each beside what it was measured beside, with the ratio between the two.

    The ratio tells how many times as good ours is: above 1 is better, whatever the unit.
    """
    shown = Table()
    for heading in ("", "unit", "measured", "lowest to highest", "beside", "", "ratio", "aim"):
        shown.add_column(heading, justify="left" if heading in {"", "beside", "aim"} else "right")
    for figure in figures:
        ours = [figure.what, figure.unit, _number(figure.ours.median), _spread(figure.ours)]
        beside = [[name, _number(sample.median), _ratio(figure, name)] for name, sample in figure.beside.items()]
        beside = beside or [["", "", ""]]
        shown.add_row(*ours, *beside[0], figure.aim)
        for row in beside[1:]:
            shown.add_row("", "", "", "", *row)
    return shown


def document(figures: Sequence[Figure], failures: Mapping[str, str], quick: bool) -> dict[str, Any]:
    """Return the figures with what is needed to judge them: when, where and how they were taken.

    `failures` tells of each measurement that could not be made why.
    """
    return {
        "taken": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine(),
        "not_measured": failures,
        "figures": [
            {
                **dataclasses.asdict(figure),
                "ratios": {name: figure.ratio(name) for name in figure.beside},
            }
            for figure in figures
        ],
    }


def machine() -> dict[str, str | int]:
    """Return what the figures depend on."""
    found: dict[str, str | int] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "zot": importlib.metadata.version("zot-registry"),
        "load": load.generator(),
    }
    if program := shutil.which("docker-registry"):
        version = subprocess.run([program, "--version"], check=False, capture_output=True, text=True)
        found["docker-registry"] = version.stdout.strip()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(figure: Figure, name: str) -> str:
    ratio = figure.ratio(name)
    return "" if ratio is None else f"{ratio:.2f}"


def _spread(sample: Sample) -> str:
    return f"{_number(sample.low)} to {_number(sample.high)}" if sample.runs > 1 else ""
