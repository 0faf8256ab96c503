"""Requests to the registry, parsed once.

The same value is authorized, handled, counted, logged and audited, so that a handler cannot act on a name that the
policy did not see. Each route and method has a class; `rights` returns the rights that a request needs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, NamedTuple

import msgspec

from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag, as_digest


class Action(StrEnum):
    """The actions that access control grants, by zot's names."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    DETECT_MANIFEST_COLLISION = "detectManifestCollision"


class Right(NamedTuple):
    """One effect of a request: it may happen if one of `actions` is granted on the reference of the repository.

    Where several actions are named, which of them is needed depends on what exists (a tag is created or moved); those
    granted become conditions of the change itself, so that no race decides otherwise.
    """

    actions: tuple[Action, ...]
    repository: Repository
    reference: Reference | None = None


class Request(msgspec.Struct, frozen=True):
    """A parsed request. `operation` is its name in logs, metrics and audit lines."""

    operation: ClassVar[str]
    changes: ClassVar[bool] = False
    """Whether it is a mutating request: refused by a read-only registry, written to the audit log."""

    def rights(self) -> tuple[Right, ...]:
        """Return the rights needed; none: any authenticated principal may ask, and results are filtered."""
        return ()


class Ping(Request, frozen=True):
    """GET /v2/: whether this is a registry that the client may use."""

    operation = "ping"


class Discover(Request, frozen=True):
    """GET /v2/_oci/ext/discover."""

    operation = "discover"


class UseExtension(Request, frozen=True):
    """A request beside the distribution API, by its name: its handler decides who may use it."""

    operation = "extension"
    name: str
    resource_class: str = "registry"
    """How clients are authenticated there, a value of `zot.auth.credentials.ResourceClass`."""


class ListRepositories(Request, frozen=True):
    """GET /v2/_catalog."""

    operation = "repositories.list"
    limit: int | None = None
    last: str = ""


class ListUsage(Request, frozen=True):
    """GET /v2/_zot/ext/usage: what repositories use; those that the principal may read."""

    operation = "usage.list"
    limit: int | None = None
    last: str = ""


class WatchEvents(Request, frozen=True):
    """GET /v2/_zot/ext/events: what happens; to the repositories that the principal may read."""

    operation = "events.watch"


class OfRepository(Request, frozen=True):
    """A request within one repository: reading, unless a subclass says otherwise."""

    action: ClassVar[Action] = Action.READ
    repository: Repository

    def rights(self) -> tuple[Right, ...]:
        """Return the one right on the repository."""
        return (Right((self.action,), self.repository),)


class ListTags(OfRepository, frozen=True):
    """GET /v2/{name}/tags/list."""

    operation = "tags.list"
    limit: int | None = None
    last: str = ""


class ListTagChanges(OfRepository, frozen=True):
    """GET /v2/_zot/ext/history: the changes of a tag, or of all tags, newest first."""

    operation = "tags.history"
    tag: Tag | None = None
    limit: int | None = None
    before: int | None = None
    """A sequence number: only earlier changes."""


class ListTagsAsOf(OfRepository, frozen=True):
    """GET /v2/_zot/ext/asof: where a tag, or each tag, pointed at a time."""

    operation = "tags.asof"
    at_ns: int
    tag: Tag | None = None
    limit: int | None = None
    last: str = ""


class RestoreRepositoryTags(OfRepository, frozen=True):
    """POST /v2/_zot/ext/restore: point tags at manifests that they pointed at before."""

    operation = "tags.restore"
    changes = True
    tags: tuple[Tag, ...] = ()
    """Empty: those that pointed elsewhere at that time, which are not known yet."""
    digest: Digest | None = None
    at_ns: int | None = None
    """Without a digest or a time: to where the tag pointed before its last change."""

    def rights(self) -> tuple[Right, ...]:
        """Return the rights of a push of each tag; while the tags are not known, that to read them."""
        either = (Action.CREATE, Action.UPDATE)
        return tuple(Right(either, self.repository, tag) for tag in self.tags) or super().rights()


class ListTagUsage(OfRepository, frozen=True):
    """GET /v2/_zot/ext/usage?repo=: what a repository and its tags use."""

    operation = "usage.tags"
    limit: int | None = None
    last: str = ""


class ListReferrers(OfRepository, frozen=True):
    """GET /v2/{name}/referrers/{digest}."""

    operation = "referrers.list"
    subject: Digest
    artifact_types: tuple[str, ...] = ()
    limit: int | None = None
    last: str = ""


class PullManifest(OfRepository, frozen=True):
    """GET or HEAD /v2/{name}/manifests/{reference}."""

    operation = "manifest.pull"
    reference: Reference
    head: bool = False

    def rights(self) -> tuple[Right, ...]:
        """Return the right to read this reference."""
        return (Right((Action.READ,), self.repository, self.reference),)


class DiffImages(Request, frozen=True):
    """GET /v2/_zot/ext/diff: in what two images differ."""

    operation = "image.diff"
    before: PullManifest
    after: PullManifest
    platform: str = ""

    def rights(self) -> tuple[Right, ...]:
        """Return the rights to read both."""
        return (*self.before.rights(), *self.after.rights())


class PushManifest(OfRepository, frozen=True):
    """PUT /v2/{name}/manifests/{reference}, with the tags of `?tag=` when it is pushed by digest."""

    operation = "manifest.push"
    changes = True
    reference: Reference
    tags: tuple[Tag, ...] = ()
    """The tags that it creates or moves: the reference itself, or those of the query."""

    def rights(self) -> tuple[Right, ...]:
        """Return a right for each tag that may be created or moved, and one for a push by digest."""
        either = (Action.CREATE, Action.UPDATE)
        rights = [Right(either, self.repository, tag) for tag in self.tags]
        if as_digest(self.reference) is not None:
            # With tags, what adds content may come along with moving them; a bare digest is creation.
            actions = either if self.tags else (Action.CREATE,)
            rights.append(Right(actions, self.repository, self.reference))
        return tuple(rights)


class DeleteManifest(OfRepository, frozen=True):
    """DELETE /v2/{name}/manifests/{reference}: a tag, or a manifest with all its tags."""

    operation = "manifest.delete"
    changes = True
    reference: Reference

    def rights(self) -> tuple[Right, ...]:
        """Return the right to delete this reference."""
        return (Right((Action.DELETE,), self.repository, self.reference),)


class PullBlob(OfRepository, frozen=True):
    """GET or HEAD /v2/{name}/blobs/{digest}."""

    operation = "blob.pull"
    digest: Digest
    head: bool = False

    def rights(self) -> tuple[Right, ...]:
        """Return the right to read this digest."""
        return (Right((Action.READ,), self.repository, self.digest),)


class DeleteBlob(OfRepository, frozen=True):
    """DELETE /v2/{name}/blobs/{digest}."""

    operation = "blob.delete"
    changes = True
    digest: Digest

    def rights(self) -> tuple[Right, ...]:
        """Return the right to delete this digest."""
        return (Right((Action.DELETE,), self.repository, self.digest),)


class BeginUpload(OfRepository, frozen=True):
    """POST /v2/{name}/blobs/uploads/: a session, a whole blob (`digest`), or a mount (`mount`)."""

    operation = "upload.begin"
    changes = True
    action = Action.CREATE
    digest: Digest | None = None
    mount: Digest | None = None
    source: Repository | None = None
    """Where to mount from; None with `mount`: any repository that the principal may read."""
    algorithm: str | None = None
    """The algorithm of the digest to come, where the client says it (`digest-algorithm`)."""


class OfUpload(OfRepository, frozen=True):
    """A request to an upload session of the repository."""

    action = Action.CREATE
    changes = True
    session: str


class UploadStatus(OfUpload, frozen=True):
    """GET of a session."""

    operation = "upload.status"
    action = Action.READ
    changes = False


class AppendUpload(OfUpload, frozen=True):
    """PATCH of a session."""

    operation = "upload.append"


class FinishUpload(OfUpload, frozen=True):
    """PUT of a session."""

    operation = "upload.finish"
    digest: Digest


class CancelUpload(OfUpload, frozen=True):
    """DELETE of a session."""

    operation = "upload.cancel"
    action = Action.DELETE
