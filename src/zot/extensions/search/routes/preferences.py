"""`/v2/_zot/ext/userprefs`: the stars and bookmarks of users."""

from __future__ import annotations

from urllib.parse import parse_qs

from aiohttp import web

from zot.accounts.interface import Accounts, AccountsUnavailableError
from zot.api.http_request import Handler, HttpRequest
from zot.auth.decision import Policy
from zot.auth.principal import ANONYMOUS
from zot.oci.names import InvalidNameError, parse_repository
from zot.registry.errors import Denied, NameUnknown, RegistryError, Unavailable
from zot.registry.registry import Registry

PATH = "/v2/_zot/ext/userprefs"
_FIELDS_LIMIT = 16


class PreferenceInvalid(RegistryError):
    """The request names no action, or no repository."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


def preferences(accounts: Accounts | None, registry: Registry, policy: Policy) -> Handler:
    """Return the handler of PUT `?action=toggleStar|toggleBookmark&repo=NAME`.

    A star or bookmark is durable when the response is sent.
    """

    async def put(http: HttpRequest) -> web.Response:
        principal = http.principal or ANONYMOUS
        action, name = _requested(http)
        if accounts is None or not principal.is_full_user:
            raise Denied("stars and bookmarks belong to users: log in with a password, in a browser or by an API key")
        try:
            repository = parse_repository(name)
        except InvalidNameError as error:
            raise NameUnknown(str(error), name=name) from error
        # Before the look whether it is there: a caller that may not read cannot tell.
        if not policy.readable(principal, repository, http.context):
            raise Denied("reading the repository is not allowed", name=repository)
        if not await registry.exists(repository):
            raise NameUnknown(name=repository)
        toggle = accounts.toggle_star if action == "toggleStar" else accounts.toggle_bookmark
        try:
            await toggle(principal.name, repository)
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error
        return web.Response(headers={"X-Content-Type-Options": "nosniff"})

    return put


def _requested(http: HttpRequest) -> tuple[str, str]:
    try:
        fields = parse_qs(http.raw_path.partition("?")[2], keep_blank_values=True, max_num_fields=_FIELDS_LIMIT)
    except ValueError as error:
        raise PreferenceInvalid(str(error)) from error
    actions, names = fields.get("action", []), fields.get("repo", [])
    if actions not in (["toggleStar"], ["toggleBookmark"]):
        raise PreferenceInvalid("action is toggleStar or toggleBookmark")
    if len(names) != 1:
        raise PreferenceInvalid("repo is the name of one repository")
    return actions[0], names[0]
