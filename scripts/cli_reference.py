"""Write docs/reference/cli.md and zli.md from what the commands say: `python scripts/cli_reference.py`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from zot.cli.main import cli as zot
from zot.zli.cli import cli as zli

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"

_HEAD = """\
# {title}

What `{name} --help` and `{name} COMMAND --help` say, on one page; `python scripts/cli_reference.py` writes it.
Exit status 0: done; 1: it failed, and standard error says why; {statuses}. {more}
"""
_ZOT = "Clients have pages of their own:\n[zli](zli.md) asks a registry, [zb](zb.md) measures it."
_FOUND = "3: vulnerabilities as bad as `--fail-on` says"
_ZLI = "How it is used:\n[Ask a registry](../how-to/ask-a-registry.md)."


def pages() -> dict[str, str]:
    """Return the pages by their names in REFERENCE."""
    return {
        "cli.md": _page(
            zot, "zot", _HEAD.format(title="Command line", name="zot", statuses="2: wrong usage", more=_ZOT)
        ),
        "zli.md": _page(zli, "zli", _HEAD.format(title="zli", name="zli", statuses=_FOUND, more=_ZLI)),
    }


def _page(group: click.Group, name: str, head: str) -> str:
    # With its settings: click remembers the help option of the first context that a command is looked at in.
    root = click.Context(group, info_name=name, **group.context_settings)
    return "\n".join([head, *(line for each in group.list_commands(root) for line in _command(root, each))])


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
    for page, text in pages().items():
        (REFERENCE / page).write_text(text)
