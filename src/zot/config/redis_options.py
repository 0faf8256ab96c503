"""Parameters of the `redis` drivers of sessions and of a shared catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import ValidationError

from zot.config.durations import Seconds
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.section import Flag, Listed, Secret, Section, zot_key
from zot.config.urls import split_url

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMES = ("redis", "rediss", "unix")
DEFAULT_PORT = 6379


class RedisOptions(Section):
    """Parameters of a connection to Redis; for None the client library's default applies.

    With `master_name` the addresses are those of sentinels, else several addresses are those of a cluster.
    """

    key_prefix: str = zot_key("keyprefix", "", doc="Prefix of keys, colon included; may be empty.")
    addresses: Listed[str] = zot_key("addr", (f"localhost:{DEFAULT_PORT}",), doc="`host:port` of servers or sentinels.")
    is_cluster: bool = zot_key("cluster", False, doc="Whether the addresses are those of a cluster.")
    unix_socket: str = zot_key("unix_socket", "", doc="Path of the socket, in place of an address.")
    tls: bool = zot_key("tls", False, doc="Whether to connect by TLS.")
    tls_verify: bool = zot_key("tls_verify", True, doc="Whether to verify the server's certificate.")
    master_name: str = zot_key("master_name", "", doc="Name of the master that sentinels know.")
    db: int = zot_key("db", 0, doc="Number of the database.")
    protocol: int | None = zot_key("protocol", None, doc="Version of the protocol, 2 or 3.")
    client_name: str = zot_key("client_name", "", doc="Name of the connection.")
    username: str = zot_key("username", "", doc="User name.")
    password: Secret | None = zot_key("password", None, doc="Password.")
    sentinel_username: str = zot_key("sentinel_username", "", doc="User name for sentinels.")
    sentinel_password: Secret | None = zot_key("sentinel_password", None, doc="Password for sentinels.")
    max_retries: int | None = zot_key("max_retries", None, doc="Retries of a failed command.")
    min_retry_backoff_s: Seconds | None = zot_key("min_retry_backoff", None, doc="Shortest delay before a retry.")
    max_retry_backoff_s: Seconds | None = zot_key("max_retry_backoff", None, doc="Longest delay before a retry.")
    dial_timeout_s: Seconds | None = zot_key("dial_timeout", None, doc="Longest wait for a connection.")
    read_timeout_s: Seconds | None = zot_key("read_timeout", None, doc="Longest wait for a response.")
    write_timeout_s: Seconds | None = zot_key("write_timeout", None, doc="Longest wait to send.")
    context_timeout_enabled: Flag | None = zot_key(
        "context_timeout_enabled", None, doc="Accepted; always enabled here."
    )
    pool_fifo: Flag | None = zot_key("pool_fifo", None, doc="Use the connection that was idle longest.")
    pool_size: int | None = zot_key("pool_size", None, doc="Size of the connection pool.")
    pool_timeout_s: Seconds | None = zot_key("pool_timeout", None, doc="Longest wait for a free connection.")
    min_idle_conns: int | None = zot_key("min_idle_conns", None, doc="Fewest idle connections.")
    max_idle_conns: int | None = zot_key("max_idle_conns", None, doc="Most idle connections.")
    max_active_conns: int | None = zot_key("max_active_conns", None, doc="Most connections.")
    conn_max_idle_time_s: Seconds | None = zot_key(
        "conn_max_idle_time", None, doc="Age at which idle connections are closed."
    )
    conn_max_lifetime_s: Seconds | None = zot_key("conn_max_lifetime", None, doc="Age at which connections are closed.")
    max_redirects: int | None = zot_key("max_redirects", None, doc="Cluster: most redirections followed.")
    read_only: Flag | None = zot_key("read_only", None, doc="Cluster: read from replicas.")
    route_by_latency: Flag | None = zot_key("route_by_latency", None, doc="Cluster: read from the nearest node.")
    route_randomly: Flag | None = zot_key("route_randomly", None, doc="Cluster: read from any node.")
    disable_identity: Flag | None = zot_key("disable_identity", None, doc="Do not send the client library's name.")
    identity_suffix: str = zot_key("identity_suffix", "", doc="Suffix of that name.")
    unstable_resp3: Flag | None = zot_key("unstable_resp3", None, doc="Accepted and ignored.")


# Derived from other parameters or from the URL.
_DERIVED = frozenset({"keyprefix", "cluster", "unix_socket", "tls", "tls_verify"})
_PARAMETERS = {
    str(field.alias): name for name, field in RedisOptions.model_fields.items() if field.alias not in _DERIVED
}


def redis_options(driver: Mapping[str, Any], default_prefix: str, key: str) -> tuple[RedisOptions, list[str]]:
    """Parse the parameters of a `redis` driver; return warnings about ignored ones.

    `key` is the path of the driver's object. With `url` all other parameters but `keyprefix` are ignored. Unknown
    parameters, and values that cannot be converted, are ignored with a warning, as in zot. Raises ConfigurationError
    if `url` or an address is invalid.
    """
    warnings: list[str] = []
    prefix = _prefix(driver.get("keyprefix"), default_prefix, f"{key}.keyprefix", warnings)
    if "url" in driver:
        given, derived = _from_url(driver["url"], f"{key}.url")
    else:
        given = {name: value for name, value in driver.items() if name not in ("name", "keyprefix")}
        addresses = given.get("addr")
        derived = {"cluster": isinstance(addresses, list | tuple) and len(addresses) > 1 and "master_name" not in given}
    options = {}
    for name, value in given.items():
        if name not in _PARAMETERS:
            warnings.append(f"{key}.{name}: unknown parameter, ignored")
            continue
        try:
            checked = RedisOptions.model_validate({name: value})
        except ValidationError:
            warnings.append(f"{key}.{name}: the value cannot be converted, ignored")
            continue
        options[_PARAMETERS[name]] = getattr(checked, _PARAMETERS[name])
    base = RedisOptions.model_validate({**derived, "keyprefix": prefix})
    complete = base.model_copy(update=options)
    for address in complete.addresses:
        try:
            host_and_port(address)
        except ValueError:
            raise ConfigurationError(ConfigProblem("invalid address of redis", f"{key}.addr", "HOST:PORT")) from None
    return complete, warnings


def host_and_port(address: str) -> tuple[str, int]:
    """Split an address into host and port, with defaults for both; raise ValueError if it is malformed."""
    parts = urlsplit(f"//{address}")
    return parts.hostname or "localhost", parts.port or DEFAULT_PORT


def _prefix(value: Any, default: str, key: str, warnings: list[str]) -> str:
    if isinstance(value, list | dict):
        warnings.append(f"{key}: not a text, {default!r} is used")
        value = None
    if value is None:
        value = default
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as zot formats it: 8.0 is 8
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{text}:" if text else ""


def _from_url(url: Any, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters in a URL, and the options derived from its form."""
    parts = split_url(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in SCHEMES:
        expected = "a text such as redis://user:password@host:6379/0, rediss://... or unix:///path"
        raise ConfigurationError(ConfigProblem("cachedriver redis has invalid value for url", key, expected))
    try:
        host, port = parts.hostname or "localhost", parts.port or DEFAULT_PORT
        parameters = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        text = "cachedriver redis has invalid value for url"
        raise ConfigurationError(ConfigProblem(text, key, "a valid port and valid parameters")) from None
    given: dict[str, Any] = {}
    derived: dict[str, Any] = {"tls": parts.scheme == "rediss"}
    if parts.scheme == "unix":
        derived["unix_socket"] = unquote(parts.path)
    else:
        given["addr"] = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
        if parts.path.strip("/"):
            given["db"] = parts.path.strip("/")
    if parts.username:
        given["username"] = unquote(parts.username)
    if parts.password:
        given["password"] = unquote(parts.password)
    for name, value in parameters:
        if name == "addr":
            given.setdefault("addr", []).append(value)
            derived["cluster"] = True
        elif name == "skip_verify":
            derived["tls_verify"] = value != "true"
        else:
            given[name] = _query_value(name, value)
    return given, derived


def _query_value(name: str, value: str) -> str:
    """Return a parameter's value; in a URL a duration without a unit is in seconds."""
    is_duration = name in _PARAMETERS and _PARAMETERS[name].endswith("_s")
    return f"{value}s" if is_duration and value.isdecimal() else value
