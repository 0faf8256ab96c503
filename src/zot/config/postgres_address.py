"""Where a PostgreSQL database is: its URL, parsed, with no secret in what is shown of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from zot.config.errors import ConfigProblem, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE = "postgres://user:password@host:5432/database"

_SCHEMES = ("postgres", "postgresql")


class PostgresAddress(NamedTuple):
    """A database, and how it is connected to."""

    url: str
    """The URL in libpq's form. It may hold a password."""
    place: str
    """Hosts and database, for messages."""
    is_pooled: bool
    """Whether a proxy gives each transaction another connection: nothing may be kept in one."""

    def __str__(self) -> str:
        return self.place


def parse_address(url: str) -> PostgresAddress:
    """Parse a URL as libpq has it, with `pgbouncer=true` in its query for a proxy in transaction mode.

    Raises ValueError, with no part of the URL in its text.
    """
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise ValueError(f"not a valid URL, such as {EXAMPLE}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"not a URL such as {EXAMPLE}")
    pooled = [value for name, value in query if name == "pgbouncer"]
    if any(value not in ("true", "false") for value in pooled):
        raise ValueError("pgbouncer is true or false")
    rest = [each for each in query if each[0] != "pgbouncer"]
    hosts = parts.netloc.rpartition("@")[2] or next((value for name, value in rest if name == "host"), "localhost")
    place = f"PostgreSQL at {hosts}{parts.path.rstrip('/')}"
    clean = f"{parts.scheme}://{parts.netloc}{parts.path}{'?' if rest else ''}{urlencode(rest)}"
    return PostgresAddress(clean, place, "true" in pooled)


def driver_address(driver: Mapping[str, Any], key: str) -> PostgresAddress:
    """Return the address in the parameters of a `postgres` driver; `key` is the path of its object.

    Raises ConfigurationError if `url` is missing or not valid.
    """
    try:
        return parse_address(str(driver.get("url", "")))
    except ValueError as error:
        raise ConfigurationError(ConfigProblem(f"invalid URL: {error}", f"{key}.url", EXAMPLE)) from None


def unknown_parameters(driver: Mapping[str, Any]) -> list[str]:
    """Return the parameters that a `postgres` driver does not have."""
    return sorted(driver.keys() - {"name", "url"})
