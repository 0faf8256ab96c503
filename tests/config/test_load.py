"""Configurations are loaded with zot's leniency, defaults and error messages."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.config.errors import ConfigurationError
from zot.config.keys import keys_of
from zot.config.load import load, load_tree
from zot.config.model import Config

ROOT = {"rootDirectory": "/data"}
HOUR_S = 3600.0


def config_of(tree: dict[str, Any]) -> Config:
    """Load `tree`, with a default root directory."""
    return load_tree({"storage": ROOT, **tree}).config


def test_default_without_a_file() -> None:
    """Without a file the server listens on the loopback address and keeps content in ./zot-data, durably."""
    config = Config.default()
    assert (config.http.address, config.http.port) == ("127.0.0.1", "8080")
    assert config.storage.root_directory == "./zot-data"
    assert config.storage.commit
    assert config.http.compat == ("docker2s2",)
    assert config.http.access_control is None


def test_load_reads_a_file(tmp_path: Path) -> None:
    """A valid configuration file is loaded without warnings."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"storage": ROOT, "http": {"port": "5000"}}), encoding="utf-8")
    loaded = load(path)
    assert loaded.config.http.port == "5000"
    assert loaded.warnings == ()


def test_keys_match_without_regard_to_case() -> None:
    """Every key may be written in any case."""
    config = load_tree({"STORAGE": {"ROOTDIRECTORY": "/data", "gcdelay": "2h"}, "Http": {"Port": "1"}}).config
    assert config.storage.gc_delay_s == 2 * HOUR_S
    assert config.http.port == "1"


def test_names_that_operators_choose_are_lower_cased() -> None:
    """Group names, routes, driver parameters and header names are read in lower case, as zot reads them."""
    config = config_of({
        "storage": {**ROOT, "subPaths": {"/Team": {"rootDirectory": "/other"}}},
        "http": {
            "accessControl": {
                "groups": {"Devs": {"users": ["Bob"]}},
                "repositories": {"**": {"anonymousPolicy": ["read"]}},
            },
            "auth": {"apikey": True, "sessionDriver": {"name": "redis", "keyPrefix": "Mine"}},
        },
    })  # fmt: skip
    assert config.http.access_control is not None
    assert config.http.access_control.groups["devs"].users == ("Bob",)
    assert list(config.storage.sub_paths) == ["/team"]
    assert config.http.auth.session_driver == {"name": "redis", "keyprefix": "Mine"}


def test_types_are_lenient() -> None:
    """Numbers and texts are converted to each other, "true" to true, a single value to a list of one."""
    config = config_of({
        "http": {
            "port": 5000,
            "compat": "docker2s2",
            "ratelimit": {"rate": "10", "methods": {"method": "GET", "rate": 5}},
            "trustedProxies": "10.1.2.3/8",
        },
        "storage": {**ROOT, "gc": "false", "dedupe": 0, "maxRepos": "7", "commit": ""},
    })  # fmt: skip
    assert config.http.port == "5000"
    assert config.http.compat == ("docker2s2",)
    assert config.http.ratelimit is not None
    assert (config.http.ratelimit.rate, config.http.ratelimit.methods[0].rate) == (10, 5)
    assert config.http.trusted_proxies == (ip_network("10.0.0.0/8"),)
    storage = config.storage
    assert (storage.gc, storage.dedupe, storage.max_repos, storage.commit) == (False, False, 7, False)


def test_a_bare_integer_is_nanoseconds() -> None:
    """A duration without a unit is nanoseconds; a fraction is refused, since it may be meant as seconds."""
    assert config_of({"http": {"readTimeout": 1_500_000_000}}).http.read_timeout_s == 1.5
    with pytest.raises(ConfigurationError, match=r"1\.5 is not a duration such as .* \(http\.readTimeout\)"):
        config_of({"http": {"readTimeout": 1.5}})


def test_null_is_absent() -> None:
    """A key that holds null has its default; an unknown key is an error even then."""
    assert config_of({"http": {"port": None, "tls": None}}).http.port == "8080"
    with pytest.raises(ConfigurationError, match="unknown keys"):
        config_of({"http": {"prt": None}})


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"htp": {}}, r"htp: did you mean http\?"),
        ({"http": {"prot": "1"}}, r"http\.prot: did you mean port\?"),
        ({"storage": {"root_directory": "/x"}}, r"storage\.root_directory"),
        ({"storage": {"subPaths": {"/a": {"maxRepos": 1}}}}, r'storage\.subPaths\["/a"\]\.maxrepos'),
        ({"storage": {"retention": {"policies": [{}, {"keepTag": []}]}}}, r"retention\.policies\[1\]\.keeptag"),
        ({"http": {"accessControl": {"repositories": {"**": {"policy": []}}}}}, r'repositories\["\*\*"\]\.policy'),
        ({"extensions": {"sync": {"registries": [{"oauth2CredentialHelper": {"x": 1}}]}}}, r"CredentialHelper\.x"),
    ],
)
def test_unknown_keys_are_named(tree: dict[str, Any], named: str) -> None:
    """An unknown key is refused with zot's message, its path and a similar known key."""
    with pytest.raises(
        ConfigurationError, match="^invalid server config: failed to load config due to unknown keys.*" + named
    ):
        load_tree(tree)


def test_driver_parameters_are_free() -> None:
    """A driver defines its own parameters, so unknown names in its object are not errors."""
    driver = {"name": "s3", "bucket": "b", "anything": {"Nested": 1}}
    config = config_of({"storage": {**ROOT, "storageDriver": driver, "remoteCache": False}})
    assert config.storage.storage_driver == {"name": "s3", "bucket": "b", "anything": {"nested": 1}}


def test_wrong_types_name_key_and_value() -> None:
    """The error for a value of a wrong type names the key, the value and the expected type, and masks secrets."""
    with pytest.raises(ConfigurationError, match=r"http\.ratelimit\.rate is 'fast' \(should be a valid integer"):
        config_of({"http": {"ratelimit": {"rate": "fast"}}})
    provider = {"clientsecret": ["hidden"]}
    with pytest.raises(ConfigurationError, match=r"clientsecret is \['\*\*\*\*\*\*'\]") as caught:
        config_of({"http": {"auth": {"openid": {"providers": {"oidc": provider}}}}})
    assert "hidden" not in str(caught.value)


def test_all_problems_of_a_stage_are_reported_at_once() -> None:
    """Several invalid values are reported in one error, one line each."""
    with pytest.raises(ConfigurationError) as caught:
        config_of({"http": {"ratelimit": {"rate": "x"}, "workers": "y"}, "nonsense": 1})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("level", ["", "verbose"])
def test_log_levels(level: str) -> None:
    """An unknown log level is refused with zot's message."""
    text = f"invalid server config: invalid log level '{level}', supported levels are: debug, trace, info, warn"
    with pytest.raises(ConfigurationError, match=f"^{text}"):
        config_of({"log": {"level": level}})


def test_collection_defaults() -> None:
    """The delay of retention defaults to that of collection, and to zero without collection."""
    storage = config_of({"storage": {**ROOT, "gcDelay": "2h"}}).storage
    assert (storage.gc_delay_s, storage.gc_interval_s, storage.retention.delay_s) == (2 * HOUR_S, HOUR_S, 2 * HOUR_S)
    storage = config_of({"storage": {**ROOT, "gcDelay": "2h", "retention": {"delay": "3h"}}}).storage
    assert storage.retention.delay_s == 3 * HOUR_S
    storage = config_of({"storage": {**ROOT, "gc": False}}).storage
    assert (storage.gc_delay_s, storage.gc_interval_s, storage.retention.delay_s) == (0, 0, 0)


def test_sub_path_defaults() -> None:
    """In a sub-path collection and deduplication are off by default; if on, the other defaults are the same."""
    sub_paths = {"/a": {"rootDirectory": "/a"}, "/b": {"rootDirectory": "/b", "gc": True}}
    config = config_of({"storage": {**ROOT, "gcDelay": "5h", "subPaths": sub_paths}})
    a, b = config.storage.sub_paths["/a"], config.storage.sub_paths["/b"]
    assert (a.gc, a.dedupe, a.gc_delay_s, a.commit) == (False, False, 0, True)
    assert (b.gc, b.gc_delay_s, b.gc_interval_s, b.retention.delay_s) == (True, HOUR_S, HOUR_S, HOUR_S)


def test_defaults_do_not_count_as_given() -> None:
    """`model_fields_set` holds only the keys of the file after defaults are filled in."""
    storage = config_of({"storage": {**ROOT, "gc": False}}).storage
    assert storage.model_fields_set == {"root_directory", "gc"}


def test_remote_stores_have_remote_catalogs_by_default() -> None:
    """With an object store and dedupe the catalog is remote unless the file says otherwise."""
    tables = {"name": "dynamodb", "region": "r", "cachetablename": "t"}
    storage = {**ROOT, "storageDriver": {"name": "s3", "bucket": "b"}, "cacheDriver": tables}
    assert config_of({"storage": storage}).storage.remote_cache
    assert not config_of({"storage": {**storage, "dedupe": False}}).storage.remote_cache
    assert not config_of({"storage": ROOT}).storage.remote_cache


def test_path_style_is_the_default_for_a_custom_endpoint() -> None:
    """A custom S3 endpoint is addressed by path, with a warning, unless the file says otherwise."""
    driver = {"name": "s3", "bucket": "b", "regionendpoint": "localhost:4566"}
    loaded = load_tree({"storage": {**ROOT, "storageDriver": driver, "remoteCache": False}})
    assert loaded.config.storage.storage_driver == {**driver, "forcepathstyle": True}
    assert "forcepathstyle" in loaded.warnings[0]


@pytest.mark.parametrize("name", ["search", "ui", "metrics", "scrub", "trust", "sync"])
def test_extension_sections_are_enabled_by_being_there(name: str) -> None:
    """These extensions are enabled by their section, even if empty, and disabled by `enable: false`."""
    search: dict[str, Any] = {"search": {}} if name == "ui" else {}
    extensions = config_of({"extensions": {**search, name: {}}}).extensions
    assert getattr(extensions, f"{name}_enabled")
    extensions = config_of({"extensions": {name: {"enable": False}}}).extensions
    assert not getattr(extensions, f"{name}_enabled")


@pytest.mark.parametrize("name", ["lint", "events"])
def test_other_sections_need_enable(name: str) -> None:
    """These extensions are disabled without `enable: true`."""
    assert not getattr(config_of({"extensions": {name: {}}}).extensions, f"{name}_enabled")
    assert getattr(config_of({"extensions": {name: {"enable": True}}}).extensions, f"{name}_enabled")


def test_too_short_intervals_are_raised() -> None:
    """Intervals of scans and scrubs below two hours are raised to it, with a warning."""
    loaded = load_tree({
        "storage": ROOT,
        "extensions": {"search": {"cve": {"updateInterval": "1h"}}, "scrub": {"interval": "30m"}},
    })  # fmt: skip
    extensions = loaded.config.extensions
    assert extensions.search is not None
    assert extensions.search.cve is not None
    assert extensions.search.cve.update_interval_s == 2 * HOUR_S
    assert extensions.scrub is not None
    assert extensions.scrub.interval_s == 2 * HOUR_S
    assert len(loaded.warnings) == 2


def test_other_spec_version_is_a_warning() -> None:
    """Another version of the specification is replaced, with a warning."""
    loaded = load_tree({"storage": ROOT, "distSpecVersion": "1.0.1"})
    assert loaded.config.dist_spec_version == "1.1.1"
    assert "1.0.1" in loaded.warnings[0]


def test_openid_enables_api_keys() -> None:
    """Browser logins enable API keys, for clients without a browser."""
    provider = {"clientid": "id", "clientsecret": "s", "issuer": "https://issuer", "scopes": ["openid"]}
    loaded = load_tree({"storage": ROOT, "http": {"auth": {"openid": {"providers": {"oidc": provider}}}}})
    assert loaded.config.http.auth.apikey
    assert "credentialsFile" in loaded.warnings[0]


def test_conditions_are_compiled_by_the_caller() -> None:
    """Each condition is passed to the compiler, whose errors are reported with the place in zot's notation."""
    seen = []

    def compile_condition(expression: str) -> None:
        seen.append(expression)
        if expression == "bad":
            raise ValueError("undeclared reference")

    policy = {"users": ["u"], "actions": ["read"], "conditions": [{"expression": "good"}, {"expression": "bad"}]}
    tree = {
        "storage": ROOT,
        "http": {"auth": {"apikey": True}, "accessControl": {"repositories": {"a/**": {"policies": [policy]}}}},
    }
    with pytest.raises(
        ConfigurationError, match=r'repositories\["a/\*\*"\]\.policies\[0\]: condition\[1\]: undeclared'
    ):
        load_tree(tree, compile_condition)
    assert seen == ["good", "bad"]


def test_configurations_are_immutable() -> None:
    """A loaded configuration cannot be changed."""
    config = Config.default()
    with pytest.raises(ValueError, match="frozen"):
        config.http.port = "1"


KEYS = st.sampled_from([key.path.rpartition(".")[2] for key in keys_of(Config)] + ["name", "**", "zzz"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.sampled_from(["storage", "http", "log", "extensions", "scheduler", "cluster", "distSpecVersion"])


@given(st.dictionaries(SECTIONS, VALUES, max_size=4))
def test_any_tree_is_a_configuration_or_a_configuration_error(tree: dict[str, Any]) -> None:
    """Loading any object gives a configuration or a ConfigurationError."""
    try:
        load_tree(tree)
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017 - both outcomes are right
