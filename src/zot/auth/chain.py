"""Authenticates requests by all configured methods, in zot's order.

With a token server, only its tokens are accepted. Otherwise the Authorization header holds a token of this registry, a
token of a workload, or a user name with a password: of htpasswd, LDAP and API keys the first that knows it wins.
Without a header, the session cookie authenticates zot's UI; then the client certificate; then the client is anonymous,
if the policy allows that. Invalid credentials are refused: they never count as none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from zot.accounts.interface import Accounts, AccountsUnavailableError
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.accounts.sessions.session import Session, Sessions
from zot.auth.authenticators.apikey import ApiKeyAuthenticator, hash_of, looks_like_key
from zot.auth.authenticators.bearer import BearerAuthenticator, challenge, scope_of
from zot.auth.authenticators.mtls import MtlsAuthenticator
from zot.auth.authenticators.workload import WorkloadAuthenticator
from zot.auth.credentials import Authorization, Credentials, CrossOrigin, Login, ResourceClass, authorization, login
from zot.auth.decision import Policy
from zot.auth.login_validity import LoginValidity
from zot.auth.principal import ANONYMOUS, Principal
from zot.auth.registry_tokens import PREFIX as TOKEN_PREFIX
from zot.auth.registry_tokens import RegistryTokens
from zot.auth.throttle import Throttle
from zot.auth.tokens import InvalidTokenError
from zot.registry.errors import Unauthorized, Unavailable
from zot.registry.request import Ping, Request

_log = logging.getLogger("zot.auth")

DEFAULT_REALM = "Authorization Required"

# Prefixes of User-Agent: Docker's engine, and clients whose login is a ping.
_PING_LOGIN_AGENTS = ("docker/", "oras/", "Helm/", "regclient/")


class PasswordAuthenticator(Protocol):
    """An authentication method with user names and passwords."""

    method: str
    revocable: bool

    async def cached(self, encoded: str) -> Principal | None:
        """Return the principal of recently verified credentials (`Login.encoded`), or None.

        Never raises: a caller that gets None calls `verify`, which raises Unavailable.
        """

    async def verify(self, login: Login) -> Principal | None:
        """Return the principal, None if the user is unknown or the password is wrong.

        Raises Unavailable if the method cannot tell.
        """

    async def fingerprint(self, name: str) -> str | None:
        """See `UserSource`."""


class AuthResult(msgspec.Struct, frozen=True):
    """An authenticated client, and the change to its session cookie."""

    principal: Principal
    session: str | None = None
    """The id of a new session, for the cookie."""
    forget_session: bool = False
    """Whether the cookie names no session and should be deleted."""


class AuthMethods(msgspec.Struct, frozen=True):
    """The authentication methods that are configured."""

    passwords: Sequence[PasswordAuthenticator] = ()
    """htpasswd, then LDAP."""
    api_keys: ApiKeyAuthenticator | None = None
    logins: bool = False
    """Whether users log in at a provider in the browser."""
    mtls: MtlsAuthenticator | None = None
    bearer: BearerAuthenticator | None = None
    workloads: WorkloadAuthenticator | None = None

    @property
    def basic(self) -> bool:
        """Whether there are users at all (zot's basic authentication)."""
        return bool(self.passwords or self.api_keys or self.logins)


class AuthChain:
    """Authenticates requests, logs in users, and writes the challenges of refusals."""

    def __init__(
        self,
        methods: AuthMethods,
        policy: Policy,
        *,
        validity: LoginValidity,
        tokens: RegistryTokens | None = None,
        sessions: Sessions | None = None,
        accounts: Accounts | None = None,
        realm: str = "",
        fail_delay_s: float = 0.0,
    ) -> None:
        """Keep the methods and what they need.

        The policy tells what anonymous clients may do; `tokens` is None if this registry issues none.
        """
        self._methods = methods
        self._policy = policy
        self._validity = validity
        self._tokens = tokens
        self._attempts: dict[tuple[str, str], asyncio.Task[Principal | None]] = {}
        self._sessions = sessions
        self._accounts = accounts
        self._realm = realm or DEFAULT_REALM
        self._fail_delay_s = fail_delay_s
        self._throttle = Throttle()

    async def authenticate(self, credentials: Credentials) -> AuthResult:
        """Return the principal of a request; ANONYMOUS if it has no credentials and needs none.

        Raises Unauthorized, CrossOrigin, and Unavailable if a directory, issuer or store cannot be reached.
        """
        try:
            return await self._authenticate(credentials)
        except Unauthorized:
            if credentials.authorization:
                await self.delay()
            raise

    @property
    def is_open(self) -> bool:
        """Whether no method is configured: every client is anonymous."""
        methods = self._methods
        return not (methods.basic or methods.mtls or methods.bearer or methods.workloads)

    @property
    def offers_tokens(self) -> bool:
        """Whether challenges point to the token endpoint: if both anonymous clients and users have rights.

        Docker's client asks `/v2/` once how to authenticate. After a `Basic` challenge it sends no anonymous requests.
        """
        policy = self._policy
        mixed = self._methods.basic and policy.allows_anonymous and policy.names_users
        return mixed and self._tokens is not None and self._methods.bearer is None

    async def log_in(self, header: Authorization | None, address: str) -> tuple[Principal, str]:
        """Return the principal of a token request, and the hash of its API key or an empty text.

        The principal is ANONYMOUS without a header, if the policy allows that. Raises Unauthorized, TooManyRequests,
        Unavailable.
        """
        if header is None:
            if not self._policy.allows_anonymous:
                raise Unauthorized
            return ANONYMOUS, ""
        try:
            attempt = login(header)
            principal = await self._cached(header) or await self._verified(attempt, address)
        except Unauthorized:
            await self.delay()
            raise
        return principal, hash_of(attempt.password) if principal.method == ApiKeyAuthenticator.method else ""

    async def delay(self) -> None:
        """Wait for `failDelay` before a refusal."""
        if self._fail_delay_s:
            await asyncio.sleep(self._fail_delay_s)

    def challenges(
        self, credentials: Credentials, request: Request | None, own_realm: str, error: str = ""
    ) -> Sequence[str]:
        """Return the WWW-Authenticate headers of a refusal; none for the UI, and if no method is configured.

        A browser shows its own login dialog for a challenge, which the UI avoids. `own_realm` is the URL of this
        registry's token endpoint, empty if the request has no Host; `error` is the error code of a bearer token (RFC
        6750). The preferred challenge comes first: some clients read no other.
        """
        methods = self._methods
        if credentials.from_ui:
            return ()
        if methods.bearer is not None:
            return (methods.bearer.challenge(request, error),)
        # There is no challenge for certificates, but RFC 9110 requires one; zot sends this.
        basic = f'Basic realm="{self._realm}"'
        if self.offers_tokens and own_realm:
            # If `/v2/` also offers Basic, Docker's client assumes that the registry needs a password.
            bearer = challenge(own_realm, "zot", scope_of(request), error)
            return (bearer,) if isinstance(request, Ping) else (bearer, basic)
        if methods.basic or (methods.mtls is not None and methods.workloads is None):
            return (basic,)
        if methods.workloads is not None:
            return (methods.workloads.challenge(request, own_realm, error),)
        return ()

    async def _authenticate(self, credentials: Credentials) -> AuthResult:
        header = authorization(credentials)
        methods = self._methods
        if methods.bearer is not None:
            return await self._by_token_server(methods.bearer, credentials, header)
        if header is None or not (methods.workloads is not None or methods.basic):
            return await self._without_header(credentials)
        if header.scheme == "bearer" and self._tokens is not None and header.value.startswith(TOKEN_PREFIX):
            return AuthResult(await self._by_own_token(self._tokens, credentials, header))
        if header.scheme == "bearer" and methods.workloads is not None:
            return AuthResult(await self._by_workload_token(methods.workloads, header))
        if not methods.basic:
            raise Unauthorized("this registry accepts bearer tokens")
        return await self._by_password(credentials, header)

    async def _by_token_server(
        self, bearer: BearerAuthenticator, credentials: Credentials, header: Authorization | None
    ) -> AuthResult:
        if header is None:
            if credentials.resource is ResourceClass.MANAGEMENT:
                return AuthResult(ANONYMOUS)
            raise Unauthorized("a bearer token is required")
        if header.scheme != "bearer":
            raise Unauthorized("this registry accepts bearer tokens")
        workloads = self._methods.workloads
        if workloads is not None and workloads.accepts(header.value):
            return AuthResult(await self._by_workload_token(workloads, header))
        try:
            return AuthResult(await bearer.verify(header.value, time.time()))
        except InvalidTokenError as error:
            reason = workloads.mismatch(header.value) if workloads is not None else None
            raise Unauthorized(reason or str(error)) from error

    async def _by_own_token(self, tokens: RegistryTokens, credentials: Credentials, header: Authorization) -> Principal:
        principal = await tokens.verify(header.value)
        if not principal.authenticated:
            self._anonymous(credentials)
        return principal

    async def _by_workload_token(self, workloads: WorkloadAuthenticator, header: Authorization) -> Principal:
        try:
            return await workloads.verify(header.value)
        except InvalidTokenError as error:
            raise Unauthorized(str(error)) from error

    async def _by_password(self, credentials: Credentials, header: Authorization) -> AuthResult:
        principal = await self._cached(header) or await self._verified(login(header), credentials.address)
        if not credentials.from_ui or principal.method == ApiKeyAuthenticator.method:
            return AuthResult(principal)
        return AuthResult(principal, session=await self.begin_session(principal, credentials.session))

    async def _cached(self, header: Authorization) -> Principal | None:
        """Return the principal of a recently verified Basic header, or None: the fast path of most requests."""
        if header.scheme == "basic":
            for method in self._methods.passwords:
                principal = await method.cached(header.value)
                if principal is not None:
                    return principal
        return None

    async def _verified(self, attempt: Login, address: str) -> Principal:
        """Return the principal. Raises Unauthorized for a wrong password, TooManyRequests after many of them."""
        if self._methods.api_keys is not None and looks_like_key(attempt.password):
            # First, and not throttled: a key cannot be guessed, and costs no bcrypt.
            principal = await self._methods.api_keys.verify(attempt)
            if principal is not None:
                return principal
        # Clients open several connections at once: the same password on all of them is one attempt.
        key = (attempt.encoded, address)
        task = self._attempts.get(key)
        if task is None:
            task = self._attempts[key] = asyncio.create_task(self._attempt(attempt, address))
            task.add_done_callback(lambda done: self._finished(key, done))
        principal = await asyncio.shield(task)
        if principal is None:
            raise Unauthorized("wrong user name or password")
        return principal

    def _finished(self, key: tuple[str, str], task: asyncio.Task[Principal | None]) -> None:
        del self._attempts[key]
        if not task.cancelled():
            task.exception()  # retrieved here: every client that waited may have disconnected

    async def _attempt(self, attempt: Login, address: str) -> Principal | None:
        turn = self._throttle.begin(attempt.name, address)
        try:
            await asyncio.sleep(turn.wait_s)
            principal = None if await self._is_service(attempt.name) else await self._verify(attempt)
        except BaseException:
            self._throttle.undecided(turn)
            raise
        if principal is not None:
            self._throttle.succeeded(turn)
            await self._record_groups(principal)
        return principal

    async def _is_service(self, name: str) -> bool:
        """Tell whether a service account has this name: it has no password, even if a directory has the name."""
        if self._accounts is None:
            return False
        try:
            user = await self._accounts.user(name)
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error
        return user is not None and user.service

    async def _record_groups(self, principal: Principal) -> None:
        """Store the present groups of a user who logged in with a password, for the user's API keys."""
        if self._methods.api_keys is None or self._accounts is None:
            return
        try:
            await self._accounts.record_login(principal.name, sorted(principal.groups), principal.method)
        except AccountsUnavailableError as error:
            _log.error("the groups of %s cannot be stored: %s", principal.name, error)

    async def _verify(self, attempt: Login) -> Principal | None:
        unavailable: Unavailable | None = None
        for method in self._methods.passwords:
            try:
                principal = await method.verify(attempt)
            except Unavailable as error:
                # Another method may still know the user. If none does, the password is not known to be wrong.
                unavailable = error
                continue
            if principal is not None:
                return principal
        if unavailable is not None:
            raise unavailable
        return None

    async def begin_session(self, principal: Principal, old_id: str = "", provider: str = "") -> str | None:
        """Begin a session after a login, end the session `old_id`, and store the user's groups.

        Returns the id for the cookie, None if the registry has no sessions. Raises Unavailable, and Unauthorized for
        the name of a service account: another method may know a different user by that name.
        """
        if self._sessions is None:
            return None
        groups = tuple(sorted(principal.groups))
        fingerprint = await self._validity.fingerprint(principal.method, principal.name) or ""
        session = Session(principal.name, principal.method, time.time(), groups, provider, fingerprint)
        try:
            if self._accounts is not None:
                if await self._is_service(principal.name):
                    raise Unauthorized(f"{principal.name} is a service account: it can use API keys only")
                await self._accounts.record_login(principal.name, groups, principal.method)
            return await self._sessions.start(session, old_id)
        except (SessionsUnavailableError, AccountsUnavailableError) as error:
            _log.error("a session cannot be stored: %s", error)
            raise Unavailable("sessions cannot be stored at the moment") from error

    async def _without_header(self, credentials: Credentials) -> AuthResult:
        methods = self._methods
        reads_page = credentials.resource is ResourceClass.PAGE and not credentials.is_unsafe
        principal, forget = None, False
        if (credentials.from_ui or reads_page) and credentials.session and self._sessions is not None:
            session = await self._find_session(self._sessions, credentials.session)
            if session is not None:
                principal = Principal(session.user, "session", frozenset(session.groups))
            forget = session is None
        if principal is None and credentials.certificate is not None and methods.mtls is not None:
            principal = methods.mtls.verify(credentials.certificate)
            if principal is None:
                raise Unauthorized("the client certificate names no user")
        if principal is None:
            return AuthResult(self._anonymous(credentials), forget_session=forget)
        # Browsers send cookies and certificates also with requests that other sites initiate.
        if credentials.is_unsafe and not credentials.same_origin:
            raise CrossOrigin("changes are accepted from the registry's own pages only")
        return AuthResult(principal, forget_session=forget)

    async def _find_session(self, sessions: Sessions, session_id: str) -> Session | None:
        try:
            session = await sessions.find(session_id)
            if session is None or await self._validity.is_valid(
                session.method, session.user, session.login_fingerprint
            ):
                return session
            await sessions.end(session_id)
        except SessionsUnavailableError as error:
            _log.error("%s", error)
            raise Unavailable("sessions cannot be looked up at the moment") from error
        return None

    def _anonymous(self, credentials: Credentials) -> Principal:
        """Return ANONYMOUS if the resource allows it. Raises Unauthorized otherwise."""
        methods, policy = self._methods, self._policy
        if not methods.basic and methods.mtls is None and methods.workloads is None:
            return ANONYMOUS
        if credentials.resource is ResourceClass.MANAGEMENT or (
            credentials.resource is ResourceClass.METRICS and policy.reads_metrics(ANONYMOUS)
        ):
            return ANONYMOUS
        if policy.allows_anonymous and not self._challenges_ping(credentials):
            return ANONYMOUS
        raise Unauthorized

    def _challenges_ping(self, credentials: Credentials) -> bool:
        """Tell whether an anonymous ping of this client gets a challenge although anonymous clients have rights.

        Docker's engine sends credentials only to a registry whose `/v2/` returned 401, and the logins of other
        clients succeed if `/v2/` does not refuse them. Every other client gets 200, as from zot.
        """
        agent = credentials.user_agent
        is_ping = credentials.resource is ResourceClass.PING
        logs_in_by_ping = "Docker-Client" in agent or agent.startswith(_PING_LOGIN_AGENTS)
        return is_ping and logs_in_by_ping and self._methods.basic and self._policy.names_users
