"""Secret files are parsed strictly, and their secrets are never printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zot.config.auth import AuthConfig
from zot.config.errors import ConfigurationError
from zot.config.load import load_tree
from zot.config.masking import masked
from zot.config.secret_files import read_secrets, read_sync_credentials, secret_paths

ROOT = {"rootDirectory": "/data"}
LDAP = {"address": "ldap", "baseDN": "dc=x", "userAttribute": "uid"}


def written(path: Path, content: Any) -> str:
    """Write a file and return its name."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def ldap(name: str) -> dict[str, Any]:
    """Return a configuration with this LDAP credentials file."""
    return {"storage": ROOT, "http": {"auth": {"ldap": {**LDAP, "credentialsFile": name}}}}


def test_ldap_credentials(tmp_path: Path) -> None:
    """The LDAP bind name and password are read from their file; keys match in any case."""
    name = written(tmp_path / "ldap.yaml", "BINDDN: cn=reader\nbindPassword: hidden\n")
    config = load_tree(ldap(name)).config
    assert config.secrets.ldap is not None
    assert config.secrets.ldap.bind_dn == "cn=reader"
    assert config.secrets.ldap.bind_password.get_secret_value() == "hidden"
    assert load_tree({"storage": ROOT, "http": {"auth": {"ldap": LDAP}}}).config.secrets.ldap is None


def test_openid_credentials(tmp_path: Path) -> None:
    """A provider's client id and secret are read from its file, and satisfy the rules without a warning."""
    name = written(tmp_path / "oidc.json", {"clientid": "id", "clientsecret": "hidden"})
    provider = {"credentialsFile": name, "issuer": "https://i", "scopes": ["openid"]}
    loaded = load_tree({"storage": ROOT, "http": {"auth": {"openid": {"providers": {"oidc": provider}}}}})
    assert loaded.warnings == ()
    openid = loaded.config.http.auth.openid
    assert openid is not None
    found = openid.providers["oidc"]
    assert found.client_id == "id"
    assert found.client_secret is not None
    assert found.client_secret.get_secret_value() == "hidden"


@pytest.mark.parametrize("keys", [{"hashKey": "h" * 32, "encryptKey": "e" * 16}, {"hashKey": "h"}])
def test_session_keys(tmp_path: Path, keys: dict[str, str]) -> None:
    """Session keys are read from their file; the encryption key is optional."""
    name = written(tmp_path / "keys.json", keys)
    found = load_tree({"storage": ROOT, "http": {"auth": {"sessionKeysFile": name}}}).config.secrets.session_keys
    assert found is not None
    assert found.hash_key is not None
    assert found.hash_key.get_secret_value() == keys["hashKey"]
    assert (found.encrypt_key is not None) == ("encryptKey" in keys)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{}", "failed to load secret file due to the absence of any key:value pair"),
        ("", "failed to load secret file due to the absence of any key:value pair"),
        ({"bindDN": "a"}, r"failed to load secret file due to unset keys \(.*bindPassword\)"),
        ({"bindDN": "a", "bindPassword": "hidden", "x": 1}, r"failed to load secret file due to unknown keys \(.*x\)"),
        ({"bindDN": "a", "bindPassword": ["hidden"]}, r"failed to load secret file due to its keys \(.*bindPassword\)"),
        ("{", "failed to read configuration"),
    ],
)
def test_broken_secret_files_are_refused(tmp_path: Path, content: Any, reason: str) -> None:
    """The error for an empty, incomplete or invalid secret file names it and does not show its secrets."""
    name = written(tmp_path / "ldap.json", content)
    with pytest.raises(ConfigurationError, match=f"^invalid server config: {reason}") as caught:
        load_tree(ldap(name))
    assert name in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.json", "none", "zero\0byte.json"])
def test_missing_secret_files_are_refused(name: str) -> None:
    """A secret file that cannot be read or has no extension is refused."""
    with pytest.raises(ConfigurationError, match=r"cannot read|ending in .json"):
        load_tree(ldap(name))


def test_secret_paths() -> None:
    """The paths of all secret files are returned, so that they can be watched."""
    auth = AuthConfig.model_validate({
        "ldap": {**LDAP, "credentialsFile": "a"},
        "openid": {"providers": {"oidc": {"credentialsFile": "b"}, "google": {}}},
        "sessionKeysFile": "c",
    })  # fmt: skip
    assert secret_paths(auth) == [Path("a"), Path("c"), Path("b")]
    assert secret_paths(AuthConfig()) == []
    assert read_secrets(AuthConfig()).session_keys is None


def test_sync_credentials(tmp_path: Path) -> None:
    """Credentials of upstream registries are found by host and port."""
    name = written(tmp_path / "sync.json", {"Registry:5000": {"username": "u", "password": "hidden"}})
    found = read_sync_credentials(Path(name))
    assert found["registry:5000"].username == "u"
    assert found["registry:5000"].password.get_secret_value() == "hidden"


def test_secrets_are_printed_nowhere(tmp_path: Path) -> None:
    """Neither `repr`, nor `str`, nor the masked dump of a configuration shows a secret."""
    ldap_file = written(tmp_path / "ldap.json", {"bindDN": "cn", "bindPassword": "hidden-1"})
    keys_file = written(tmp_path / "keys.json", {"hashKey": "hidden-2"})
    config = load_tree({
        "storage": {
            **ROOT,
            "storageDriver": {"name": "s3", "secretKey": "hidden-3", "session-token": "hidden-4", "bucket": "shown"},
            "cacheDriver": {"name": "redis", "url": "rediss://user:hid%2Fden@5@host:6379/1?password=hidden-6&db=2"},
        },
        "http": {
            "auth": {
                "ldap": {**LDAP, "credentialsFile": ldap_file},
                "sessionKeysFile": keys_file,
                "sessionDriver": {"name": "local", "password": 12345678, "nested": [{"token": "hidden-7"}]},
                "openid": {
                    "providers": {"github": {"clientid": "id", "clientsecret": "hidden-8", "scopes": "user"}},
                },
            }
        },
        "cluster": {"members": ["a:1"], "hashKey": "hidden-9-16-char"},
        "extensions": {
            "events": {
                "sinks": [
                    {
                        "type": "nats",
                        "address": "nats://me:hidden-10@host",
                        "headers": {"Authorization": "hidden-11"},
                        "credentials": {"password": "hidden-12", "token": "hidden-13"},
                    }
                ]
            }
        },
    }).config  # fmt: skip
    for text in (repr(config), str(config), json.dumps(masked(config))):
        assert "hidden" not in text
        assert "12345678" not in text
        assert "hid%2Fden" not in text
    dump = masked(config)
    assert dump["storage"]["storageDriver"] == {
        "name": "s3", "secretkey": "******", "session-token": "******", "bucket": "shown",
    }  # fmt: skip
    assert dump["storage"]["cacheDriver"]["url"] == "rediss://user:******@host:6379/1?password=******&db=2"
    assert dump["http"]["auth"]["apikey"] is True
