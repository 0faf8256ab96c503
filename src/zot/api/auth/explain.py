"""`/v2/_zot/ext/explain`: explains a decision of access control to administrators."""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from zot.api.application import Routes
from zot.api.authorization import Authorizer
from zot.api.http_request import HttpRequest
from zot.auth.explain import explain
from zot.config.access_control import AccessControlConfig
from zot.oci.names import parse_reference, parse_repository
from zot.registry.errors import RegistryError
from zot.registry.request import Action, UseExtension

PATH = "/v2/_zot/ext/explain"
FIELDS_LIMIT = 100


class ExplainQueryInvalid(RegistryError):
    """The query is invalid."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


def routes(authorizer: Authorizer, rules: AccessControlConfig | None) -> Routes:
    """Return the route `?user=U&group=G&repo=R&action=A[&reference=T]`, with any number of groups."""

    async def respond(http: HttpRequest) -> web.StreamResponse:
        await authorizer.enter(
            http,
            UseExtension(name="explain"),
            lambda principal: principal.authenticated and authorizer.policy.is_admin(principal),
        )
        try:
            query = parse_qs(http.raw_path.partition("?")[2], keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
        except ValueError:
            raise ExplainQueryInvalid(f"the query has more than {FIELDS_LIMIT} fields") from None

        def single(name: str) -> str:
            values = query.get(name, [""])
            if len(values) != 1:
                raise ExplainQueryInvalid(f"{name} is given more than once")
            return values[0]

        try:
            action = Action(single("action") or "read")
            repository = parse_repository(single("repo"))
            reference = parse_reference(single("reference")) if single("reference") else None
        except ValueError as error:
            raise ExplainQueryInvalid(str(error)) from None
        explanation = explain(rules, single("user"), query.get("group", []), repository, action, reference)
        headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=msgspec.json.encode(explanation), headers=headers)

    return {PATH: {"GET": respond}}
