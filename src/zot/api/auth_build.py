"""The HTTP side of authentication and access control, from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from zot.api import auth_apikey, auth_explain, auth_login, auth_token
from zot.api.application import Routes
from zot.api.auth_door import AuthDoor
from zot.api.client_address import ClientAddresses
from zot.api.gate import Gate
from zot.auth.build import Auth
from zot.auth.token_exchange import TokenExchange
from zot.config.http import Http


@dataclass(frozen=True, slots=True)
class AuthHttp:
    """Who guards the API, and the routes by which people and machines come and go."""

    gate: Gate
    door: AuthDoor
    routes: Routes


def build(config: Http, auth: Auth, addresses: ClientAddresses) -> AuthHttp:
    """Return both."""
    door = AuthDoor(config, auth, addresses)
    gate = Gate(door, auth.policy)
    routes = {**auth_login.routes(auth, door), **auth_explain.routes(gate, config.access_control)}
    if auth.accounts is not None and config.auth.apikey:
        routes |= auth_apikey.routes(gate, auth.accounts)
    exchange = None
    if auth.workloads is not None:
        providers = config.auth.openid.providers.values() if config.auth.openid is not None else ()
        exchange = TokenExchange(auth.workloads, [provider.issuer for provider in providers if provider.issuer])
    if exchange is not None or auth.tokens is not None:
        routes |= auth_token.routes(auth, door, config.auth.bearer, exchange)
    return AuthHttp(gate, door, routes)
