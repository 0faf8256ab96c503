"""Names of repositories and tags, and what a manifest is asked for by (distribution-spec, Pulling manifests)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NewType

from zot.oci.digest import Digest, parse_digest

Repository = NewType("Repository", str)
"""A repository's full name, such as `team/app`: made by `parse_repository` only."""

Tag = NewType("Tag", str)
"""A tag's name, made by `parse_tag`, or another name that an `index.json` gives, made by `parse_name`.

It has no colon, which is how it is told from a digest.
"""

Reference = Tag | Digest
"""What a manifest is asked for by."""

# Clients limit host and name together to 255 characters; the path on disk has its own limit of 255 a component.
REPOSITORY_LENGTH_LIMIT = 255
"""The longest name that a push creates."""
_COMPONENT_LENGTH_LIMIT = 255
_STORED_LENGTH_LIMIT = 1024
"""The longest name that is served if another program made it; paths on disk have a limit of 4096."""
_NAME_LENGTH_LIMIT = 1024

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

LAYOUT_NAMES = frozenset({"blobs", "index.json", "oci-layout"})
"""Names in an image layout: a component of that name may lie in the way of another repository's content."""
# Files that zot keeps at the root of a store.
_ROOT_NAMES = frozenset({"cache.db", "meta.db"})


class InvalidNameError(ValueError):
    """The text does not match the grammar of repository names."""


class InvalidTagError(ValueError):
    """The text does not match the grammar of tags."""


@lru_cache(maxsize=4096)  # requests name the same few again and again; what is none is not remembered
def parse_repository(text: str) -> Repository:
    """Return `text` as the name of a repository that may be stored; raise InvalidNameError if none can be."""
    if len(text) > _STORED_LENGTH_LIMIT:
        raise InvalidNameError(f"a repository name has at most {_STORED_LENGTH_LIMIT} characters")
    if not _REPOSITORY.fullmatch(text):
        raise InvalidNameError(f"{text!r} is not a repository name")
    if max(map(len, text.split("/"))) > _COMPONENT_LENGTH_LIMIT:
        raise InvalidNameError(f"a component of a repository name has at most {_COMPONENT_LENGTH_LIMIT} characters")
    return Repository(text)


def creation_refused(repository: Repository) -> str | None:
    """Return why no push creates a repository of this name, None if one may.

    One that another program made is served all the same, as far as its directory is in no other's way.
    """
    if len(repository) > REPOSITORY_LENGTH_LIMIT:
        return f"a repository name has at most {REPOSITORY_LENGTH_LIMIT} characters"
    components = repository.split("/")
    if not LAYOUT_NAMES.isdisjoint(components) or components[0] in _ROOT_NAMES:
        return f"{repository!r}: one of its components is the name of something else on disk"
    return None


def route_of(repository: Repository) -> str:
    """Return the route by which a sub-path may have the repository: "/" and its first component.

    A name of one component is never below a route: the empty text, which is none.
    """
    first, below, _ = repository.partition("/")
    return f"/{first}" if below else ""


def parse_tag(text: str) -> Tag:
    """Return `text` as a tag; raise InvalidTagError otherwise."""
    if not _TAG.fullmatch(text):
        raise InvalidTagError(f"{text[:200]!r} is not a tag")
    return Tag(text)


def parse_name(text: str) -> Tag:
    """Return a name that is no tag but that a manifest may be asked for by; raise InvalidTagError otherwise.

    Other programs write such names into `index.json`: `1.0+build5`, `feature/login`. Never one with a colon.
    """
    if not text or ":" in text or len(text) > _NAME_LENGTH_LIMIT or not text.isprintable():
        raise InvalidTagError(f"{text[:200]!r} is not a tag")
    return Tag(text)


def parse_reference(text: str) -> Reference:
    """Return `text` as a digest if it has a colon, else as a tag.

    Raises InvalidDigestError or InvalidTagError.
    """
    return parse_digest(text) if ":" in text else parse_tag(text)


def as_digest(reference: Reference) -> Digest | None:
    """Return the reference if it is a digest, else None."""
    return Digest(reference) if ":" in reference else None


def as_tag(reference: Reference) -> Tag | None:
    """Return the reference if it is a tag, else None."""
    return None if ":" in reference else Tag(reference)
