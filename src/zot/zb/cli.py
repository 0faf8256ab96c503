"""The command line of `zb`."""

import ipaddress
import json
import platform
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from zot import __version__
from zot.zb.client import RequestError
from zot.zb.run import Options, run
from zot.zb.workloads import selected

Value = TypeVar("Value")

_SOURCE_IPS_LIMIT = 1000


def _parsed_by(parse: Callable[[str], Value]) -> Callable[[click.Context, click.Parameter, str | None], Value | None]:
    """Let `parse` make an option's value; the ValueError that it raises becomes the usage error."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> Value | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return callback


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{text!r} is not of the form http://host:port or https://host:port")
    return text.rstrip("/")


def _credentials(text: str) -> str:
    if ":" not in text:
        raise ValueError("it is not of the form user:password")
    return text


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error


def _addresses(text: str) -> list[str]:
    return [str(ipaddress.ip_address(each.strip())) for each in text.split(",")]


def _network(text: str) -> list[str]:
    return [str(host) for host in islice(ipaddress.ip_network(text, strict=False).hosts(), _SOURCE_IPS_LIMIT)]


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        version = {"distribution-spec": "1.1.1", "version": __version__, "python": platform.python_version()}
        click.echo(json.dumps({"level": "info", **version, "message": "version"}))
        context.exit()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", required=False, callback=_parsed_by(_url))
@click.option("-A", "--auth-creds", callback=_parsed_by(_credentials), help="Credentials, user:password.")
@click.option("-c", "--concurrency", type=click.IntRange(1), default=1, help="Number of clients.")
@click.option(
    "-n", "--requests", type=click.IntRange(1), default=1, help="Requests of each workload, by all clients together."
)
@click.option(
    "-d",
    "--working-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="Where blobs are created, in a folder that is removed at the end.",
)
@click.option("-r", "--repo", default="", help="Prefix of the repositories made on the registry.")
@click.option(
    "-o",
    "--output-format",
    type=click.Choice(["stdout", "json", "ci-cd"]),
    default="stdout",
    help="json prints one document instead of text; ci-cd also writes ci-cd.json.",
)
@click.option("-i", "--src-ips", callback=_parsed_by(_addresses), help="Addresses to send from, comma-separated.")
@click.option("-s", "--src-cidr", callback=_parsed_by(_network), help="Network whose addresses to send from.")
@click.option("--skip-cleanup", is_flag=True, help="Do not delete the pushed images.")
@click.option("-t", "--test-regex", callback=_parsed_by(_pattern), help="Run only the workloads whose name matches.")
@click.option("-l", "--list-tests", is_flag=True, help="List the workloads: with -t, those that match.")
@click.option(
    "-u",
    "--upstream-server-url",
    callback=_parsed_by(_url),
    help="Registry that the one at URL syncs from on demand; without it the sync workloads are skipped.",
)
@click.option("--against", callback=_parsed_by(_url), help="A second registry: each workload runs alternately on both.")
@click.option("--against-auth-creds", callback=_parsed_by(_credentials), help="Credentials for the second registry.")
@click.option("--rounds", type=click.IntRange(1), default=3, help="With --against: runs on each, the median counts.")
@click.option("--shrink", type=click.IntRange(1), default=1, help="Divide each blob's size by this, for a trial run.")
@click.option("-v", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version)
@click.pass_context
def main(
    context: click.Context,
    /,
    list_tests: bool,
    src_ips: list[str] | None,
    src_cidr: list[str] | None,
    **given: Any,
) -> None:
    """Measure how fast the registry at URL takes pushes and serves pulls.

    The exit status is 1 if any request failed.
    """
    if list_tests:
        for workload in selected(given["test_regex"]):
            click.echo(workload.name)
        return
    if given["url"] is None:
        click.echo(context.get_help())
        return
    if src_ips and src_cidr:
        raise click.UsageError("--src-ips and --src-cidr exclude each other")
    if given["requests"] < given["concurrency"]:
        raise click.UsageError("--requests cannot be less than --concurrency")
    options = Options(source_ips=src_ips or src_cidr or [], **given)
    if not options.workloads:
        raise click.UsageError("no workload is left to run: see --list-tests; the sync ones need an upstream")
    try:
        succeeded = run(options)
    except (RequestError, OSError) as error:
        raise click.ClickException(f"preparation or cleanup of a workload failed: {error}") from error
    if not succeeded:
        context.exit(1)
