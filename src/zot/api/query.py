"""The fields of a query of the routes beside the distribution API."""

from __future__ import annotations

from urllib.parse import parse_qs

from zot.api.http_request import HttpRequest
from zot.foundation.times import parse_time_ns
from zot.oci.digest import Digest, parse_digest
from zot.oci.names import Reference, Repository, Tag, parse_name, parse_reference, parse_repository
from zot.registry.errors import RegistryError
from zot.registry.request import PullManifest

FIELDS_LIMIT = 100


class QueryInvalid(RegistryError):
    """The query is invalid."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


class QueryFields:
    """The fields of a request's query. All methods raise QueryInvalid, which names the field."""

    def __init__(self, http: HttpRequest) -> None:
        query = http.raw_path.partition("?")[2]
        try:
            self._fields = parse_qs(query, keep_blank_values=True, max_num_fields=FIELDS_LIMIT, errors="strict")
        except UnicodeDecodeError:
            raise QueryInvalid("the query is not UTF-8") from None
        except ValueError:
            raise QueryInvalid(f"the query has more than {FIELDS_LIMIT} fields") from None

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return self._fields.get(name, [])

    def one(self, name: str) -> str:
        """Return the value of a field, empty if it is not given."""
        values = self._fields.get(name, [""])
        if len(values) != 1:
            raise QueryInvalid(f"{name} is given more than once")
        return values[0]

    def repository(self, name: str = "repo") -> Repository:
        """Return the field as the name of a repository, which has to be given."""
        text = self.one(name)
        if not text:
            raise QueryInvalid(f"{name} is missing: the name of a repository")
        try:
            return parse_repository(text)
        except ValueError as error:
            raise QueryInvalid(f"{name}: {error}") from None

    def tag(self, name: str = "tag") -> Tag | None:
        """Return the field as a tag, also one that only another program could store."""
        text = self.one(name)
        try:
            return parse_name(text) if text else None
        except ValueError as error:
            raise QueryInvalid(f"{name}: {error}") from None

    def digest(self, name: str = "digest") -> Digest | None:
        """Return the field as a digest."""
        text = self.one(name)
        try:
            return parse_digest(text) if text else None
        except ValueError as error:
            raise QueryInvalid(f"{name}: {error}") from None

    def reference(self, name: str = "reference") -> Reference | None:
        """Return the field as a tag or digest."""
        text = self.one(name)
        try:
            return parse_reference(text) if text else None
        except ValueError as error:
            raise QueryInvalid(f"{name}: {error}") from None

    def image(self, name: str) -> PullManifest:
        """Return the field, `NAME:TAG` or `NAME@DIGEST`, as the request that pulls the image."""
        text = self.one(name)
        repository, separator, reference = text.partition("@" if "@" in text else ":")
        if not separator:
            raise QueryInvalid(f"{name} is missing, or is neither NAME:TAG nor NAME@DIGEST")
        try:
            return PullManifest(repository=parse_repository(repository), reference=parse_reference(reference))
        except ValueError as error:
            raise QueryInvalid(f"{name}: {error}") from None

    def time_ns(self, name: str = "at") -> int | None:
        """Return the field as a time, in nanoseconds since the epoch."""
        text = self.one(name)
        found = parse_time_ns(text) if text else None
        if text and found is None:
            raise QueryInvalid(f"{name} is not a time of RFC 3339 such as 2030-05-01T12:00:00Z")
        return found

    def count(self, name: str) -> int | None:
        """Return the field as a number."""
        text = self.one(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit()):
            raise QueryInvalid(f"{name}={text[:32]!r} is not a number")
        return min(int(text[:20]), 2**63 - 1)
