"""The raw request line of the distribution API, parsed once into a Request.

The path is used as sent: dot segments and encoded slashes are not normalised away, so that authorization decides on
the name that the client sent. Only the last segment may be percent-encoded (some clients encode the
colon of a digest).
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote

from zot.api.errors import method_not_allowed
from zot.oci.digest import HEX_LENGTHS, Digest, InvalidDigestError, parse_digest
from zot.oci.names import (
    InvalidNameError,
    InvalidTagError,
    Reference,
    Repository,
    Tag,
    as_tag,
    parse_name,
    parse_reference,
    parse_repository,
    parse_tag,
)
from zot.registry.errors import (
    DigestInvalid,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    PageInvalid,
    TooManyTags,
    Unsupported,
    UploadInvalid,
    UploadUnknown,
)
from zot.registry.request import (
    AppendUpload,
    BeginUpload,
    CancelUpload,
    DeleteBlob,
    DeleteManifest,
    Discover,
    FinishUpload,
    ListReferrers,
    ListRepositories,
    ListTags,
    Ping,
    PullBlob,
    PullManifest,
    PushManifest,
    Request,
    UploadStatus,
)

PREFIX = "/v2/"

_SLASHES = re.compile("/+")
_QUERY_FIELDS_LIMIT = 200
_SESSION_LENGTH_LIMIT = 64

Query = dict[str, list[str]]


class NoRouteError(Exception):
    """No route has this path: 404."""


def without_empty_segments(path: str) -> str | None:
    """Return the path with one slash before `v2`, and one behind it, where the client sent several; else None.

    Clients make such paths from a base address that ends with a slash; zot redirects them. The text is safe for a
    Location header. Empty segments within a repository's name stay: they make it an invalid one.
    """
    if "//" not in path:
        return None
    cleaned = _SLASHES.sub("/", path, count=1)
    if cleaned.startswith(PREFIX):
        cleaned = PREFIX + cleaned[len(PREFIX) :].lstrip("/")
    # A backslash behind the first slash would lead browsers to another host.
    return None if cleaned == path else quote(cleaned, safe="/%:@!$&'()*+,;=~", errors="replace")


def parse(method: str, path: str, query: str, *, tags_limit: int) -> Request:
    """Return the Request of a method, raw path (below `/v2/`) and raw query.

    Raises NoRouteError, Unsupported (no such method there), NameInvalid, DigestInvalid, ManifestInvalid, UploadInvalid,
    PageInvalid, TooManyTags.
    """
    rest = path.removeprefix(PREFIX)
    if "/" not in rest:
        return _of_registry(method, rest, query)
    segments = rest.split("/")
    match segments:  # the most frequent ones first
        case [*name, "manifests", reference] if name:
            return _manifest(method, _repository(name), unquote(reference), query, tags_limit)
        case ["_oci", "ext", "discover"]:
            _reading(method)
            return Discover()
        case [*name, "tags", "list"] if name:
            return _tags(method, _repository(name), _fields(query))
        case [*name, "blobs", "uploads"] | [*name, "blobs", "uploads", ""] if name:
            return _begin(method, _repository(name), _fields(query))
        case [*name, "blobs", "uploads", session] if name:
            return _upload(method, _repository(name), unquote(session), query)
        case [*name, "blobs", digest] if name:
            return _blob(method, _repository(name), _digest(unquote(digest)))
        case [*name, "referrers", digest] if name:
            return _referrers(method, _repository(name), _digest(unquote(digest)), _fields(query))
    raise NoRouteError(path)


def _of_registry(method: str, rest: str, query: str) -> Request:
    if rest not in {"", "_catalog"}:
        raise NoRouteError(rest)
    _reading(method)
    if rest == "":
        return Ping()
    fields = _fields(query)
    return ListRepositories(limit=_count(fields), last=_one(fields, "last") or "")


def _tags(method: str, repository: Repository, fields: Query) -> Request:
    _reading(method)
    return ListTags(repository=repository, limit=_count(fields), last=_one(fields, "last") or "")


def _referrers(method: str, repository: Repository, subject: Digest, fields: Query) -> Request:
    _reading(method)
    return ListReferrers(
        repository=repository,
        subject=subject,
        artifact_types=tuple(each for each in fields.get("artifactType", ()) if each),
        limit=_count(fields),
        last=_one(fields, "last") or "",
    )


def _manifest(method: str, repository: Repository, text: str, query: str, tags_limit: int) -> Request:
    reference = _reference(method, text)
    match method:
        case "GET" | "HEAD":
            return PullManifest(repository=repository, reference=reference, head=method == "HEAD")
        case "PUT":
            tags = _tag_parameters(reference, _fields(query) if query else {}, tags_limit)
            return PushManifest(repository=repository, reference=reference, tags=tags)
        case "DELETE":
            return DeleteManifest(repository=repository, reference=reference)
        case _:
            raise method_not_allowed(method, "GET", "HEAD", "PUT", "DELETE")


def _tag_parameters(reference: Reference, fields: Query, tags_limit: int) -> tuple[Tag, ...]:
    """Return the tags that a push makes: the reference, or those of `?tag=` beside a digest."""
    asked = fields.get("tag", [])
    tag = as_tag(reference)
    if tag is not None:
        if asked:
            raise ManifestInvalid("'tag' goes with a push by digest, not by tag", reference=reference)
        return (tag,)
    if len(asked) > tags_limit:
        raise TooManyTags(f"a push moves at most {tags_limit} tags", reference=reference)
    try:
        return tuple(dict.fromkeys(parse_tag(each) for each in asked))
    except InvalidTagError as error:
        raise ManifestInvalid(str(error), reference=reference) from error


def _blob(method: str, repository: Repository, digest: Digest) -> Request:
    match method:
        case "GET" | "HEAD":
            return PullBlob(repository=repository, digest=digest, head=method == "HEAD")
        case "DELETE":
            return DeleteBlob(repository=repository, digest=digest)
        case _:
            raise method_not_allowed(method, "GET", "HEAD", "DELETE")


def _begin(method: str, repository: Repository, fields: Query) -> Request:
    if method != "POST":
        raise method_not_allowed(method, "POST")
    mount, source, digest = _one(fields, "mount"), _one(fields, "from"), _one(fields, "digest")
    if source is not None and mount is None:
        raise Unsupported("'from' goes with 'mount'")
    mounted = None if mount is None else _digest(mount)
    named = None if source is None else _source(source)
    algorithm = _one(fields, "digest-algorithm")
    if algorithm is not None and algorithm not in HEX_LENGTHS:
        raise DigestInvalid(f"digest algorithm {algorithm[:32]!r} is not one of {', '.join(HEX_LENGTHS)}")
    return BeginUpload(
        repository=repository,
        digest=None if digest is None or mount is not None else _digest(digest),
        mount=None if source is not None and named is None else mounted,
        source=named,
        algorithm=algorithm,
    )


def _upload(method: str, repository: Repository, session: str, query: str) -> Request:
    if not session or len(session) > _SESSION_LENGTH_LIMIT:
        raise UploadUnknown(session_id=session[:_SESSION_LENGTH_LIMIT])
    match method:
        case "GET" | "HEAD":
            return UploadStatus(repository=repository, session=session)
        case "PATCH":
            return AppendUpload(repository=repository, session=session)
        case "PUT":
            digest = _one(_fields(query), "digest")
            if digest is None:
                raise DigestInvalid("the query has no 'digest'")
            return FinishUpload(repository=repository, session=session, digest=_digest(digest))
        case "DELETE":
            return CancelUpload(repository=repository, session=session)
        case _:
            raise method_not_allowed(method, "GET", "HEAD", "PATCH", "PUT", "DELETE")


def _repository(segments: list[str]) -> Repository:
    name = "/".join(segments)
    try:
        return parse_repository(name)
    except InvalidNameError as error:
        raise NameInvalid(str(error), name=name[:300]) from error


def _source(name: str) -> Repository | None:
    """Return the repository to mount from; None if the name is not valid, so that nothing can be mounted from it.

    Clients name what they have pulled from other registries, whose names need not be valid here.
    """
    try:
        return parse_repository(name)
    except InvalidNameError:
        return None


def _digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except InvalidDigestError as error:
        raise DigestInvalid(str(error), digest=text[:200]) from error


def _reference(method: str, text: str) -> Reference:
    try:
        return parse_reference(text)
    except InvalidDigestError as error:
        raise DigestInvalid(str(error), reference=text[:200]) from error
    except InvalidTagError as error:
        if method == "PUT":
            raise ManifestInvalid(str(error), reference=text[:200]) from error
    # Another program may have stored it under such a name.
    try:
        return parse_name(text)
    except InvalidTagError as error:
        raise ManifestUnknown(str(error), reference=text[:200]) from error


def _fields(query: str) -> Query:
    fields: Query = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_LIMIT, errors="strict")
    except ValueError as error:
        raise PageInvalid(f"the query is not acceptable: {error}") from error
    for key, value in pairs:
        fields.setdefault(key, []).append(value)
    return fields


def _one(fields: Query, key: str) -> str | None:
    values = fields.get(key)
    if values is None:
        return None
    if len(values) > 1:
        error = UploadInvalid if key in {"mount", "from", "digest", "digest-algorithm"} else PageInvalid
        raise error(f"'{key}' is given {len(values)} times")
    return values[0]


def _count(fields: Query) -> int | None:
    text = _one(fields, "n")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise PageInvalid(f"n={text[:32]!r} is not a count")
    return int(text[:18])


def _reading(method: str) -> None:
    if method not in {"GET", "HEAD"}:
        raise method_not_allowed(method, "GET", "HEAD")
