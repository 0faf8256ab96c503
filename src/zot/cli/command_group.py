"""Command groups that list each command with a whole sentence."""

from __future__ import annotations

import click

_SENTENCE = 1000


class CommandGroup(click.Group):
    """A group that lists each command with the first sentence of its help, wrapped and never cut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(_SENTENCE)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
