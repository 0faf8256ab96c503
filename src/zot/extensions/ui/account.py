"""The user's own page: API keys, sessions and stars."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

from zot.accounts.interface import Accounts, AccountsUnavailableError, ApiKey
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.accounts.sessions.session import ListedSession, fingerprint_of
from zot.api.auth.apikey import ApiKeyRequest, create_key
from zot.api.authorization import Authorizer
from zot.api.cookies import SESSION, cookie
from zot.api.http_request import HttpRequest
from zot.auth.build import Auth
from zot.auth.principal import Principal
from zot.extensions.ui.addresses import ACCOUNT_PATH
from zot.extensions.ui.forms import Form, PageFormInvalid
from zot.extensions.ui.page import USE_PAGES, HtmlPage
from zot.oci.names import Repository
from zot.registry.errors import Denied, Unavailable
from zot.registry.registry import Registry

_SESSIONS_LIMIT = 5000
"""Sessions of all users that are looked through for the user's own."""
_EXPIRIES_DAYS = (7, 30, 90, 365)


class AccountPage:
    """Makes the page, and carries out its forms."""

    def __init__(self, authorizer: Authorizer, auth: Auth, registry: Registry, *, api_keys: bool) -> None:
        """Serve the users of `auth`; `api_keys` tells whether they may have keys."""
        self._registry = registry
        self._authorizer = authorizer
        self._auth = auth
        self._api_keys = api_keys

    async def page(self, http: HttpRequest, secret: str = "") -> HtmlPage:
        """Return the page; `secret` is that of a key just created, which is never shown again.

        Raises ErrorResponse, Unavailable.
        """
        owner = await self._owner(http)
        accounts = self._accounts()
        try:
            keys = await accounts.keys(owner.name) if self._api_keys else ()
            stars = await accounts.starred(owner.name)
            bookmarks = await accounts.bookmarked(owner.name)
        except AccountsUnavailableError as error:
            raise Unavailable("The accounts cannot be reached at the moment.") from error
        values = {
            "user_name": owner.name,
            "groups": sorted(owner.groups),
            "has_keys": self._api_keys,
            "keys": [shown_key(key) for key in keys],
            "secret": secret,
            "expiries_days": _EXPIRIES_DAYS,
            "sessions": await self._sessions(owner),
            "current_session": fingerprint_of(cookie(http, SESSION)),
            "stars": await self._readable(http, owner, stars),
            "bookmarks": await self._readable(http, owner, bookmarks),
        }
        return HtmlPage("account.html", values)

    async def create_key(self, http: HttpRequest, form: Form) -> HtmlPage:
        """Create a key; return the page that shows it, once. Raises ErrorResponse, PageFormInvalid, Unavailable."""
        owner = await self._owner(http)
        if not self._api_keys:
            raise Denied("This registry has no API keys.")
        days = form.text("expires_days")
        if days and (not days.isascii() or not days.isdecimal() or len(days) > 5):
            raise PageFormInvalid("The expiry is a number of days.")
        expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=int(days)) if days else None
        requested = ApiKeyRequest(
            label=form.text("label"),
            scopes=tuple(form.text("scopes").split()),
            expirationDate=expires.isoformat() if expires is not None else None,
        )
        agent = http.headers.get("User-Agent", "")
        secret, _ = await create_key(self._accounts(), owner, requested, agent)
        return await self.page(http, secret)

    async def revoke_key(self, http: HttpRequest, form: Form) -> str:
        """Delete a key of the user; return the address of the page. Raises ErrorResponse, Unavailable."""
        owner = await self._owner(http)
        try:
            await self._accounts().delete_key(owner.name, form.text("id"))
        except AccountsUnavailableError as error:
            raise Unavailable("The accounts cannot be reached at the moment.") from error
        return ACCOUNT_PATH

    async def end_session(self, http: HttpRequest, form: Form) -> str:
        """End a session of the user; return the address of the page. Raises ErrorResponse, Unavailable."""
        owner, fingerprint, ended = await self._owner(http), form.text("session"), 0
        try:
            if self._auth.sessions is not None and fingerprint:
                ended = await self._auth.sessions.revoke(user=owner.name, fingerprint=fingerprint)
        except SessionsUnavailableError as error:
            raise Unavailable("Sessions cannot be ended at the moment.") from error
        if not ended:
            raise PageFormInvalid("This is none of your sessions: it may have ended.")
        return ACCOUNT_PATH

    async def _owner(self, http: HttpRequest) -> Principal:
        # A limited key must not create an unlimited one.
        return await self._authorizer.enter(http, USE_PAGES, lambda each: each.is_full_user)

    def _accounts(self) -> Accounts:
        if self._auth.accounts is None:
            raise Denied("This registry has no accounts.")
        return self._auth.accounts

    async def _readable(
        self, http: HttpRequest, owner: Principal, names: Sequence[Repository]
    ) -> list[tuple[Repository, bool]]:
        """Return each repository, and whether the user can still read it."""
        policy = self._authorizer.policy
        return [
            (name, policy.readable(owner, name, http.context) and await self._registry.exists(name)) for name in names
        ]

    async def _sessions(self, owner: Principal) -> list[ListedSession]:
        found: list[ListedSession] = []
        if self._auth.sessions is None:
            return found
        try:
            seen = 0
            async for each in self._auth.sessions.all():
                seen += 1
                if each.session.user == owner.name:
                    found.append(each)
                if seen == _SESSIONS_LIMIT:
                    break
        except SessionsUnavailableError as error:
            raise Unavailable("Sessions cannot be listed at the moment.") from error
        return found


def shown_key(key: ApiKey) -> dict[str, object]:
    """Return what a page shows of an API key."""
    return {
        "id": key.id,
        "label": key.label or "no label",
        "scopes": key.scopes,
        "created_ns": _ns(key.created_s),
        "expires_ns": _ns(key.expires_s),
        "expired": key.expires_s is not None and key.expires_s <= time.time(),
        "used_ns": _ns(key.last_used_s),
    }


def _ns(at_s: float | None) -> int | None:
    return int(at_s * 1e9) if at_s else None
