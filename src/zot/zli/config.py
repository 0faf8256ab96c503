"""`zli config`: names for registries, kept in `~/.zot`."""

import click
from click.shell_completion import CompletionItem

from zot.zli.config_file import ConfigFile, changing
from zot.zli.config_older import OlderSpellings
from zot.zli.profile import KEYS, ProfileError


def profile_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a profile; a broken file has none."""
    try:
        return [
            CompletionItem(each.name, help=each.url)
            for each in ConfigFile.read().profiles
            if each.name.startswith(begun)
        ]
    except ProfileError:
        return []


def _keys(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return [CompletionItem(key) for key in KEYS if key.startswith(begun)]


NAME = click.argument("name", shell_complete=profile_names)
KEY = click.argument("key", shell_complete=_keys)


@click.group(cls=OlderSpellings, invoke_without_command=True)
@click.option("-l", "--list", "listing", is_flag=True, help="Deprecated: use `config list` or `config show NAME`.")
@click.option("--reset", "resetting", is_flag=True, help="Deprecated: use `config reset NAME KEY`.")
@click.pass_context
def config(context: click.Context, listing: bool, resetting: bool) -> None:
    """Give registries names, and say how to speak to them.

    A name, with what is set for it, is a profile; profiles are kept in `~/.zot`, which only you can read. Keys of a
    profile: `url`, the registry's address; `verify-tls`, whether its certificate has to be valid (default: true);
    `showspinner`, whether to show that something is being waited for (default: true).

    Deprecated: `config NAME KEY` for `config get`, `config NAME KEY VALUE` for `config set`.
    """
    if context.invoked_subcommand is not None:
        return
    if resetting:
        raise click.UsageError("--reset needs NAME and KEY: use `zli config reset NAME KEY`", context)
    if listing:
        OlderSpellings.run(context, [])
    else:
        click.echo(context.get_help())


@config.command("add")
@click.argument("name")
@click.argument("url")
def add(name: str, url: str) -> None:
    """Add a profile for the registry at URL. NAME cannot be that of a command of `zli config`."""
    if name in config.commands:
        raise ProfileError(f"cli config name is reserved: {name!r}")
    with changing() as file:
        file.add(name, url)


@config.command("remove")
@NAME
def remove(name: str) -> None:
    """Remove a profile; if it was the default, there is none any more."""
    with changing() as file:
        file.remove(name)


@config.command("list")
def list_() -> None:
    """List the profiles with their URLs."""
    file = ConfigFile.read()
    default = file.default
    rows = [(f"{each.name} (default)" if each.name == default else each.name, each.url) for each in file.profiles]
    width = -(-(max((len(name) for name, _ in rows), default=0) + 1) // 8) * 8  # the next stop of a tabulator
    for name, url in rows:
        click.echo(name + "\t" * -(-(width - len(name)) // 8) + url)


@config.command("show")
@NAME
def show(name: str) -> None:
    """Show all keys of a profile."""
    file = ConfigFile.read()
    profile, default = file.find(name), file.default
    for key in KEYS:
        click.echo(f"{key} = {profile.get(key)}")
    if default == name:
        click.echo("default = true")


@config.command("get")
@NAME
@KEY
def get(name: str, key: str) -> None:
    """Print one key of a profile."""
    click.echo(ConfigFile.read().find(name).get(key))


@config.command("set")
@NAME
@KEY
@click.argument("value")
def set_(name: str, key: str, value: str) -> None:
    """Set one key of a profile."""
    with changing() as file:
        file.find(name).set(key, value)


@config.command("reset")
@NAME
@KEY
def reset(name: str, key: str) -> None:
    """Set one key of a profile back to its default; the URL has none."""
    with changing() as file:
        file.find(name).reset(key)


@config.command("set-default")
@NAME
def set_default(name: str) -> None:
    """Make a profile the one to use when neither --url nor --config says which."""
    with changing() as file:
        file.set_default(name)


@config.command("clear-default")
def clear_default() -> None:
    """Have no default profile."""
    with changing() as file:
        file.clear_default()
