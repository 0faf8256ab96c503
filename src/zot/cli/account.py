"""`zot account`: service accounts, and the API keys of all users."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from zot.accounts.interface import ApiKey
from zot.auth.authenticators.apikey import new_key
from zot.auth.credentials import is_user_name
from zot.auth.scopes import InvalidScopeError
from zot.cli.command_group import CommandGroup
from zot.cli.store_client import JSON, show_json
from zot.cli.users import stores_of
from zot.config.durations import SECOND_NS, parse_ns
from zot.foundation.paging import rows

PAGE = 1000

FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
NAME = click.argument("name")


@click.group("account", cls=CommandGroup)
def command() -> None:
    """Manage service accounts and API keys in the store of the configuration FILE. A server may be running on it.

    A service account authenticates with API keys only, and does not depend on a person who may leave. To rotate a key,
    create the new one, change the machine, and revoke the old one: both are valid until then.
    """


@command.command()
@NAME
@click.option("--group", "groups", multiple=True, help="A group of the account; may be repeated.")
@FILE
def create(name: str, groups: tuple[str, ...], file: Path) -> None:
    """Create the service account NAME, or replace the groups of an existing one."""
    if not is_user_name(name):
        raise click.ClickException(
            f"invalid name {name!r}: a name must not be empty or contain a colon or control characters"
        )

    async def run() -> None:
        async with stores_of(file) as stores:
            if not await stores.accounts.create_service(name, groups):
                raise click.ClickException(
                    f"{name} is the account of a person who has logged in, not a service account"
                )

    asyncio.run(run())


@command.command("list")
@JSON
@FILE
def list_accounts(*, as_json: bool, file: Path) -> None:
    """List the users who have logged in and the service accounts, with the number of their API keys."""

    async def run() -> list[dict[str, Any]]:
        listed = []
        async with stores_of(file) as stores:
            users = rows(lambda last: stores.accounts.users(last, PAGE), lambda user: user.name, "")
            async for user in users:
                kind = "service" if user.service else "person"
                keys = len(await stores.accounts.keys(user.name))
                listed.append({"name": user.name, "kind": kind, "keys": keys, "groups": user.groups})
        return listed

    found = asyncio.run(run())
    if as_json:
        show_json(found)
        return
    for each in found:
        click.echo(f"{each['name']}\t{each['kind']}\t{each['keys']} keys\t{','.join(each['groups'])}")


@command.command()
@NAME
@FILE
def delete(name: str, file: Path) -> None:
    """Delete the account NAME and all its API keys. What it pushed stays."""

    async def run() -> None:
        async with stores_of(file) as stores:
            if not await stores.accounts.delete_user(name):
                raise click.ClickException(f"there is no account {name}")

    asyncio.run(run())


@command.command()
@NAME
@click.option("--label", default="", help="What the key is for.")
@click.option(
    "--scope", "scopes", multiple=True, help="repository:NAME:pull,push,delete; NAME may be a glob; may be repeated."
)
@click.option(
    "--expires", default="", metavar="DURATION", help="How long it is valid, such as 720h. Default: it does not expire."
)
@FILE
def key(name: str, label: str, scopes: tuple[str, ...], expires: str, file: Path) -> None:
    """Create an API key for the account NAME and print it. It is not shown again."""

    async def run() -> None:
        async with stores_of(file) as stores:
            if await stores.accounts.user(name) is None:
                raise click.ClickException(
                    f"there is no account {name}; create it with: zot account create {name} {file}"
                )
            try:
                expires_s = time.time() + _lifetime_s(expires) if expires else None
                secret, kept = new_key(name, label, scopes, expires_s, "zot account")
            except (InvalidScopeError, ValueError) as error:
                raise click.ClickException(str(error)) from error
            await stores.accounts.add_key(kept)
            click.echo(secret)

    asyncio.run(run())


@command.command()
@NAME
@JSON
@FILE
def keys(*, name: str, as_json: bool, file: Path) -> None:
    """List the API keys of the account NAME: id, label, expiry, last use and scopes."""

    async def run() -> Sequence[ApiKey]:
        async with stores_of(file) as stores:
            if await stores.accounts.user(name) is None:
                raise click.ClickException(f"there is no account {name}")
            return await stores.accounts.keys(name)

    found = asyncio.run(run())
    if as_json:
        shown = ("id", "label", "scopes", "created_s", "expires_s", "last_used_s")  # not the hash
        show_json([{field: getattr(each, field) for field in shown} for each in found])
        return
    for each in found:
        when = f"expires {_date(each.expires_s)}\tused {_date(each.last_used_s)}"
        click.echo(f"{each.id}\t{each.label}\t{when}\t{' '.join(each.scopes)}")


@command.command()
@NAME
@click.argument("key_id", metavar="ID")
@FILE
def revoke(name: str, key_id: str, file: Path) -> None:
    """Revoke the API key ID of the account NAME. The next request with it is refused."""

    async def run() -> None:
        async with stores_of(file) as stores:
            if not await stores.accounts.delete_key(name, key_id):
                raise click.ClickException(f"{name} has no key {key_id}")

    asyncio.run(run())


def _lifetime_s(text: str) -> float:
    lifetime_s = parse_ns(text) / SECOND_NS
    if lifetime_s <= 0:
        raise ValueError(f"invalid --expires {text!r}: the duration must be positive")
    return lifetime_s


def _date(at_s: float | None) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at_s is not None else "never"
