"""`/v2/_zot/ext/explain`: administrators ask why somebody may or may not do something."""

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
    """The question cannot be answered."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


def routes(gate: Authorizer, rules: AccessControlConfig | None) -> Routes:
    """Return the route: `?user=U&group=G&repo=R&action=A[&reference=T]`, `group` as often as needed."""

    async def answer(http: HttpRequest) -> web.StreamResponse:
        await gate.enter(
            http, UseExtension(name="explain"), lambda who: who.authenticated and gate.policy.is_admin(who)
        )
        try:
            query = parse_qs(http.raw_path.partition("?")[2], keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
        except ValueError:
            raise ExplainQueryInvalid(f"the query has more than {FIELDS_LIMIT} fields") from None

        def one(name: str) -> str:
            values = query.get(name, [""])
            if len(values) != 1:
                raise ExplainQueryInvalid(f"{name} is given more than once")
            return values[0]

        try:
            action = Action(one("action") or "read")
            repository = parse_repository(one("repo"))
            reference = parse_reference(one("reference")) if one("reference") else None
        except ValueError as error:
            raise ExplainQueryInvalid(str(error)) from None
        explained = explain(rules, one("user"), query.get("group", []), repository, action, reference)
        headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=msgspec.json.encode(explained), headers=headers)

    return {PATH: {"GET": answer}}
