"""Which registry a command asks, and how: what `--url`, `--config`, `--user` and the default profile say."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from zot.zli.config import profile_names
from zot.zli.config_file import ConfigFile
from zot.zli.url import checked_url

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class RegistryTarget:
    """Where a registry is and how to speak to it. `credentials` is `user:password`."""

    url: str
    credentials: str | None = field(default=None, repr=False)
    verify_tls: bool = True


def _credentials(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and ":" not in text:
        raise click.BadParameter("it is not of the form user:password", context, parameter)
    return text


def target_options(command: Command) -> Command:
    """Give a command the options that `target` takes."""
    for option in (
        click.option("-u", "--user", metavar="USER:PASSWORD", callback=_credentials, help="Who asks."),
        click.option("-c", "--config", metavar="NAME", shell_complete=profile_names, help="The profile to use."),
        click.option("--url", metavar="URL", help="The registry to ask, instead of that of a profile."),
    ):
        command = option(command)
    return command


def target(url: str | None, config: str | None, user: str | None) -> RegistryTarget:
    """Return what a command asks. Raises ClickException.

    The profile named by `config` says where and how, and `url` goes before its address. The default profile counts
    only where neither is given.
    """
    if url and not config:
        return RegistryTarget(checked_url(url), user)
    file = ConfigFile.read()
    name = config or file.default
    if not name:
        raise click.ClickException(
            "no URL provided: specify either '--url' or '--config' flags, "
            "or set a default with 'zli config set-default <name>'",
        )
    profile = file.find(name)
    return RegistryTarget(checked_url(url or profile.url), user, profile.is_on("verify-tls"))
