"""The administrators' page of who uses the registry: users, their API keys and their sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from zot.accounts.interface import AccountsUnavailableError, User
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.accounts.sessions.session import ListedSession
from zot.auth.build import Auth
from zot.auth.principal import Principal
from zot.extensions.ui.account import shown_key
from zot.extensions.ui.addresses import AdministrationView, Links
from zot.extensions.ui.administration.parts import AdministrationParts, record
from zot.extensions.ui.forms import Form, PageFormInvalid
from zot.extensions.ui.page import ROWS, HtmlPage, not_found
from zot.registry.errors import Unavailable

_SESSIONS_LIMIT = 5000
"""Sessions that a page looks through."""


async def users(parts: AdministrationParts, fields: Mapping[str, str]) -> HtmlPage:
    """Return a page of users, or one user with keys and sessions. Raises Unavailable."""
    auth = parts.auth
    if auth.accounts is None:
        return HtmlPage("admin_users.html", {"has_users": False})
    try:
        name = fields.get("user", "")
        return await _user(auth, name) if name else await _list(auth, fields.get("after", ""))
    except (AccountsUnavailableError, SessionsUnavailableError) as error:
        raise Unavailable("Users and their sessions cannot be read at the moment.") from error


async def _list(auth: Auth, after: str) -> HtmlPage:
    assert auth.accounts is not None, "there are users"
    known = {each.name: each for each in await auth.accounts.users(after, ROWS + 1)}
    in_file = frozenset(await auth.htpasswd.names()) if auth.htpasswd is not None else frozenset()
    names = sorted({*known, *(name for name in in_file if name > after)})
    sessions, cut = await _sessions(auth)
    counts = Counter(each.session.user for each in sessions)
    rows = [
        {
            **_shown(auth, name, known.get(name), is_in_file=name in in_file),
            "keys": len(await auth.accounts.keys(name)),
            "sessions": counts[name],
        }
        for name in names[:ROWS]
    ]
    more = len(names) > ROWS
    values = {
        "has_users": True,
        "rows": rows,
        "after": after,
        "cut": _SESSIONS_LIMIT if cut else 0,
        "next": Links.administration(AdministrationView.USERS, after=names[ROWS - 1]) if more else None,
    }
    return HtmlPage("admin_users.html", values)


async def _user(auth: Auth, name: str) -> HtmlPage:
    assert auth.accounts is not None, "there are users"
    user = await auth.accounts.user(name)
    is_in_file = auth.htpasswd is not None and name in await auth.htpasswd.names()
    sessions, cut = await _sessions(auth)
    own = [each for each in sessions if each.session.user == name]
    if user is None and not is_in_file and not own:
        return not_found("user of this name")
    values = {
        **_shown(auth, name, user, is_in_file=is_in_file),
        "keys": [shown_key(each) for each in await auth.accounts.keys(name)],
        "sessions": own,
        "cut": _SESSIONS_LIMIT if cut else 0,
    }
    return HtmlPage("admin_user.html", values)


def _shown(auth: Auth, name: str, user: User | None, *, is_in_file: bool) -> dict[str, object]:
    groups = frozenset(user.groups) if user is not None else frozenset()
    method = user.origin if user is not None else ""
    principal = Principal(name, method or "htpasswd", groups)
    return {
        "name": name,
        "kind": "service account" if user is not None and user.service else "person",
        "origins": sorted({*({method} if method else ()), *({"htpasswd"} if is_in_file else ())}),
        "groups": sorted(groups),
        "is_admin": auth.policy.is_admin(principal),
    }


async def _sessions(auth: Auth) -> tuple[list[ListedSession], bool]:
    """Return sessions, and whether there are more. Raises SessionsUnavailableError."""
    found: list[ListedSession] = []
    if auth.sessions is None:
        return found, False
    async for each in auth.sessions.all():
        if len(found) == _SESSIONS_LIMIT:
            return found, True
        found.append(each)
    return found, False


async def revoke_key(parts: AdministrationParts, principal: Principal, form: Form) -> str:
    """Delete an API key of a user; return the address of the user's page. Raises PageFormInvalid, Unavailable."""
    accounts, name, key_id = parts.auth.accounts, form.text("user"), form.text("id")
    try:
        deleted = accounts is not None and await accounts.delete_key(name, key_id)
    except AccountsUnavailableError as error:
        raise Unavailable("The accounts cannot be reached at the moment.") from error
    if not deleted:
        raise PageFormInvalid("There is no such API key: it may have been revoked.")
    record(principal, "revoke API key", name, keyId=key_id)
    return Links.administration(AdministrationView.USERS, user=name)


async def end_session(parts: AdministrationParts, principal: Principal, form: Form) -> str:
    """End a session of a user; return the address of the user's page. Raises PageFormInvalid, Unavailable."""
    sessions, name, fingerprint = parts.auth.sessions, form.text("user"), form.text("session")
    ended = 0
    try:
        if sessions is not None and name and fingerprint:
            ended = await sessions.revoke(user=name, fingerprint=fingerprint)
    except SessionsUnavailableError as error:
        raise Unavailable("Sessions cannot be ended at the moment.") from error
    if not ended:
        raise PageFormInvalid("There is no such session: it may have ended.")
    record(principal, "end session", name, session=fingerprint)
    return Links.administration(AdministrationView.USERS, user=name)
