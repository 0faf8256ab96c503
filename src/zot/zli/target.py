"""Which registry a command asks, and how: what `--url`, `--config`, `--user` and the default profile say."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

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
    spinner: bool = False
    debug: bool = False


def _credentials(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text and ":" not in text:
        raise click.BadParameter("it is not of the form user:password", context, parameter)
    return text


def target_options(command: Command) -> Command:
    """Give a command the options that `target` takes."""
    for option in (
        click.option("-u", "--user", metavar="USER:PASSWORD", callback=_credentials, help='Credentials; "" for none.'),
        click.option("-c", "--config", metavar="NAME", shell_complete=profile_names, help="The profile to use."),
        click.option("--url", metavar="URL", help="The registry to ask, instead of that of a profile."),
    ):
        command = option(command)
    return command


def target(url: str | None, config: str | None, user: str | None, *, debug: bool = False) -> RegistryTarget:
    """Return what a command asks. Raises ClickException.

    The profile named by `config` says where and how, and `url` goes before its address. The default profile counts
    only where neither is given. Without `user` the credentials are those that Docker has for the host; they are sent
    to this machine, or over TLS whose certificate is verified, only.
    """
    if url and not config:
        address, verify_tls, spinner = checked_url(url), True, False
    else:
        file = ConfigFile.read()
        name = config or file.default
        if not name:
            raise click.ClickException(
                "no URL provided: specify either '--url' or '--config' flags, "
                "or set a default with 'zli config set-default <name>'",
            )
        profile = file.find(name)
        address = checked_url(url or profile.url)
        verify_tls, spinner = profile.is_on("verify-tls"), profile.is_on("showspinner")
    if user is None and _is_private(address, verify_tls=verify_tls):
        from zot.zli.docker_credentials import docker_credentials

        user = docker_credentials(urlsplit(address).netloc)
    return RegistryTarget(address, user or None, verify_tls, spinner, debug)


def _is_private(url: str, *, verify_tls: bool) -> bool:
    """Tell whether no other host than the one of the URL can learn what is sent there."""
    parts = urlsplit(url)
    if parts.scheme == "https" and verify_tls:
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"
