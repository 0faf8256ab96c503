"""Secret files that a configuration names, parsed by the rules of configuration files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.parse import lower_keys, read_content, read_tree
from zot.config.section import Secret, Section, zot_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zot.config.auth import AuthConfig

S = TypeVar("S", bound=Section)

ANONYMOUS_BIND_DN = "anonym-user"


class LdapCredentials(Section):
    """`http.auth.ldap.credentialsFile`: the account that searches the directory."""

    bind_dn: str = zot_key("bindDN", doc="Name to bind with.")
    bind_password: Secret = zot_key("bindPassword", doc="Its password.")


class OpenIdCredentials(Section):
    """`http.auth.openid.providers.NAME.credentialsFile`: the client registered at the provider."""

    client_id: str = zot_key("clientid", doc="Client id.")
    client_secret: Secret = zot_key("clientsecret", doc="Client secret; empty: PKCE alone.")


class SessionKeys(Section):
    """`http.auth.sessionKeysFile`: the keys that protect the cookies of sessions."""

    hash_key: Secret | None = zot_key("hashKey", None, doc="Key of the signature; 32 or 64 bytes.")
    encrypt_key: Secret | None = zot_key("encryptKey", None, doc="Key of the encryption; 16, 24 or 32 bytes.")


class RegistryCredentials(Section):
    """One entry of `extensions.sync.credentialsFile`."""

    username: str = zot_key("username", doc="User name.")
    password: Secret = zot_key("password", doc="Password.")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The contents of the secret files. `ldap` is None for an anonymous bind."""

    ldap: LdapCredentials | None = None
    openid: Mapping[str, OpenIdCredentials] = field(default_factory=dict)
    session_keys: SessionKeys | None = None


def read_secrets(auth: AuthConfig, read: Callable[[Path], bytes] = read_content) -> Secrets:
    """Read the secret files that `auth` names; raise ConfigurationError if one is invalid.

    Relative paths start at the working directory.
    """
    ldap_file = auth.ldap.credentials_file if auth.ldap else ""
    providers = auth.openid.providers if auth.openid else {}
    return Secrets(
        ldap=_read(ldap_file, LdapCredentials, read) if ldap_file else None,
        openid={
            name: _read(provider.credentials_file, OpenIdCredentials, read)
            for name, provider in providers.items()
            if provider.credentials_file
        },
        session_keys=_read(auth.session_keys_file, SessionKeys, read) if auth.session_keys_file else None,
    )


def secret_paths(auth: AuthConfig) -> list[Path]:
    """Return the paths of the secret files that `auth` names."""
    names = [auth.ldap.credentials_file if auth.ldap else "", auth.session_keys_file]
    names += [provider.credentials_file for provider in (auth.openid.providers.values() if auth.openid else ())]
    return [Path(name) for name in names if name]


def read_sync_credentials(path: Path, read: Callable[[Path], bytes] = read_content) -> dict[str, RegistryCredentials]:
    """Read `extensions.sync.credentialsFile`: credentials by `host[:port]`."""
    tree = lower_keys(read_tree(path, read))
    return {host: _validate(entry, RegistryCredentials, path) for host, entry in tree.items()}


def _read(name: str, model: type[S], read: Callable[[Path], bytes]) -> S:
    path = Path(name)
    if not path.suffix:
        raise ConfigurationError(
            ConfigProblem(f"failed to load secret file {path}", expected="a file ending in .json, .yaml or .toml")
        )
    try:
        tree = lower_keys(read_tree(path, read))
    except ConfigurationError as error:
        text = error.problems[0].text.replace("failed to load config", "failed to load secret file")
        raise ConfigurationError(ConfigProblem(text, str(path))) from error
    return _validate(tree, model, path)


def _validate(tree: object, model: type[S], path: Path) -> S:
    try:
        return model.model_validate(tree, by_name=False)
    except ValidationError as error:
        # The error names keys only, since a wrong value may be the secret.
        details = error.errors(include_input=False, include_url=False)
        kinds = {detail["type"] for detail in details}
        reason = (
            "unset keys" if kinds == {"missing"} else "unknown keys" if kinds == {"extra_forbidden"} else "its keys"
        )
        keys = ", ".join(".".join(map(str, detail["loc"])) or detail["msg"] for detail in details)
        raise ConfigurationError(
            ConfigProblem(f"failed to load secret file due to {reason}", f"{path}: {keys}")
        ) from None
