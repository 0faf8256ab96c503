"""The addresses of pages: read from a request's path, and written into links.

They are zui's where zui has such a page, so that bookmarks keep working. A repository's name is one segment, its
slashes encoded; with plain slashes it is understood as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

from zot.oci.digest import Digest, parse_digest
from zot.oci.names import Reference, Repository, Tag, parse_reference, parse_repository, parse_tag

View = TypeVar("View", bound=StrEnum)

_FIELDS_LIMIT = 64
_IMAGE = "/image/"
_TAG = "/tag/"
_DIGEST = "/digest/"


class NoPageError(ValueError):
    """No page has this address; the message says why, for the reader."""

    def __init__(self, why: str = "There is no page at this address.") -> None:
        super().__init__(why)


class RepositoryView(StrEnum):
    """What a page shows of a repository."""

    TAGS = "tags"
    README = "readme"
    USAGE = "usage"
    RETENTION = "retention"
    UNTAGGED = "untagged"
    HISTORY = "history"
    ACCESS = "access"


class ImageView(StrEnum):
    """What a page shows of an image."""

    SUMMARY = "summary"
    HISTORY = "history"
    RAW = "raw"
    COMPARE = "compare"
    CONTENT = "content"
    FILES = "files"
    DOWNLOAD = "download"
    """No page: a file of a layer."""


class AdministrationView(StrEnum):
    """What a page shows to administrators."""

    SERVER = ""
    USAGE = "usage"
    JOBS = "jobs"
    COLLECTION = "collection"
    USERS = "users"
    AUDIT = "audit"
    CONFIGURATION = "configuration"


class ExploreAddress(msgspec.Struct, frozen=True):
    """The page of repositories, and of what is searched for."""


class RepositoryAddress(msgspec.Struct, frozen=True):
    """A page of a repository."""

    repository: Repository
    view: RepositoryView


class ImageAddress(msgspec.Struct, frozen=True):
    """A page of a tag or a digest."""

    repository: Repository
    reference: Reference
    view: ImageView


class LoginAddress(msgspec.Struct, frozen=True):
    """The page to log in."""


class AccountAddress(msgspec.Struct, frozen=True):
    """The user's own page."""


class AdministrationAddress(msgspec.Struct, frozen=True):
    """A page for administrators."""

    view: AdministrationView


ACCOUNT_PATH = "/user/apikey"
_ADMINISTRATION = "/admin"

Address = ExploreAddress | RepositoryAddress | ImageAddress | LoginAddress | AccountAddress | AdministrationAddress


def parse_address(path: str) -> Address:
    """Return what the raw path of a page names. Raises NoPageError."""
    if path in {"/", "/home", "/explore"}:
        return ExploreAddress()
    if path == "/login":
        return LoginAddress()
    if path == ACCOUNT_PATH:
        return AccountAddress()
    if path == _ADMINISTRATION:
        return AdministrationAddress(AdministrationView.SERVER)
    if path.startswith(f"{_ADMINISTRATION}/") and path != f"{_ADMINISTRATION}/":
        return AdministrationAddress(_view(AdministrationView, path.removeprefix(f"{_ADMINISTRATION}/")))
    if not path.startswith(_IMAGE):
        raise NoPageError
    rest = path.removeprefix(_IMAGE)
    for mark in (_TAG, _DIGEST):
        name, found, after = rest.rpartition(mark)
        if found:
            reference, _, view = after.partition("/")
            return ImageAddress(_repository(name), _reference(reference), _view(ImageView, view or ImageView.SUMMARY))
    name, _, view = rest.rpartition("/")
    if name and "%2F" not in view.upper() and view in set(RepositoryView):
        return RepositoryAddress(_repository(name), RepositoryView(view))
    return RepositoryAddress(_repository(rest), RepositoryView.TAGS)


def parse_query(query: str) -> dict[str, str]:
    """Return the fields of a query, the last of each name. Raises NoPageError."""
    try:
        return dict(parse_qsl(query, max_num_fields=_FIELDS_LIMIT))
    except ValueError as error:
        raise NoPageError(f"The address has more than {_FIELDS_LIMIT} fields.") from error


def _repository(text: str) -> Repository:
    try:
        return parse_repository(unquote(text, errors="strict"))
    except ValueError as error:
        raise NoPageError(f"This is no name of a repository: {error}.") from error


def _reference(text: str) -> Reference:
    try:
        return parse_reference(unquote(text, errors="strict"))
    except ValueError as error:
        raise NoPageError(f"This is neither a tag nor a digest: {error}.") from error


def _view(kind: type[View], text: str) -> View:
    try:
        return kind(text)
    except ValueError as error:
        raise NoPageError from error


def parse_tag_or_none(text: str) -> Tag | None:
    """Return a tag of a field, None if it is none."""
    try:
        return parse_tag(text)
    except ValueError:
        return None


def parse_digest_or_none(text: str) -> Digest | None:
    """Return a digest of a field, None if it is none."""
    try:
        return parse_digest(text)
    except ValueError:
        return None


class Links:
    """Writes addresses: what templates know as `url`."""

    @staticmethod
    def explore(fields: Mapping[str, str]) -> str:
        """Return the address of a search; empty fields are left out."""
        return _with_query("/explore", fields)

    @staticmethod
    def repository(name: str, view: str = "", **fields: str) -> str:
        """Return the address of a page of a repository."""
        path = _IMAGE + quote(name, safe="")
        return _with_query(f"{path}/{view}" if view else path, fields)

    @staticmethod
    def image(name: str, reference: str, digest: str = "", view: str = "", **fields: str) -> str:
        """Return the address of a page of an image; `digest` is one of its manifests."""
        mark = _DIGEST if ":" in reference else _TAG
        path = _IMAGE + quote(name, safe="") + mark + quote(reference, safe=":")
        return _with_query(f"{path}/{view}" if view else path, {"digest": digest, **fields})

    @staticmethod
    def history(name: str, tag: str) -> str:
        """Return the address of the history of a tag."""
        return Links.image(name, tag, view=ImageView.HISTORY)

    @staticmethod
    def administration(view: str = "", **fields: str) -> str:
        """Return the address of a page for administrators."""
        return _with_query(f"{_ADMINISTRATION}/{view}" if view else _ADMINISTRATION, fields)

    @staticmethod
    def login(after: str) -> str:
        """Return the address of the login that leads to a page."""
        return _with_query("/login", {"next": after})


def _with_query(path: str, fields: Mapping[str, str]) -> str:
    query = urlencode({key: value for key, value in fields.items() if value}, quote_via=quote, safe=":/")
    return f"{path}?{query}" if query else path
