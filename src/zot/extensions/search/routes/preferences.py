"""`/v2/_zot/ext/userprefs`: the stars and bookmarks of users."""

from __future__ import annotations

from urllib.parse import parse_qs

from aiohttp import web

from zot.api.http_request import Handler, HttpRequest
from zot.api.preferences import Preference, Preferences
from zot.auth.principal import ANONYMOUS
from zot.oci.names import InvalidNameError, parse_repository
from zot.registry.errors import NameUnknown, RegistryError

PATH = "/v2/_zot/ext/userprefs"
_FIELDS_LIMIT = 16
_PREFERENCES = {"toggleStar": Preference.STAR, "toggleBookmark": Preference.BOOKMARK}


class PreferenceInvalid(RegistryError):
    """The request names no action, or no repository."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


def handler(preferences: Preferences) -> Handler:
    """Return the handler of PUT `?action=toggleStar|toggleBookmark&repo=NAME`."""

    async def put(http: HttpRequest) -> web.Response:
        preference, name = _requested(http)
        try:
            repository = parse_repository(name)
        except InvalidNameError as error:
            raise NameUnknown(str(error), name=name) from error
        await preferences.toggle(http.principal or ANONYMOUS, preference, repository, http.context)
        return web.Response(headers={"X-Content-Type-Options": "nosniff"})

    return put


def _requested(http: HttpRequest) -> tuple[Preference, str]:
    try:
        fields = parse_qs(http.raw_path.partition("?")[2], keep_blank_values=True, max_num_fields=_FIELDS_LIMIT)
    except ValueError as error:
        raise PreferenceInvalid(str(error)) from error
    actions, names = fields.get("action", []), fields.get("repo", [])
    if len(actions) != 1 or actions[0] not in _PREFERENCES:
        raise PreferenceInvalid("action is toggleStar or toggleBookmark")
    if len(names) != 1:
        raise PreferenceInvalid("repo is the name of one repository")
    return _PREFERENCES[actions[0]], names[0]
