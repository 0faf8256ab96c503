"""Write docs/reference/cli.md from what the commands say of themselves: `python scripts/cli_reference.py`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from zot.cli.main import cli

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"

_HEAD = """\
# Command line

What `zot --help` and `zot COMMAND --help` say, on one page; `python scripts/cli_reference.py` writes it. Exit status 0:
done; 1: it failed, and standard error says why; 2: wrong usage. The benchmark client has [a page of its own](zb.md).
"""


def reference() -> str:
    """Return the page."""
    root = click.Context(cli, info_name="zot")
    return "\n".join([_HEAD, *(line for name in cli.list_commands(root) for line in _command(root, name))])


def _command(parent: click.Context, name: str) -> Iterator[str]:
    assert isinstance(parent.command, click.Group)
    command = parent.command.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    yield f"## `{context.command_path}`\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"    {context.command_path} {usage}\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    options = [each for each in command.params if isinstance(each, click.Option)]
    if options:
        yield "| option | meaning |"
        yield "| --- | --- |"
        yield from (_option(each) for each in options)
        yield ""
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _command(context, each)


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    kind = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('zot')))}"
    return f"| {names}{_escaped(kind)} | {_escaped(option.help or '')} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.write_text(reference())
