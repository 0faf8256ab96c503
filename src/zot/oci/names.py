"""Names of repositories, tags and references (distribution-spec, Pulling manifests)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NewType

from zot.oci.digest import Digest, parse_digest

Repository = NewType("Repository", str)
"""A repository's full name, such as `team/app`. Made by `parse_repository` only."""

Tag = NewType("Tag", str)
"""A tag, made by `parse_tag`, or another name from an `index.json`, made by `parse_name`.

It has no colon, which distinguishes it from a digest.
"""

Reference = Tag | Digest
"""The part of a request's path that names a manifest."""

# Clients limit host and name together to 255 characters; file systems limit each component to 255 bytes.
REPOSITORY_LENGTH_LIMIT = 255
"""The longest name of a repository that a push may create."""
_COMPONENT_LENGTH_LIMIT = 255
_STORED_LENGTH_LIMIT = 1024
"""The longest name of a repository that another program created; paths have a limit of 4096 bytes."""
_NAME_LENGTH_LIMIT = 1024

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

LAYOUT_NAMES = frozenset({"blobs", "index.json", "oci-layout"})
"""Names in an image layout: a component of that name may collide with the content of another repository."""
# Files that zot keeps at the root of a store.
_ROOT_NAMES = frozenset({"cache.db", "meta.db"})
_NUMBER = re.compile(r"[0-9]+")


class InvalidNameError(ValueError):
    """The text does not match the grammar of repository names."""


class InvalidTagError(ValueError):
    """The text does not match the grammar of tags."""


@lru_cache(maxsize=4096)  # requests repeat few names; invalid ones are not cached
def parse_repository(text: str) -> Repository:
    """Parse the name of a repository; raise InvalidNameError if it is invalid or too long to be stored."""
    if len(text) > _STORED_LENGTH_LIMIT:
        raise InvalidNameError(f"a repository name has at most {_STORED_LENGTH_LIMIT} characters")
    if not _REPOSITORY.fullmatch(text):
        raise InvalidNameError(f"{text!r} is not a repository name")
    if max(map(len, text.split("/"))) > _COMPONENT_LENGTH_LIMIT:
        raise InvalidNameError(f"a component of a repository name has at most {_COMPONENT_LENGTH_LIMIT} characters")
    return Repository(text)


def creation_refused(repository: Repository) -> str | None:
    """Return why a push may not create a repository of this name, or None if it may.

    A repository of such a name that another program created is served nevertheless, unless its directory collides
    with that of another repository.
    """
    if len(repository) > REPOSITORY_LENGTH_LIMIT:
        return f"a repository name has at most {REPOSITORY_LENGTH_LIMIT} characters"
    components = repository.split("/")
    if not LAYOUT_NAMES.isdisjoint(components) or components[0] in _ROOT_NAMES:
        return f"{repository!r}: one of its components is a reserved file name"
    return None


def route_of(repository: Repository) -> str:
    """Return the route of the sub-path that may hold the repository: a slash and the first component.

    A name of one component belongs to no sub-path: the result is empty.
    """
    first, below, _ = repository.partition("/")
    return f"/{first}" if below else ""


def parse_tag(text: str) -> Tag:
    """Parse a tag; raise InvalidTagError if it is invalid."""
    if not _TAG.fullmatch(text):
        raise InvalidTagError(f"{text[:200]!r} is not a tag")
    return Tag(text)


def parse_name(text: str) -> Tag:
    """Parse a name from an `index.json`, which need not be a valid tag; raise InvalidTagError if it is unusable.

    Other programs write names such as `1.0+build5` and `feature/login`. A name with a colon is refused, since it looks
    like a digest.
    """
    if not text or ":" in text or len(text) > _NAME_LENGTH_LIMIT or not text.isprintable():
        raise InvalidTagError(f"{text[:200]!r} is not a tag")
    return Tag(text)


def parse_reference(text: str) -> Reference:
    """Parse a reference: a digest if it has a colon, else a tag.

    Raises InvalidDigestError or InvalidTagError.
    """
    return parse_digest(text) if ":" in text else parse_tag(text)


def as_digest(reference: Reference) -> Digest | None:
    """Return the reference if it is a digest, else None."""
    return Digest(reference) if ":" in reference else None


def as_tag(reference: Reference) -> Tag | None:
    """Return the reference if it is a tag, else None."""
    return None if ":" in reference else Tag(reference)


def version_key(tag: str) -> str:
    """Return a text by which tags sort as versions: `v1.2` before `v1.10`.

    Each number is preceded by its count of digits, so that keys compare as texts. Numbers compare by value, all else by
    its characters; tags that differ in leading zeros alone have the same key.
    """
    return _NUMBER.sub(_counted_digits, tag)


def _counted_digits(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"{len(digits):03x}{digits}"
