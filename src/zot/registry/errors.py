"""The errors of a registry (distribution-spec, Error codes).

    RegistryError
    ├── NameInvalid NameUnknown PageInvalid
    ├── ManifestInvalid (ManifestTooLarge TooManyTags MediaTypeUnsupported ManifestConflict)
    ├── ManifestUnknown ManifestBlobUnknown
    ├── BlobUnknown DigestInvalid SizeInvalid BodyTooLarge ContentTypeUnsupported
    ├── UploadUnknown UploadInvalid (RangeInvalid UploadBusy)
    ├── Unauthorized Denied (NotGranted (TagImmutable) QuotaExceeded InUse) Unsupported TooManyRequests
    ├── TagChanged
    └── Unavailable (InsufficientStorage): the server cannot do it now

Each class is one row of the table: code, HTTP status, message. Use cases raise them; `zot.api` renders them.
"""

from __future__ import annotations

from typing import ClassVar


class RegistryError(Exception):
    """A refusal with the specification's code, its HTTP status and message; `detail` has the values it is about."""

    code: ClassVar[str] = "UNSUPPORTED"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "the operation is unsupported"

    def __init__(self, description: str = "", /, **detail: object) -> None:
        """Describe the case in one sentence, with the values that it is about."""
        super().__init__(description or self.message)
        self.detail = {key: str(value) for key, value in detail.items()}
        self.detail["description"] = description or self.message


class NameInvalid(RegistryError):
    """The repository name breaks the grammar."""

    code, status, message = "NAME_INVALID", 400, "invalid repository name"


class NameUnknown(RegistryError):
    """There is no such repository."""

    code, status, message = "NAME_UNKNOWN", 404, "repository name not known to registry"


class ManifestInvalid(RegistryError):
    """The manifest, its reference or its tags are not acceptable."""

    code, status, message = "MANIFEST_INVALID", 400, "manifest invalid"


class ManifestTooLarge(ManifestInvalid):
    """The manifest exceeds the limit."""

    status = 413


class TooManyTags(ManifestInvalid):
    """More `tag` parameters than one push may have."""

    status = 414


class MediaTypeUnsupported(ManifestInvalid):
    """The Content-Type is not that of a manifest."""

    status = 415


class BodyTooLarge(RegistryError):
    """The body of a request that is no manifest exceeds its limit."""

    code, status, message = "SIZE_INVALID", 413, "the body is too large"


class ContentTypeUnsupported(RegistryError):
    """The Content-Type is not that of a blob."""

    code, status, message = "UNSUPPORTED", 415, "the Content-Type is not supported here"


class ManifestConflict(ManifestInvalid):
    """Several tags point to the digest, and the caller has the action detectManifestCollision."""

    status = 409


class PageInvalid(RegistryError):
    """A list's parameters are malformed."""

    code, status, message = "PAGINATION_NUMBER_INVALID", 400, "invalid number of results requested"


class ManifestUnknown(RegistryError):
    """There is no such manifest or tag."""

    code, status, message = "MANIFEST_UNKNOWN", 404, "manifest unknown"


class ManifestBlobUnknown(RegistryError):
    """The manifest names a blob that the repository does not have."""

    code, status, message = "MANIFEST_BLOB_UNKNOWN", 404, "blob unknown to registry"


class BlobUnknown(RegistryError):
    """There is no such blob in the repository."""

    code, status, message = "BLOB_UNKNOWN", 404, "blob unknown to registry"


class DigestInvalid(RegistryError):
    """The digest is malformed, not supported, or not that of the content."""

    code, status, message = "DIGEST_INVALID", 400, "provided digest did not match uploaded content"


class UploadUnknown(RegistryError):
    """There is no such upload session in the repository."""

    code, status, message = "BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry"


class UploadInvalid(RegistryError):
    """The upload cannot go on like this."""

    code, status, message = "BLOB_UPLOAD_INVALID", 400, "blob upload invalid"


class RangeInvalid(UploadInvalid):
    """The chunk does not start where the upload ends, or its length is not that of its range."""

    status = 416


class UploadBusy(UploadInvalid):
    """Another request holds the session and did not release it in time."""

    status = 409


class SizeInvalid(RegistryError):
    """The length is not that of the content."""

    code, status, message = "SIZE_INVALID", 400, "provided length did not match content length"


class Unauthorized(RegistryError):
    """The client has to authenticate."""

    code, status, message = "UNAUTHORIZED", 401, "authentication required"


class Denied(RegistryError):
    """The principal may not do this."""

    code, status, message = "DENIED", 403, "requested access to the resource is denied"


class NotGranted(Denied):
    """The principal lacks the right that the change turned out to need (create or update)."""


class TagImmutable(NotGranted):
    """The tag may not be moved or deleted, except by certain groups."""


class TagChanged(RegistryError):
    """The tag does not point where the client expects it: another client moved, created or deleted it."""

    code, status, message = "PRECONDITION_FAILED", 412, "the tag has changed"


class QuotaExceeded(Denied):
    """The repository's quota of bytes is exceeded."""


class InUse(Denied):
    """Something else in the repository refers to it."""

    status = 405


class Unsupported(RegistryError):
    """The registry does not do this."""

    code, status, message = "UNSUPPORTED", 405, "the operation is unsupported"


class TooManyRequests(RegistryError):
    """A limit on requests, sessions or repositories is reached."""

    code, status, message = "TOOMANYREQUESTS", 429, "too many requests"

    def __init__(self, description: str = "", /, retry_after_s: int | None = None, **detail: object) -> None:
        """Refuse; `retry_after_s` is when to try again, None if time does not help."""
        super().__init__(description, **detail)
        self.retry_after_s = retry_after_s


class Unavailable(RegistryError):
    """The server cannot do it now; the same request may succeed later."""

    code, status, message = "UNAVAILABLE", 503, "the registry cannot do this at the moment"

    def __init__(self, description: str = "", /, retry_after_s: int = 5, **detail: object) -> None:
        """Refuse; `retry_after_s` is when to try again."""
        super().__init__(description, **detail)
        self.retry_after_s = retry_after_s


class InsufficientStorage(Unavailable):
    """The disk is nearly full: uploads are refused, so that deletes and collection still work."""

    message = "not enough free storage"
