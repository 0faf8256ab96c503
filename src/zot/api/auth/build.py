"""Builds the HTTP side of authentication and access control from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from zot.api.application import Routes
from zot.api.auth import apikey as auth_apikey
from zot.api.auth import explain, login, token
from zot.api.auth.authentication import HttpAuthenticator
from zot.api.authorization import Authorizer
from zot.api.client_address import ClientAddresses
from zot.auth.build import Auth
from zot.auth.token_exchange import TokenExchange
from zot.config.http import HttpConfig


@dataclass(frozen=True, slots=True)
class AuthHttp:
    """Authenticator and authorizer of the API, and the routes of logins, tokens and API keys."""

    authorizer: Authorizer
    authenticator: HttpAuthenticator
    routes: Routes


def build(config: HttpConfig, auth: Auth, addresses: ClientAddresses) -> AuthHttp:
    """Return the HTTP side of `auth`."""
    authenticator = HttpAuthenticator(config, auth, addresses)
    authorizer = Authorizer(authenticator, auth.policy)
    routes = {**login.routes(auth, authenticator), **explain.routes(authorizer, config.access_control)}
    if auth.accounts is not None and config.auth.apikey:
        routes |= auth_apikey.routes(authorizer, auth.accounts)
    exchange = None
    if auth.workloads is not None:
        providers = config.auth.openid.providers.values() if config.auth.openid is not None else ()
        exchange = TokenExchange(auth.workloads, [provider.issuer for provider in providers if provider.issuer])
    if exchange is not None or auth.tokens is not None:
        routes |= token.routes(auth, authenticator, config.auth.bearer, exchange)
    return AuthHttp(authorizer, authenticator, routes)
