"""Who is asking: from an HTTP request to credentials, and from what they are worth back to headers."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import CIMultiDict, istr

from zot.api import cookies
from zot.api.client_address import ClientAddresses
from zot.api.cookies import Cookies, cookie, set_later
from zot.api.errors import ErrorResponse
from zot.api.headers import AUTHORIZATION, ORIGIN, SEC_FETCH_SITE, USER_AGENT
from zot.api.http_request import HttpRequest
from zot.auth.build import Auth
from zot.auth.credentials import Credentials, InvalidBearer, ResourceClass
from zot.auth.oauth.callbacks import origin_of
from zot.auth.principal import Principal
from zot.config.http import HttpConfig
from zot.registry.errors import Unauthorized
from zot.registry.request import Ping, Request, UseExtension

UI_HEADER = istr("X-ZOT-API-CLIENT")
UI = "zot-ui"
REALM_PATH = "/zot/auth/token"
MANAGEMENT_PATH = "/v2/_zot/ext/mgmt"


class HttpAuthenticator:
    """The authenticator of a registry with users."""

    def __init__(self, config: HttpConfig, auth: Auth, addresses: ClientAddresses) -> None:
        """Take the section `http`, the ways in, and who knows clients' addresses."""
        settings = config.auth
        self.has_passwords = settings.has_basic
        # Behind a proxy that ends TLS only the configuration knows.
        self.cookies = Cookies(secure=config.tls is not None or bool(settings.secure_session))
        self._auth = auth
        self._addresses = addresses
        self._configured = [config.external_url, config.allow_origin]
        self._external_origin = origin_of(config.external_url)

    async def principal(self, http: HttpRequest, request: Request) -> Principal:
        """Return who asks, ANONYMOUS if that is enough here.

        Raises Answered with a challenge otherwise, CrossOrigin, and Unavailable.
        """
        credentials = self.credentials(http, request)
        try:
            admission = await self._auth.chain.authenticate(credentials)
        except Unauthorized as error:
            if credentials.session and not credentials.authorization:
                set_later(http, self.cookies.without_session())
            wrong = "invalid_token" if isinstance(error, InvalidBearer) else ""
            raise ErrorResponse(error, self.challenge(http, request, wrong)) from error
        principal = admission.principal
        if admission.session is not None:
            for header in self.cookies.of_session(admission.session, principal.name):
                set_later(http, header)
        elif admission.forget_session:
            set_later(http, self.cookies.without_session())
        return principal

    @property
    def can_authenticate(self) -> bool:
        """Whether any client can."""
        return not self._auth.is_open

    def challenge(self, http: HttpRequest, request: Request, error: str = "") -> Mapping[str, str]:
        """Return the headers that tell a client how to authenticate; `error` is what is wrong with its token."""
        credentials = Credentials(from_ui=http.headers.get(UI_HEADER) == UI)
        challenges = self._auth.chain.challenges(credentials, request, self._realm(http), error)
        return CIMultiDict(("WWW-Authenticate", each) for each in challenges)

    def asks_too_late(self, http: HttpRequest) -> bool:
        """Tell whether the client would ask for a token only once a manifest is refused, and then hang.

        containerd sends no token before a 401, and up to version 1.6 cannot send a manifest a second time. So its look
        for the tag that it pushes is where it has to be asked, as at registries that let no client read without one.
        """
        agent = http.headers.get(USER_AGENT, "")
        is_containerd = "containerd" in agent or agent.startswith("buildkit/")
        return is_containerd and self._auth.chain.offers_tokens and AUTHORIZATION not in http.headers

    def _realm(self, http: HttpRequest) -> str:
        """Return the URL of the token endpoint as the client reaches it; empty if it did not say by which host.

        Credentials are sent there. So a header that says that the client speaks HTTPS counts from any sender: a proxy
        that is not configured as trusted shall not have passwords sent without encryption.
        """
        origin = self.origin(http)
        scheme, _, host = origin.partition("://")
        if scheme == "http" and http.headers.get("X-Forwarded-Proto", "").lower() == "https":
            origin = f"https://{host}"
        return f"{origin}{REALM_PATH}" if host else ""

    async def refused(self, http: HttpRequest, principal: Principal) -> None:
        """Hold the refusal back for `failDelay`, if credentials were presented."""
        if principal.authenticated or "Authorization" in http.headers:
            await self._auth.chain.delay()

    def credentials(self, http: HttpRequest, request: Request) -> Credentials:
        """Return what the request brings to say who is asking."""
        headers = http.headers
        from_ui = headers.get(UI_HEADER) == UI
        door = _resource_class(http, request)
        return Credentials(
            authorization=tuple(headers.getall(AUTHORIZATION, ())),
            session=cookie(http, cookies.SESSION) if from_ui or door is ResourceClass.PAGE else "",
            certificate=_certificate(http),
            from_ui=from_ui,
            same_origin=self.same_origin(http),
            method=http.method,
            door=door,
            user_agent=headers.get(USER_AGENT, ""),
            address=self.address(http),
        )

    def address(self, http: HttpRequest) -> str:
        """Return the client's address; empty if it is not known."""
        return self._addresses.of(http).ip

    def same_origin(self, http: HttpRequest) -> bool:
        """Tell whether no page of another origin made the request."""
        if ORIGIN not in http.headers and SEC_FETCH_SITE not in http.headers:
            return True
        urls = [*self._configured, self._addresses.origin(http)]
        return cookies.same_origin(http, {origin for url in urls if (origin := origin_of(url)) is not None})

    def origin(self, http: HttpRequest) -> str:
        """Return the registry's own origin, as browsers see it."""
        return self._external_origin or self._addresses.origin(http)


def _resource_class(http: HttpRequest, request: Request) -> ResourceClass:
    if isinstance(request, Ping):
        return ResourceClass.PING
    if isinstance(request, UseExtension):
        if request.name == "mgmt" and http.raw_path == MANAGEMENT_PATH:
            return ResourceClass.MANAGEMENT
        return ResourceClass(request.resource_class)
    return ResourceClass.REGISTRY


def _certificate(http: HttpRequest) -> bytes | None:
    transport = http.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    certificate: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
    return certificate
