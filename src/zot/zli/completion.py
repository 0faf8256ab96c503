"""`zli completion`: what a shell needs in order to complete zli's words."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and names of profiles.

    bash and zsh: `source <(zli completion SHELL)`; fish: `zli completion fish | source`.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "zli", "_ZLI_COMPLETE").source())
