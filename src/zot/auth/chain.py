"""Who is asking: all ways in, in zot's order.

One Authorization header at most. With a token server, its tokens alone count. Else a token of a workload; else a user
name with a password: htpasswd, LDAP, API keys, and the first that knows it wins. Without that header the session
cookie, if the client is the UI; else the client certificate; else nobody, if that is enough. Credentials that are
wrong are refused: they never count as none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from zot.accounts.interface import Accounts, AccountsUnavailable
from zot.accounts.sessions.interface import SessionsUnavailable
from zot.accounts.sessions.session import Session, Sessions
from zot.auth.authenticators.apikey import ApiKeys, looks_like_key
from zot.auth.authenticators.bearer import Bearer
from zot.auth.authenticators.mtls import Mtls
from zot.auth.authenticators.workload import Workloads
from zot.auth.credentials import Authorization, Credentials, CrossOrigin, Door, Login, authorization, login
from zot.auth.decision import Policy
from zot.auth.principal import ANONYMOUS, Principal
from zot.auth.throttle import Throttle
from zot.auth.tokens import InvalidToken
from zot.registry.errors import Unauthorized, Unavailable
from zot.registry.request import Request

_log = logging.getLogger("zot.auth")

DEFAULT_REALM = "Authorization Required"


class PasswordAuthenticator(Protocol):
    """Knows users by their passwords."""

    method: str

    async def known(self, sent: str) -> Principal | None:
        """Return who it is that sent this (`Login.sent`), if it was verified a moment ago and still holds.

        None says nothing, and neither does a fault: it is `verify` that raises.
        """

    async def verify(self, login: Login) -> Principal | None:
        """Return who that is, None if it is nobody that is known; raise Unavailable if that cannot be told."""


class Admission(msgspec.Struct, frozen=True):
    """Somebody who was let in, and what becomes of their session cookie."""

    principal: Principal
    session: str | None = None
    """A session that was begun: its id is to be set as a cookie."""
    forget_session: bool = False
    """Whether the cookie that was sent is of no session, and should be dropped."""


class Ways(msgspec.Struct, frozen=True):
    """The ways in that are configured."""

    passwords: Sequence[PasswordAuthenticator] = ()
    """htpasswd, then LDAP."""
    api_keys: ApiKeys | None = None
    logins: bool = False
    """Whether people log in at a provider in the browser."""
    mtls: Mtls | None = None
    bearer: Bearer | None = None
    workloads: Workloads | None = None

    @property
    def basic(self) -> bool:
        """Whether there are users at all (zot's basic authentication)."""
        return bool(self.passwords or self.api_keys or self.logins)


class Chain:
    """Asks each of the ways in."""

    def __init__(
        self,
        ways: Ways,
        policy: Policy,
        *,
        sessions: Sessions | None = None,
        accounts: Accounts | None = None,
        realm: str = "",
        fail_delay_s: float = 0.0,
    ) -> None:
        """Take the ways in, the policy (which says whether nobody in particular is enough), and where sessions are."""
        self._ways = ways
        self._policy = policy
        self._sessions = sessions
        self._accounts = accounts
        self._realm = realm or DEFAULT_REALM
        self._fail_delay_s = fail_delay_s
        self._throttle = Throttle()

    async def authenticate(self, credentials: Credentials) -> Admission:
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

    async def delay(self) -> None:
        """Wait for as long as a refusal is held back (`failDelay`)."""
        if self._fail_delay_s:
            await asyncio.sleep(self._fail_delay_s)

    def challenge(self, credentials: Credentials, request: Request | None = None) -> str | None:
        """Return the WWW-Authenticate header for a refusal; None for the UI, and if there is no way in.

        A browser that gets one shows a dialog of its own, so the UI says that it wants none.
        """
        if credentials.from_ui:
            return None
        if self._ways.bearer is not None:
            return self._ways.bearer.challenge(request)
        if self._ways.basic or (self._ways.mtls is not None and self._ways.workloads is None):
            # There is no challenge for certificates; RFC 9110 wants one all the same, and zot gives this.
            return f'Basic realm="{self._realm}"'
        if self._ways.workloads is not None:
            return self._ways.workloads.challenge(request)
        return None

    async def _admission(self, credentials: Credentials) -> Admission:
        header = authorization(credentials)
        ways = self._ways
        if ways.bearer is not None:
            return await self._by_token_server(ways.bearer, credentials, header)
        if header is None or not (ways.workloads is not None or ways.basic):
            return await self._without_header(credentials)
        if header.scheme == "bearer" and ways.workloads is not None:
            return Admission(await self._by_workload_token(ways.workloads, header))
        if not ways.basic:
            raise Unauthorized("this registry takes bearer tokens")
        return await self._by_password(credentials, header)

    async def _by_token_server(
        self, bearer: Bearer, credentials: Credentials, header: Authorization | None
    ) -> Admission:
        if header is None:
            if credentials.door is Door.MANAGEMENT:
                return Admission(ANONYMOUS)
            raise Unauthorized("a bearer token is needed")
        if header.scheme != "bearer":
            raise Unauthorized("this registry takes bearer tokens")
        if self._ways.workloads is not None and self._ways.workloads.concern(header.value):
            return Admission(await self._by_workload_token(self._ways.workloads, header))
        try:
            return Admission(await bearer.verify(header.value, time.time()))
        except InvalidToken as error:
            workloads = self._ways.workloads
            reason = workloads.mismatch(header.value) if workloads is not None else None
            raise Unauthorized(reason or str(error)) from error

    async def _by_workload_token(self, workloads: Workloads, header: Authorization) -> Principal:
        try:
            return await workloads.verify(header.value)
        except InvalidToken as error:
            raise Unauthorized(str(error)) from error

    async def _by_password(self, credentials: Credentials, header: Authorization) -> Admission:
        principal = await self._known(header) or await self._logged_in(login(header), credentials.address)
        if not credentials.from_ui or principal.method == ApiKeys.method:
            return Admission(principal)
        return Admission(principal, session=await self.begin_session(principal, credentials.session))

    async def _known(self, header: Authorization) -> Principal | None:
        """Return who was verified by the same header a moment ago: what most requests ask for."""
        if header.scheme == "basic":
            for way in self._ways.passwords:
                principal = await way.known(header.value)
                if principal is not None:
                    return principal
        return None

    async def _logged_in(self, who: Login, address: str) -> Principal:
        """Return who that is; raise Unauthorized for a wrong password, and have whoever guesses wait."""
        if self._ways.api_keys is not None and looks_like_key(who.password):
            # First: it is not to be guessed, and costs no bcrypt.
            principal = await self._ways.api_keys.verify(who)
            if principal is not None:
                return principal
        await asyncio.sleep(self._throttle.delay_s(who.name, address))
        principal = None if await self._is_service(who.name) else await self._verify(who)
        if principal is None:
            self._throttle.failed(who.name, address)
            raise Unauthorized("wrong user name or password")
        self._throttle.succeeded(who.name)
        await self._note_groups(principal)
        return principal

    async def _is_service(self, name: str) -> bool:
        """Tell whether it is the name of a service account, which has no password whoever else is called so."""
        if self._accounts is None:
            return False
        try:
            user = await self._accounts.user(name)
        except AccountsUnavailable as error:
            raise Unavailable("the accounts cannot be reached") from error
        return user is not None and user.service

    async def _note_groups(self, principal: Principal) -> None:
        """Let the API keys of somebody who just gave their password have the groups of now."""
        if self._ways.api_keys is None or self._accounts is None:
            return
        try:
            await self._accounts.record_login(principal.name, sorted(principal.groups))
        except AccountsUnavailable as error:
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
        session = Session(principal.name, principal.method, time.time(), groups, provider)
        try:
            if self._accounts is not None:
                if await self._is_service(principal.name):
                    raise Unauthorized(f"{principal.name} is a service account: it has API keys and no other way in")
                await self._accounts.record_login(principal.name, groups)
            return await self._sessions.start(session, old_id)
        except (SessionsUnavailable, AccountsUnavailable) as error:
            _log.error("no session can be begun: %s", error)
            raise Unavailable("sessions cannot be kept at the moment") from error

    async def _without_header(self, credentials: Credentials) -> Admission:
        ways = self._ways
        reads_page = credentials.door is Door.PAGE and not credentials.changes
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
            return Admission(self._nobody(credentials), forget_session=forget)
        # Cookies and certificates are sent by browsers whoever asks for it.
        if credentials.changes and not credentials.same_origin:
            raise CrossOrigin("a change has to come from the registry's own pages")
        return Admission(principal, forget_session=forget)

    async def _find_session(self, sessions: Sessions, session_id: str) -> Session | None:
        try:
            return await sessions.find(session_id)
        except SessionsUnavailable as error:
            _log.error("%s", error)
            raise Unavailable("sessions cannot be looked up at the moment") from error

    def _nobody(self, credentials: Credentials) -> Principal:
        """Return ANONYMOUS if that is enough for what is asked for; raise Unauthorized otherwise."""
        ways, policy = self._ways, self._policy
        if not ways.basic and ways.mtls is None and ways.workloads is None:
            return ANONYMOUS
        if credentials.door is Door.MANAGEMENT or (
            credentials.door is Door.METRICS and policy.reads_metrics(ANONYMOUS)
        ):
            return ANONYMOUS
        if policy.lets_anonymous_in and not self._has_to_be_asked(credentials):
            return ANONYMOUS
        raise Unauthorized

    def _has_to_be_asked(self, credentials: Credentials) -> bool:
        """Tell whether the client would not send the credentials it has, unless `/v2/` answers 401: Docker's."""
        agent = credentials.user_agent
        is_docker = "Docker-Client" in agent or agent.startswith("docker/")
        return credentials.door is Door.PING and is_docker and bool(self._ways.passwords) and self._policy.names_users
