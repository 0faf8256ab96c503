"""`/v2/_zot/ext/explain`: explains a decision of access control to administrators."""

from __future__ import annotations

import msgspec
from aiohttp import web

from zot.api.application import Routes
from zot.api.authorization import Authorizer
from zot.api.http_request import HttpRequest
from zot.api.query import QueryFields, QueryInvalid
from zot.auth.explain import explain
from zot.config.access_control import AccessControlConfig
from zot.registry.request import Action, UseExtension

PATH = "/v2/_zot/ext/explain"


def routes(authorizer: Authorizer, rules: AccessControlConfig | None) -> Routes:
    """Return the route `?user=U&group=G&repo=R&action=A[&reference=T]`, with any number of groups."""

    async def respond(http: HttpRequest) -> web.StreamResponse:
        await authorizer.enter(
            http,
            UseExtension(name="explain"),
            lambda principal: principal.authenticated and authorizer.policy.is_admin(principal),
        )
        query = QueryFields(http)
        repository, reference = query.repository(), query.reference()
        try:
            action = Action(query.one("action") or "read")
        except ValueError as error:
            raise QueryInvalid(str(error)) from None
        explanation = explain(rules, query.one("user"), query.all("group"), repository, action, reference)
        headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=msgspec.json.encode(explanation), headers=headers)

    return {PATH: {"GET": respond}}
