"""The command line of the benchmark."""

import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from bench import report
from bench.client import UnexpectedAnswerError
from bench.context import Context
from bench.figures import Figure
from bench.measurements import ALL
from bench.registries import Side
from bench.sides import DockerRegistry, Running, Zot

# A server that does not start or answers something else ends its measurement, not the others.
_FAILURES = (RuntimeError, UnexpectedAnswerError, OSError, http.client.HTTPException, subprocess.SubprocessError)

# In a file or a pipe the table needs no narrower lines than it has.
_CONSOLE = Console(width=None if sys.stdout.isatty() else 160)
_PROGRESS = Console(stderr=True)


@click.command()
@click.option("--zot-command", default=".venv/bin/zot", show_default=True, help="The program that is measured.")
@click.option("--against", metavar="URL", help="A running registry as its peer, instead of docker-registry.")
@click.option("--peer-command", metavar="COMMAND", help="A program with zot's command line as the peer: zot itself.")
@click.option("--alone", is_flag=True, help="Measure without a peer.")
@click.option("--quick", is_flag=True, help="Fewer runs, tags and bytes: to see that it works.")
@click.option("--only", metavar="REGEX", default="", help="The measurements whose name this finds.")
@click.option("--list", "listing", is_flag=True, help="Name the measurements, and say how each is made.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too."
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="On the disk to be measured; a temporary folder is made in it, and removed. Default: the system's.",
)
def main(
    zot_command: str,
    against: str | None,
    peer_command: str | None,
    alone: bool,
    quick: bool,
    only: str,
    listing: bool,
    json_file: Path | None,
    directory: Path | None,
) -> None:
    """Measure this registry beside a peer, in one run on one machine; all traffic stays on it."""
    chosen = {name: measure for name, measure in ALL.items() if re.search(only, name)}
    if listing:
        for name, measure in chosen.items():
            click.echo(f"{name}: {measure.__doc__}")
        return
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder, _PROGRESS.status("") as status:
        peer = None if alone else _peer(against, peer_command)
        context = Context(Zot(zot_command), peer, Path(folder), quick, say=status.update)
        for name, measure in chosen.items():
            status.update(name)
            try:
                for figure in measure(context):
                    _PROGRESS.print(f"{figure.what}: {figure.ours.median:,.3g} {figure.unit}", highlight=False)
                    figures.append(figure)
            except _FAILURES as failure:
                failures[name] = str(failure)
                _PROGRESS.print(f"{name}: not measured: {failure}", style="red", markup=False, highlight=False)
    _CONSOLE.print(report.table(figures))
    for name, reason in failures.items():
        _CONSOLE.print(f"{name}: not measured: {reason}", style="red", markup=False, highlight=False)
    if json_file:
        json_file.write_text(json.dumps(report.document(figures, failures, quick), indent=2))
    sys.exit(1 if failures else 0)


def _peer(against: str | None, command: str | None) -> Side | None:
    if against:
        return Running(against)
    if command:
        return Zot(command, name="peer")
    if program := shutil.which("docker-registry"):
        return DockerRegistry(program)
    _PROGRESS.print("docker-registry is not installed: measuring without a peer")
    return None


if __name__ == "__main__":
    main()
