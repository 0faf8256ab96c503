"""The older spellings of `zli config`, which zot deprecates: what was asked for by options and the number of words."""

import click

from zot.zli.usage import SuggestingGroup


class OlderSpellings(SuggestingGroup):
    """Takes `config NAME KEY [VALUE]`, `config -l`, `config NAME -l` and `config NAME KEY --reset` beside commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let options stand behind NAME; what stands behind a command's name is the command's."""
        first = next((word for word in args if not word.startswith("-")), None)
        ctx.allow_interspersed_args = first not in self.commands
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take a first word that is no command for the name of a profile."""
        if args[0] in self.commands:
            if ctx.params["listing"] or ctx.params["resetting"]:
                raise click.UsageError("--list and --reset are no options of a command", ctx)
            return super().resolve_command(ctx, args)
        return args[0], _words, args

    @staticmethod
    def run(context: click.Context, words: list[str]) -> None:
        """Do what words and options of `config` asked for by its command of today, and say which that is."""
        match words, context.params["listing"], context.params["resetting"]:
            case [], True, False:
                older, name = "--list", "list"
            case [_], True, False:
                older, name = "<name> --list", "show <name>"
            case [_, _], False, True:
                older, name = "<name> <key> --reset", "reset <name> <key>"
            case [_, _], False, False:
                older, name = "<name> <key>", "get <name> <key>"
            case [_, _, _], False, False:
                older, name = "<name> <key> <value>", "set <name> <key> <value>"
            case _:
                raise click.UsageError("invalid cli arguments: use the commands below `zli config --help`", context)
        click.echo(f"Warning: deprecated invocation `zli config {older}`; use `zli config {name}` instead.", err=True)
        command = context.command
        assert isinstance(command, click.Group)
        today = command.commands[name.split()[0]]
        with today.make_context(today.name, list(words), parent=context) as made:
            today.invoke(made)


@click.command(add_help_option=False)
@click.argument("words", nargs=-1)
@click.pass_context
def _words(context: click.Context, words: tuple[str, ...]) -> None:
    assert context.parent is not None
    OlderSpellings.run(context.parent, list(words))
