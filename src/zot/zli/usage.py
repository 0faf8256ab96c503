"""How zli words wrong usage: a line on standard error and exit status 1, as zot's zli."""

import re
from difflib import get_close_matches
from typing import Any

import click

FORMATS = ("text", "json", "yaml", "yml")

# Longer than any sentence.
_SENTENCE = 1000
_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)", re.DOTALL)


class UnknownCommandError(click.UsageError):
    """A group has no command of this name."""

    def __init__(self, name: str, group: click.Group, context: click.Context) -> None:
        names = group.list_commands(context)
        close = [each for each in names if each.startswith(name)] or get_close_matches(name, names, cutoff=0.6)
        hint = "\n\nDid you mean this?\n\t" + "\n\t".join(close) if close else ""
        if context.parent is None:
            text = f'unknown command "{name}" for "zli"{hint}\nRun \'zli --help\' for usage.'
        else:
            text = f"unknown cli subcommand '{name}' for '{context.info_name}'{hint}"
        super().__init__(text, context)


class SuggestingGroup(click.Group):
    """A group of commands that suggests names for an unknown one, and lists each with a whole sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands: the first sentence of the help of each, wrapped and never cut."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, each.get_short_help_str(_SENTENCE)) for name, each in commands if each and not each.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, as click does. Raises UnknownCommandError."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise UnknownCommandError(args[0], self, ctx)
        return super().resolve_command(ctx, args)


class RootGroup(SuggestingGroup):
    """The group `zli`: all usage errors below it are reported as zot's zli reports them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options of `zli` itself."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise click.ClickException(_wording(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Raises ClickException, whose exit status is 1, for wrong usage too."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise click.ClickException(_wording(error)) from error


class OutputFormat(click.Choice[str]):
    """A format of the output, in any case."""

    def __init__(self, *more: str, refusal: str = "invalid cli output format") -> None:
        super().__init__([*FORMATS, *more], case_sensitive=False)
        self._refusal = refusal

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the format in lower case. Raises ClickException."""
        del param, ctx
        if value.lower() not in self.choices:
            raise click.ClickException(self._refusal)
        return value.lower()


class SortOption(click.Choice[str]):
    """A way to sort; `criteria` has what the server calls it."""

    def __init__(self, **criteria: str) -> None:
        """Take the criteria of the server by their spelling in an option, with `_` for `-`."""
        self.criteria = {spelling.replace("_", "-"): criterion for spelling, criterion in criteria.items()}
        super().__init__(list(self.criteria))

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the spelling. Raises ClickException."""
        del param, ctx
        if value not in self.criteria:
            known = ", ".join(self.criteria)
            raise click.ClickException(f'invalid argument "{value}" for "--sort-by" flag: supported values  {known}')
        return value


def _wording(error: click.UsageError) -> str:
    match error:
        case click.NoSuchOption(option_name=name):
            return f"unknown flag: {name}"
        case click.MissingParameter(param=click.Argument(), ctx=click.Context() as context):
            return _miscounted(context, sum(context.params.get(each) is not None for each in _arguments(context)))
        case click.UsageError(ctx=click.Context() as context) if match := _EXTRA.fullmatch(error.message):
            extra = match[1].split()
            if not _arguments(context):
                return f'unknown command "{extra[0]}" for "{context.command_path}"'
            return _miscounted(context, len(_arguments(context)) + len(extra))
    return error.format_message()


def _miscounted(context: click.Context, received: int) -> str:
    return f"accepts {len(_arguments(context))} arg(s), received {received}"


def _arguments(context: click.Context) -> list[str]:
    return [each.name or "" for each in context.command.params if isinstance(each, click.Argument)]
