"""Forms of pages: read, and taken from the registry's own pages only."""

from __future__ import annotations

from urllib.parse import parse_qs

from zot.api.auth.authentication import HttpAuthenticator
from zot.api.body import TransferLimits, read_limited
from zot.api.http_request import HttpRequest
from zot.auth.credentials import CrossOrigin
from zot.auth.oauth.callbacks import origin_of, safe_callback
from zot.catalog.manifest_commands import TagPosition
from zot.oci.digest import Digest, InvalidDigestError, parse_digest
from zot.oci.names import InvalidNameError, InvalidTagError, Repository, Tag, parse_repository, parse_tag
from zot.registry.errors import RegistryError

_BODY_LIMIT_BYTES = 256 * 1024
_FIELDS_LIMIT = 1200


class PageFormInvalid(RegistryError):
    """The form cannot be read, or there is none at this address."""

    code, status, message = "UNSUPPORTED", 400, "The form cannot be read."


class Form:
    """The fields of a form."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        """Keep all values of each field."""
        self._fields = fields

    def text(self, name: str) -> str:
        """Return the first value of a field, empty if there is none."""
        return self._fields.get(name, [""])[0]

    @property
    def repository(self) -> Repository:
        """The field `repository`. Raises PageFormInvalid."""
        try:
            return parse_repository(self.text("repository"))
        except InvalidNameError as error:
            raise PageFormInvalid(f"This is no name of a repository: {error}.") from error

    @property
    def tags(self) -> list[Tag]:
        """All fields `tag`, each once. Raises PageFormInvalid."""
        try:
            return [parse_tag(each) for each in dict.fromkeys(self._fields.get("tag", []))]
        except InvalidTagError as error:
            raise PageFormInvalid(f"This is no tag: {error}.") from error

    @property
    def digests(self) -> list[Digest]:
        """All fields `manifest`, each once. Raises PageFormInvalid."""
        try:
            return [parse_digest(each) for each in dict.fromkeys(self._fields.get("manifest", []))]
        except InvalidDigestError as error:
            raise PageFormInvalid(f"This is no digest: {error}.") from error

    @property
    def digest(self) -> Digest:
        """The field `digest`. Raises PageFormInvalid."""
        try:
            return parse_digest(self.text("digest"))
        except InvalidDigestError as error:
            raise PageFormInvalid(f"This is no digest: {error}.") from error

    @property
    def position(self) -> TagPosition | None:
        """The field `now`: where the page showed the tag, or empty: it was not there. None: anywhere.

        Raises PageFormInvalid.
        """
        if "now" not in self._fields:
            return None
        try:
            return TagPosition(parse_digest(self.text("now")) if self.text("now") else None)
        except InvalidDigestError as error:
            raise PageFormInvalid(f"This is no digest: {error}.") from error

    @property
    def after(self) -> str:
        """The field `next`: the path of this site to go to, never another site."""
        return own_path(self.text("next"))


def own_path(text: str) -> str:
    """Return a path of this site; `/` for anything else."""
    return safe_callback(text, ()) or "/"


def _from_same_host(http: HttpRequest) -> bool:
    """Tell whether a form is of this host, in a registry without users, which knows no origins of its own.

    Browsers send `Sec-Fetch-Site` by HTTPS and to loopback alone; by plain HTTP there is `Origin`. Its scheme is left
    out: a proxy may terminate TLS. What sends neither is no browser.
    """
    site, origin = http.headers.get("Sec-Fetch-Site"), http.headers.get("Origin")
    if site is not None:
        return site in {"none", "same-origin"}
    return origin is None or (origin_of(origin) or "").partition("://")[2] == http.host.lower()


async def read_form(http: HttpRequest, authenticator: HttpAuthenticator | None) -> Form:
    """Read a form. From here on the cookie of its sender counts, since one of our own pages sent it.

    Raises CrossOrigin for a form of another site, PageFormInvalid, BodyTooLarge.
    """
    if authenticator is not None:
        if not authenticator.same_origin(http):
            raise CrossOrigin("Forms are taken from the registry's own pages only.")
        http.of_own_page = True
    elif not _from_same_host(http):
        raise CrossOrigin("Forms are taken from the registry's own pages only.")
    if http.content_type != "application/x-www-form-urlencoded":
        raise PageFormInvalid
    body = await read_limited(http, TransferLimits(), _BODY_LIMIT_BYTES)
    try:
        return Form(parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_LIMIT))
    except ValueError as error:
        raise PageFormInvalid from error
