"""Who is asking: all authentication methods, in zot's order.

One Authorization header at most. With a token server, its tokens alone count. Else a token of this registry; a token
of a workload; a user name with a password: htpasswd, LDAP, API keys, and the first that knows it wins. Without that
header the session cookie, if the client is the UI; else the client certificate; else the client is anonymous, if that
is enough. Credentials that are wrong are refused: they never count as none.
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

# Beginnings of User-Agent: Docker's engine, and clients whose login is a ping.
_ASK_ONCE = ("docker/", "oras/", "Helm/", "regclient/")


class PasswordAuthenticator(Protocol):
    """Knows users by their passwords."""

    method: str
    revocable: bool

    async def known(self, sent: str) -> Principal | None:
        """Return who it is that sent this (`Login.sent`), if it was verified a moment ago and still holds.

        None says nothing, and neither does a fault: it is `verify` that raises.
        """

    async def verify(self, login: Login) -> Principal | None:
        """Return who that is, None if it is nobody that is known; raise Unavailable if that cannot be told."""

    async def standing(self, name: str) -> str | None:
        """See `KnowsUsers`."""


class AuthResult(msgspec.Struct, frozen=True):
    """Somebody who was let in, and what becomes of their session cookie."""

    principal: Principal
    session: str | None = None
    """A session that was begun: its id is to be set as a cookie."""
    forget_session: bool = False
    """Whether the cookie that was sent is of no session, and should be dropped."""


class AuthMethods(msgspec.Struct, frozen=True):
    """The ways in that are configured."""

    passwords: Sequence[PasswordAuthenticator] = ()
    """htpasswd, then LDAP."""
    api_keys: ApiKeyAuthenticator | None = None
    logins: bool = False
    """Whether people log in at a provider in the browser."""
    mtls: MtlsAuthenticator | None = None
    bearer: BearerAuthenticator | None = None
    workloads: WorkloadAuthenticator | None = None

    @property
    def basic(self) -> bool:
        """Whether there are users at all (zot's basic authentication)."""
        return bool(self.passwords or self.api_keys or self.logins)


class AuthChain:
    """Asks each of the ways in."""

    def __init__(
        self,
        ways: AuthMethods,
        policy: Policy,
        *,
        standings: LoginValidity,
        tokens: RegistryTokens | None = None,
        sessions: Sessions | None = None,
        accounts: Accounts | None = None,
        realm: str = "",
        fail_delay_s: float = 0.0,
    ) -> None:
        """Take the methods, the policy (which says what anonymous clients may), and where sessions are.

        `tokens` are those that this registry issues; None: it issues none.
        """
        self._ways = ways
        self._policy = policy
        self._standings = standings
        self._tokens = tokens
        self._attempts: dict[tuple[str, str], asyncio.Task[Principal | None]] = {}
        self._sessions = sessions
        self._accounts = accounts
        self._realm = realm or DEFAULT_REALM
        self._fail_delay_s = fail_delay_s
        self._throttle = Throttle()

    async def authenticate(self, credentials: Credentials) -> AuthResult:
        """Return who is asking; ANONYMOUS where that is enough.

        Raises Unauthorized, Unavailable if what would tell cannot be reached, and CrossOrigin.
        """
        try:
            return await self._admission(credentials)
        except Unauthorized:
            if credentials.authorization:
                await self.delay()
            raise

    @property
    def is_open(self) -> bool:
        """Whether there is no way in, so that everybody is anonymous."""
        ways = self._ways
        return not (ways.basic or ways.mtls or ways.bearer or ways.workloads)

    @property
    def offers_tokens(self) -> bool:
        """Whether challenges send clients to the token endpoint: where anonymous clients and users meet.

        Docker's client asks `/v2/` once how to authenticate. Told `Basic`, it never sends a request without a password.
        """
        policy = self._policy
        meet = self._ways.basic and policy.lets_anonymous_in and policy.names_users
        return meet and self._tokens is not None and self._ways.bearer is None

    async def log_in(self, header: Authorization | None, address: str) -> tuple[Principal, str]:
        """Return who asks for a token, with the hash of the API key that was used; ANONYMOUS if that is enough.

        Raises Unauthorized, TooManyRequests, Unavailable.
        """
        if header is None:
            if not self._policy.lets_anonymous_in:
                raise Unauthorized
            return ANONYMOUS, ""
        try:
            who = login(header)
            principal = await self._known(header) or await self._logged_in(who, address)
        except Unauthorized:
            await self.delay()
            raise
        return principal, hash_of(who.password) if principal.method == ApiKeyAuthenticator.method else ""

    async def delay(self) -> None:
        """Wait for as long as a refusal is held back (`failDelay`)."""
        if self._fail_delay_s:
            await asyncio.sleep(self._fail_delay_s)

    def challenges(
        self, credentials: Credentials, request: Request | None, own_realm: str, error: str = ""
    ) -> Sequence[str]:
        """Return the WWW-Authenticate headers of a refusal; none for the UI, and if no client can authenticate.

        A browser that gets one shows a dialog of its own, so the UI says that it wants none. `own_realm` is the URL of
        this registry's token endpoint, empty if the client did not say by which host it reached it; `error` is what is
        wrong with a bearer token (RFC 6750). The first challenge is the one to follow: some clients read no other.
        """
        ways = self._ways
        if credentials.from_ui:
            return ()
        if ways.bearer is not None:
            return (ways.bearer.challenge(request, error),)
        # There is no challenge for certificates; RFC 9110 wants one all the same, and zot gives this.
        basic = f'Basic realm="{self._realm}"'
        if self.offers_tokens and own_realm:
            # Docker's client takes a registry that also offers Basic for one that needs a password.
            bearer = challenge(own_realm, "zot", scope_of(request), error)
            return (bearer,) if isinstance(request, Ping) else (bearer, basic)
        if ways.basic or (ways.mtls is not None and ways.workloads is None):
            return (basic,)
        if ways.workloads is not None:
            return (ways.workloads.challenge(request, own_realm, error),)
        return ()

    async def _admission(self, credentials: Credentials) -> AuthResult:
        header = authorization(credentials)
        ways = self._ways
        if ways.bearer is not None:
            return await self._by_token_server(ways.bearer, credentials, header)
        if header is None or not (ways.workloads is not None or ways.basic):
            return await self._without_header(credentials)
        if header.scheme == "bearer" and self._tokens is not None and header.value.startswith(TOKEN_PREFIX):
            return AuthResult(await self._by_own_token(self._tokens, credentials, header))
        if header.scheme == "bearer" and ways.workloads is not None:
            return AuthResult(await self._by_workload_token(ways.workloads, header))
        if not ways.basic:
            raise Unauthorized("this registry takes bearer tokens")
        return await self._by_password(credentials, header)

    async def _by_token_server(
        self, bearer: BearerAuthenticator, credentials: Credentials, header: Authorization | None
    ) -> AuthResult:
        if header is None:
            if credentials.door is ResourceClass.MANAGEMENT:
                return AuthResult(ANONYMOUS)
            raise Unauthorized("a bearer token is needed")
        if header.scheme != "bearer":
            raise Unauthorized("this registry takes bearer tokens")
        if self._ways.workloads is not None and self._ways.workloads.concern(header.value):
            return AuthResult(await self._by_workload_token(self._ways.workloads, header))
        try:
            return AuthResult(await bearer.verify(header.value, time.time()))
        except InvalidTokenError as error:
            workloads = self._ways.workloads
            reason = workloads.mismatch(header.value) if workloads is not None else None
            raise Unauthorized(reason or str(error)) from error

    async def _by_own_token(self, tokens: RegistryTokens, credentials: Credentials, header: Authorization) -> Principal:
        principal = await tokens.verify(header.value)
        if not principal.authenticated:
            self._nobody(credentials)
        return principal

    async def _by_workload_token(self, workloads: WorkloadAuthenticator, header: Authorization) -> Principal:
        try:
            return await workloads.verify(header.value)
        except InvalidTokenError as error:
            raise Unauthorized(str(error)) from error

    async def _by_password(self, credentials: Credentials, header: Authorization) -> AuthResult:
        principal = await self._known(header) or await self._logged_in(login(header), credentials.address)
        if not credentials.from_ui or principal.method == ApiKeyAuthenticator.method:
            return AuthResult(principal)
        return AuthResult(principal, session=await self.begin_session(principal, credentials.session))

    async def _known(self, header: Authorization) -> Principal | None:
        """Return who was verified by the same header a moment ago: what most requests ask for."""
        if header.scheme == "basic":
            for way in self._ways.passwords:
                principal = await way.known(header.value)
                if principal is not None:
                    return principal
        return None

    async def _logged_in(self, who: Login, address: str) -> Principal:
        """Return who that is; raise Unauthorized for a wrong password, TooManyRequests after many of them."""
        if self._ways.api_keys is not None and looks_like_key(who.password):
            # First: it is not to be guessed, and costs no bcrypt.
            principal = await self._ways.api_keys.verify(who)
            if principal is not None:
                return principal
        # Clients open several connections at once: the same password on all of them is one attempt.
        key = (who.sent, address)
        attempt = self._attempts.get(key)
        if attempt is None:
            attempt = self._attempts[key] = asyncio.create_task(self._attempt(who, address))
            attempt.add_done_callback(lambda done: self._attempted(key, done))
        principal = await asyncio.shield(attempt)
        if principal is None:
            raise Unauthorized("wrong user name or password")
        return principal

    def _attempted(self, key: tuple[str, str], attempt: asyncio.Task[Principal | None]) -> None:
        del self._attempts[key]
        if not attempt.cancelled():
            attempt.exception()  # every client that waited may be gone

    async def _attempt(self, who: Login, address: str) -> Principal | None:
        turn = self._throttle.begin(who.name, address)
        try:
            await asyncio.sleep(turn.wait_s)
            principal = None if await self._is_service(who.name) else await self._verify(who)
        except BaseException:
            self._throttle.undecided(turn)
            raise
        if principal is not None:
            self._throttle.succeeded(turn)
            await self._note_groups(principal)
        return principal

    async def _is_service(self, name: str) -> bool:
        """Tell whether it is the name of a service account, which has no password whoever else is called so."""
        if self._accounts is None:
            return False
        try:
            user = await self._accounts.user(name)
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error
        return user is not None and user.service

    async def _note_groups(self, principal: Principal) -> None:
        """Let the API keys of somebody who just gave their password have the groups of now."""
        if self._ways.api_keys is None or self._accounts is None:
            return
        try:
            await self._accounts.record_login(principal.name, sorted(principal.groups), principal.method)
        except AccountsUnavailableError as error:
            _log.error("the groups of %s are not noted: %s", principal.name, error)

    async def _verify(self, who: Login) -> Principal | None:
        unavailable: Unavailable | None = None
        for way in self._ways.passwords:
            try:
                principal = await way.verify(who)
            except Unavailable as error:
                # Another one may know them all the same; if none does, nothing is known.
                unavailable = error
                continue
            if principal is not None:
                return principal
        if unavailable is not None:
            raise unavailable
        return None

    async def begin_session(self, principal: Principal, old_id: str = "", provider: str = "") -> str | None:
        """Begin a session for somebody who just logged in, end the one they had, and note their groups.

        Returns the id for the cookie, None if the registry has no sessions. Raises Unauthorized for the name of a
        service account: whoever comes by it from outside is somebody else.
        """
        if self._sessions is None:
            return None
        groups = tuple(sorted(principal.groups))
        standing = await self._standings.of(principal.method, principal.name) or ""
        session = Session(principal.name, principal.method, time.time(), groups, provider, standing)
        try:
            if self._accounts is not None:
                if await self._is_service(principal.name):
                    raise Unauthorized(f"{principal.name} is a service account: it has API keys and no other way in")
                await self._accounts.record_login(principal.name, groups, principal.method)
            return await self._sessions.start(session, old_id)
        except (SessionsUnavailableError, AccountsUnavailableError) as error:
            _log.error("no session can be begun: %s", error)
            raise Unavailable("sessions cannot be kept at the moment") from error

    async def _without_header(self, credentials: Credentials) -> AuthResult:
        ways = self._ways
        reads_page = credentials.door is ResourceClass.PAGE and not credentials.changes
        principal, forget = None, False
        if (credentials.from_ui or reads_page) and credentials.session and self._sessions is not None:
            session = await self._find_session(self._sessions, credentials.session)
            if session is not None:
                principal = Principal(session.user, "session", frozenset(session.groups))
            forget = session is None
        if principal is None and credentials.certificate is not None and ways.mtls is not None:
            principal = ways.mtls.verify(credentials.certificate)
            if principal is None:
                raise Unauthorized("the client certificate names nobody")
        if principal is None:
            return AuthResult(self._nobody(credentials), forget_session=forget)
        # Cookies and certificates are sent by browsers whoever asks for it.
        if credentials.changes and not credentials.same_origin:
            raise CrossOrigin("a change has to come from the registry's own pages")
        return AuthResult(principal, forget_session=forget)

    async def _find_session(self, sessions: Sessions, session_id: str) -> Session | None:
        try:
            session = await sessions.find(session_id)
            if session is None or await self._standings.holds(session.method, session.user, session.standing):
                return session
            await sessions.end(session_id)
        except SessionsUnavailableError as error:
            _log.error("%s", error)
            raise Unavailable("sessions cannot be looked up at the moment") from error
        return None

    def _nobody(self, credentials: Credentials) -> Principal:
        """Return ANONYMOUS if that is enough for what is asked for; raise Unauthorized otherwise."""
        ways, policy = self._ways, self._policy
        if not ways.basic and ways.mtls is None and ways.workloads is None:
            return ANONYMOUS
        if credentials.door is ResourceClass.MANAGEMENT or (
            credentials.door is ResourceClass.METRICS and policy.reads_metrics(ANONYMOUS)
        ):
            return ANONYMOUS
        if policy.lets_anonymous_in and not self._has_to_be_asked(credentials):
            return ANONYMOUS
        raise Unauthorized

    def _has_to_be_asked(self, credentials: Credentials) -> bool:
        """Tell whether the client learns from `/v2/` alone that there is a login, or whether a password is right.

        Docker's engine sends no credentials but to a registry that answers its ping with 401; the others take a login
        for good that the ping does not refuse. To every other client `/v2/` answers 200, as zot does.
        """
        agent = credentials.user_agent
        asks_once = "Docker-Client" in agent or agent.startswith(_ASK_ONCE)
        return credentials.door is ResourceClass.PING and asks_once and self._ways.basic and self._policy.names_users
