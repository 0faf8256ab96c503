"""Creates Redis clients from options. Needs the extra `redis`."""

from __future__ import annotations

from typing import Any

from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.redis_options import RedisOptions, host_and_port

# The defaults of go-redis.
_DIAL_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 3.0
_POOL_SIZE = 10
_POOL_TIMEOUT_S = 4.0
_RETRIES = 3
_SHORTEST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.008, 0.512
_IDLE_S = 1800.0


def connect(options: RedisOptions) -> Any:
    """Return a new client, which connects on first use. Raises ConfigurationError without the library."""
    try:
        from redis import asyncio as redis  # noqa: PLC0415 - an extra
        from redis.asyncio.cluster import ClusterNode  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            ConfigProblem("redis needs an extra", expected="pip install 'zot-registry[redis]'")
        ) from error
    common, tls = _common(options), _tls(options)
    addresses = list(map(host_and_port, options.addresses))
    if options.is_cluster:
        nodes = [ClusterNode(host, port) for host, port in addresses]
        return redis.RedisCluster(startup_nodes=nodes, **tls, **common)
    common["db"] = options.db
    if options.master_name:
        sentinel_options = {
            "username": options.sentinel_username or None,
            "password": _secret(options.sentinel_password),
            "socket_timeout": common["socket_timeout"],
            "socket_connect_timeout": common["socket_connect_timeout"],
            **tls,
        }
        sentinel: Any = redis.Sentinel  # untyped in the library
        return sentinel(addresses, sentinel_kwargs=sentinel_options, **tls, **common).master_for(options.master_name)
    if options.unix_socket:
        address: dict[str, Any] = {"path": options.unix_socket, "connection_class": redis.UnixDomainSocketConnection}
    else:
        address = {"host": addresses[0][0], "port": addresses[0][1]}
        if tls:
            address |= {name: value for name, value in tls.items() if name != "ssl"}
            address["connection_class"] = redis.SSLConnection
    timeout_s = _or(options.pool_timeout_s, _POOL_TIMEOUT_S)
    return redis.Redis.from_pool(redis.BlockingConnectionPool(timeout=timeout_s, **address, **common))


async def disconnect(client: Any) -> None:
    """Close all connections of a client, including those to sentinels, which the library leaves open."""
    await client.aclose()
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for sentinel in manager.sentinels if manager is not None else ():
        await sentinel.aclose()


def _common(options: RedisOptions) -> dict[str, Any]:
    """Return the options that all kinds of servers share."""
    from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
    from redis.backoff import ExponentialBackoff  # noqa: PLC0415 - an extra

    longest_s = _or(options.max_retry_backoff_s, _LONGEST_BACKOFF_S)
    backoff = ExponentialBackoff(longest_s, _or(options.min_retry_backoff_s, _SHORTEST_BACKOFF_S))
    common: dict[str, Any] = {
        "username": options.username or None,
        "password": _secret(options.password),
        "client_name": options.client_name or None,
        "socket_connect_timeout": _or(options.dial_timeout_s, _DIAL_TIMEOUT_S),
        # The library has one timeout for both directions.
        "socket_timeout": max(
            _or(options.read_timeout_s, _ANSWER_TIMEOUT_S), _or(options.write_timeout_s, _ANSWER_TIMEOUT_S)
        ),
        # A connection that was idle for longer is tested before use.
        "health_check_interval": round(_or(options.conn_max_idle_time_s, _IDLE_S)),
        "retry": Retry(backoff, max(0, _RETRIES if options.max_retries is None else options.max_retries)),
        "max_connections": min(filter(None, (options.pool_size, options.max_active_conns)), default=_POOL_SIZE),
    }
    if options.protocol is not None:
        common["protocol"] = options.protocol
    if options.disable_identity:
        common |= {"lib_name": None, "lib_version": None}
    elif options.identity_suffix:
        common["lib_name"] = f"redis-py({options.identity_suffix})"
    return common


def _tls(options: RedisOptions) -> dict[str, Any]:
    if not options.tls:
        return {}
    return {"ssl": True} if options.tls_verify else {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}


def _or(value: float | None, default: float) -> float:
    return value if value is not None and value > 0 else default


def _secret(secret: Any) -> str | None:
    return secret.get_secret_value() if secret is not None else None
