"""Parameters of the `redis` drivers are parsed as in zot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.config.errors import ConfigurationError
from zot.config.redis_options import RedisOptions, redis_options


def options_of(**driver: Any) -> RedisOptions:
    """Return the options of a driver that draws no warnings."""
    options, warnings = redis_options({"name": "redis", **driver}, "zotsession", "key")
    assert warnings == []
    return options


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ({}, "zotsession:"),
        ({"keyprefix": None}, "zotsession:"),
        ({"keyprefix": "mine"}, "mine:"),
        ({"keyprefix": ""}, ""),
        ({"keyprefix": 8}, "8:"),
        ({"keyprefix": True}, "true:"),
        ({"keyprefix": 1.5}, "1.5:"),
        ({"keyprefix": 8.0}, "8:"),
    ],
)
def test_key_prefix(given: dict[str, Any], prefix: str) -> None:
    """The prefix is converted to a text with a colon; an empty one stays empty, an absent one is the default."""
    assert options_of(**given).key_prefix == prefix


@pytest.mark.parametrize("value", [["a"], {"a": 1}])
def test_a_prefix_of_a_wrong_type_is_the_default(value: Any) -> None:
    """For a list or an object the default prefix is used, with a warning."""
    options, warnings = redis_options({"keyprefix": value}, "zotsession", "key")
    assert options.key_prefix == "zotsession:"
    assert warnings == ["key.keyprefix: not a text, 'zotsession' is used"]


def test_defaults() -> None:
    """Without parameters the address is that of a local Redis."""
    options = options_of()
    assert options.addresses == ("localhost:6379",)
    assert not options.is_cluster
    assert not options.tls


def test_single_parameters() -> None:
    """Parameters are converted to their types: texts to numbers, Go durations to seconds."""
    options = options_of(
        addr="h:1", db="3", password=1234, pool_size="7", dial_timeout="1m30s", read_only="true", client_name=5
    )
    assert options.addresses == ("h:1",)
    assert (options.db, options.pool_size, options.client_name, options.read_only) == (3, 7, "5", True)
    assert options.dial_timeout_s == 90
    assert options.password is not None
    assert options.password.get_secret_value() == "1234"


@pytest.mark.parametrize(
    ("given", "cluster", "master"),
    [
        ({"addr": ["a:1", "b:1"]}, True, ""),
        ({"addr": ["a:1"]}, False, ""),
        ({"addr": ["a:1", "b:1"], "master_name": "m"}, False, "m"),
    ],
)
def test_modes(given: dict[str, Any], cluster: bool, master: str) -> None:
    """Several addresses are those of a cluster, or with a master's name those of sentinels."""
    options = options_of(**given)
    assert (options.is_cluster, options.master_name) == (cluster, master)


def test_unusable_parameters_are_ignored() -> None:
    """A value that cannot be converted and an unknown parameter are each ignored with a warning."""
    options, warnings = redis_options({"db": "three", "pool_size": 5, "colour": "red", "tls": True}, "zot", "key")
    assert (options.db, options.pool_size, options.tls) == (0, 5, False)
    assert [warning.partition(":")[0] for warning in warnings] == ["key.db", "key.colour", "key.tls"]


def test_url() -> None:
    """A URL replaces all parameters but the prefix; in it a duration without a unit is in seconds."""
    url = "rediss://us%40er:p%3Aw@host:7000/2?dial_timeout=3&read_timeout=500ms&pool_size=9&skip_verify=true"
    options = options_of(url=url, keyprefix="p", db=5, addr="other:1")
    assert options.addresses == ("host:7000",)
    assert (options.username, options.db, options.pool_size) == ("us@er", 2, 9)
    assert (options.tls, options.tls_verify) == (True, False)
    assert (options.dial_timeout_s, options.read_timeout_s) == (3, 0.5)
    assert options.password is not None
    assert options.password.get_secret_value() == "p:w"
    assert options.key_prefix == "p:"


def test_url_of_a_cluster() -> None:
    """A URL with further addresses is that of a cluster."""
    options = options_of(url="redis://user:pass@h1:6379?addr=h2:6379&addr=h3:6379&route_randomly=true")
    assert options.addresses == ("h1:6379", "h2:6379", "h3:6379")
    assert options.is_cluster
    assert options.route_randomly


@pytest.mark.parametrize(
    ("url", "address"),
    [("redis://", "localhost:6379"), ("redis://h", "h:6379"), ("redis://[::1]:7", "[::1]:7"), ("redis://h/", "h:6379")],
)
def test_parts_of_a_url_may_be_absent(url: str, address: str) -> None:
    """Host, port and database of a URL have defaults."""
    options = options_of(url=url)
    assert options.addresses == (address,)
    assert options.db == 0


def test_unix_socket() -> None:
    """A URL with the scheme unix names a socket."""
    options = options_of(url="unix://user:pass@/run/redis.sock?db=4")
    assert (options.unix_socket, options.db, options.username) == ("/run/redis.sock", 4, "user")


@pytest.mark.parametrize("url", [5, ["redis://h"], "", "h:6379", "http://h", "redis://h:port", "redis://[::1"])
def test_wrong_urls_are_refused(url: Any) -> None:
    """An invalid URL is refused, and the error does not show it, since it may contain a password."""
    with pytest.raises(
        ConfigurationError, match=r"^invalid server config: cachedriver redis has invalid value for url"
    ):
        redis_options({"url": url}, "zot", "key")


@given(st.text(max_size=40) | st.text(max_size=30).map("redis://".__add__))
def test_any_text_is_a_url_or_a_configuration_error(url: str) -> None:
    """Parsing any text gives options or a ConfigurationError."""
    try:
        redis_options({"url": url}, "zot", "key")
    except ConfigurationError:
        return
