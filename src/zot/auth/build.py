"""Builds the authentication methods and the policy of a configuration."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zot.accounts.interface import Accounts
from zot.accounts.sessions.interface import SessionStore
from zot.accounts.sessions.session import Sessions
from zot.auth.authenticators.apikey import ApiKeyAuthenticator
from zot.auth.authenticators.bearer import BearerAuthenticator, KeyFile, VerificationKeys
from zot.auth.authenticators.htpasswd import HtpasswdAuthenticator
from zot.auth.authenticators.ldap import LdapAuthenticator
from zot.auth.authenticators.mtls import MtlsAuthenticator
from zot.auth.authenticators.workload import WorkloadAuthenticator
from zot.auth.aws_secrets import AwsSecretKeys
from zot.auth.chain import AuthChain, AuthMethods, PasswordAuthenticator
from zot.auth.decision import AllowAll, Policy
from zot.auth.fetch import Fetcher
from zot.auth.login_validity import LoginValidity
from zot.auth.oauth.browser import BrowserLogins
from zot.auth.policy import AccessPolicy
from zot.auth.registry_tokens import RegistryTokens
from zot.config.auth import AuthConfig
from zot.config.model import Config
from zot.foundation.threads import ThreadPool

PASSWORD_THREADS = 4
PASSWORD_QUEUE_LIMIT = 256


class AuthParts(msgspec.Struct, frozen=True):
    """What authentication methods use: opened and closed by the caller."""

    passwords: ThreadPool
    """Threads that hash passwords."""
    files: ThreadPool
    """Threads that read small files: separate, so that a flood of logins does not delay requests already verified."""
    accounts: Accounts | None = None
    session_store: SessionStore | None = None


class Auth:
    """Authentication and authorization by one configuration.

    Another configuration is another `Auth` over the same parts.
    """

    def __init__(
        self,
        chain: AuthChain,
        policy: Policy,
        *,
        sessions: Sessions | None = None,
        accounts: Accounts | None = None,
        logins: BrowserLogins | None = None,
        workloads: WorkloadAuthenticator | None = None,
        tokens: RegistryTokens | None = None,
        fetcher: Fetcher | None = None,
        ldap: LdapAuthenticator | None = None,
        htpasswd: HtpasswdAuthenticator | None = None,
    ) -> None:
        """Keep what `build` made."""
        self.htpasswd = htpasswd
        self.chain = chain
        self.policy = policy
        self.sessions = sessions
        self.accounts = accounts
        self.logins = logins
        self.workloads = workloads
        self.tokens = tokens
        self.fetcher = fetcher or Fetcher()
        self._ldap = ldap

    @property
    def is_open(self) -> bool:
        """Whether no authentication method is configured: every client is anonymous."""
        return self.chain.is_open

    async def close(self) -> None:
        """Close the connections to issuers and directories. Idempotent."""
        await self.fetcher.close()
        if self._ldap is not None:
            await self._ldap.close()


def build(config: Config, parts: AuthParts) -> Auth:
    """Return the authentication methods and the policy of the configuration.

    No server is connected and no user file is read yet: what is down at the start may be up at the first login.
    Raises ConfigurationError, or ValueError if a pattern or a condition is invalid.
    """
    auth, rules = config.http.auth, config.http.access_control
    policy: Policy = AllowAll() if rules is None else AccessPolicy(rules)
    fetcher = Fetcher()
    ldap = LdapAuthenticator(auth.ldap, config.secrets.ldap) if auth.ldap is not None else None
    passwords: list[PasswordAuthenticator] = []
    htpasswd = None
    if auth.has_htpasswd:
        path = Path(auth.htpasswd.path)
        htpasswd = HtpasswdAuthenticator(path, parts.passwords, parts.files, hides_names=ldap is None)
        passwords.append(htpasswd)
    if ldap is not None:
        passwords.append(ldap)
    sessions = Sessions(parts.session_store) if parts.session_store is not None and auth.has_basic else None
    accounts = parts.accounts if auth.has_basic else None
    logins = None
    if auth.openid is not None and sessions is not None:
        logins = BrowserLogins(auth.openid, sessions, fetcher, config.http.external_url)
    bearer = auth.bearer
    workloads = WorkloadAuthenticator(bearer, fetcher) if bearer is not None and bearer.oidc else None
    verifies_clients = config.http.verifies_clients
    others = {"openid": logins is not None, "mtls": verifies_clients, "oidc": workloads is not None}
    validity = LoginValidity(passwords, [method for method, configured in others.items() if configured])
    api_keys = ApiKeyAuthenticator(accounts, validity) if auth.apikey and accounts is not None else None
    forwards = bearer is not None and bearer.upstream_token_endpoint is not None
    tokens = RegistryTokens(sessions, validity, api_keys) if sessions is not None and not forwards else None
    methods = AuthMethods(
        passwords=passwords,
        api_keys=api_keys,
        logins=logins is not None,
        mtls=MtlsAuthenticator(auth.mtls) if verifies_clients else None,
        bearer=_bearer(auth, parts.files),
        workloads=workloads,
    )
    chain = AuthChain(
        methods,
        policy,
        validity=validity,
        tokens=tokens,
        sessions=sessions,
        accounts=accounts,
        realm=config.http.realm,
        fail_delay_s=auth.fail_delay_s,
    )
    return Auth(
        chain,
        policy,
        sessions=sessions,
        accounts=accounts,
        logins=logins,
        workloads=workloads,
        tokens=tokens,
        fetcher=fetcher,
        ldap=ldap,
        htpasswd=htpasswd,
    )


def _bearer(auth: AuthConfig, pool: ThreadPool) -> BearerAuthenticator | None:
    config = auth.bearer
    if config is None or not auth.has_token_bearer:
        return None
    keys: VerificationKeys = (
        AwsSecretKeys(config.aws_secrets_manager)
        if config.aws_secrets_manager is not None
        else KeyFile(Path(config.cert), pool)
    )
    return BearerAuthenticator(config.realm, config.service, keys)
