"""The HTTP side of authentication and access control, from the configuration."""

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
    """Who guards the API, and the routes by which people and machines come and go."""

    gate: Authorizer
    door: HttpAuthenticator
    routes: Routes


def build(config: HttpConfig, auth: Auth, addresses: ClientAddresses) -> AuthHttp:
    """Return both."""
    door = HttpAuthenticator(config, auth, addresses)
    gate = Authorizer(door, auth.policy)
    routes = {**login.routes(auth, door), **explain.routes(gate, config.access_control)}
    if auth.accounts is not None and config.auth.apikey:
        routes |= auth_apikey.routes(gate, auth.accounts)
    exchange = None
    if auth.workloads is not None:
        providers = config.auth.openid.providers.values() if config.auth.openid is not None else ()
        exchange = TokenExchange(auth.workloads, [provider.issuer for provider in providers if provider.issuer])
    if exchange is not None or auth.tokens is not None:
        routes |= token.routes(auth, door, config.auth.bearer, exchange)
    return AuthHttp(gate, door, routes)
