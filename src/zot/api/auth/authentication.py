"""HTTP authentication: from requests to credentials, and from results to cookies and challenges."""

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
        """Keep the section `http`, the authentication methods, and the source of client addresses."""
        settings = config.auth
        self.has_passwords = settings.has_basic
        # Behind a proxy that terminates TLS, only the configuration can tell that clients use HTTPS.
        self.cookies = Cookies(secure=config.tls is not None or bool(settings.secure_session))
        self._auth = auth
        self._addresses = addresses
        self._configured = [config.external_url, config.allow_origin]
        self._external_origin = origin_of(config.external_url)

    async def principal(self, http: HttpRequest, request: Request) -> Principal:
        """Return the principal; ANONYMOUS if the request has no credentials and needs none.

        Raises ErrorResponse with a challenge otherwise, CrossOrigin, and Unavailable.
        """
        credentials = self.credentials(http, request)
        try:
            result = await self._auth.chain.authenticate(credentials)
        except Unauthorized as error:
            if credentials.session and not credentials.authorization:
                set_later(http, self.cookies.without_session())
            code = "invalid_token" if isinstance(error, InvalidBearer) else ""
            raise ErrorResponse(error, self.challenge(http, request, code)) from error
        principal = result.principal
        if result.session is not None:
            for header in self.cookies.of_session(result.session, principal.name):
                set_later(http, header)
        elif result.forget_session:
            set_later(http, self.cookies.without_session())
        return principal

    @property
    def can_authenticate(self) -> bool:
        """Whether any authentication method is configured."""
        return not self._auth.is_open

    def challenge(self, http: HttpRequest, request: Request, error: str = "") -> Mapping[str, str]:
        """Return the WWW-Authenticate headers of a refusal; `error` is an error code of RFC 6750."""
        credentials = Credentials(from_ui=_from_ui(http))
        challenges = self._auth.chain.challenges(credentials, request, self._realm(http), error)
        return CIMultiDict(("WWW-Authenticate", each) for each in challenges)

    def must_challenge_early(self, http: HttpRequest) -> bool:
        """Tell whether the client must be challenged before it pushes a manifest, or it would hang.

        containerd sends no token before a 401, and up to version 1.6 it cannot send a manifest a second time. So it is
        challenged when it checks the tag that it will push, as by registries without anonymous access.
        """
        agent = http.headers.get(USER_AGENT, "")
        is_containerd = "containerd" in agent or agent.startswith("buildkit/")
        return is_containerd and self._auth.chain.offers_tokens and AUTHORIZATION not in http.headers

    def _realm(self, http: HttpRequest) -> str:
        """Return the URL of the token endpoint as the client reaches it; empty if the request has no host.

        Clients send credentials there. So `X-Forwarded-Proto: https` is honored from any sender: behind a proxy that is
        not configured as trusted, passwords are not sent without encryption either.
        """
        origin = self.origin(http)
        scheme, _, host = origin.partition("://")
        if scheme == "http" and http.headers.get("X-Forwarded-Proto", "").lower() == "https":
            origin = f"https://{host}"
        return f"{origin}{REALM_PATH}" if host else ""

    async def refused(self, http: HttpRequest, principal: Principal) -> None:
        """Wait for `failDelay` before the refusal of a request with credentials."""
        if principal.authenticated or "Authorization" in http.headers:
            await self._auth.chain.delay()

    def credentials(self, http: HttpRequest, request: Request) -> Credentials:
        """Return the credentials of the request, not verified yet."""
        headers = http.headers
        from_ui = _from_ui(http)
        resource = _resource_class(http, request)
        return Credentials(
            authorization=tuple(headers.getall(AUTHORIZATION, ())),
            session=cookie(http, cookies.SESSION) if from_ui or resource is ResourceClass.PAGE else "",
            certificate=_certificate(http),
            from_ui=from_ui,
            same_origin=self.same_origin(http),
            method=http.method,
            resource=resource,
            user_agent=headers.get(USER_AGENT, ""),
            address=self.address(http),
        )

    def address(self, http: HttpRequest) -> str:
        """Return the client's address; empty if it is unknown."""
        return self._addresses.of(http).ip

    def same_origin(self, http: HttpRequest) -> bool:
        """Tell whether the request is not from a page of another origin."""
        if ORIGIN not in http.headers and SEC_FETCH_SITE not in http.headers:
            return True
        urls = [*self._configured, self._addresses.origin(http)]
        return cookies.same_origin(http, {origin for url in urls if (origin := origin_of(url)) is not None})

    def origin(self, http: HttpRequest) -> str:
        """Return the registry's origin as browsers see it."""
        return self._external_origin or self._addresses.origin(http)


def _from_ui(http: HttpRequest) -> bool:
    return http.of_own_page or http.headers.get(UI_HEADER) == UI


def _resource_class(http: HttpRequest, request: Request) -> ResourceClass:
    if isinstance(request, Ping):
        return ResourceClass.PING
    if isinstance(request, UseExtension):
        resource = ResourceClass(request.resource_class)
        if resource is ResourceClass.MANAGEMENT and http.raw_path != MANAGEMENT_PATH:
            return ResourceClass.REGISTRY
        return resource
    return ResourceClass.REGISTRY


def _certificate(http: HttpRequest) -> bytes | None:
    transport = http.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    certificate: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
    return certificate
