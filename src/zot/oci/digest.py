"""Content digests (image-spec descriptor.md, section Digests)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from hashlib import _Hash

    Hash = _Hash
else:
    Hash = object

Digest = NewType("Digest", str)
"""`algorithm:hex` of a supported algorithm, lower case and of the right length: made by `parse_digest` only."""

CANONICAL = "sha256"
HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

# The grammar of the specification; wider than what is supported, so that an unknown algorithm is told from nonsense.
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX = re.compile(r"[0-9a-f]+")


class InvalidDigestError(ValueError):
    """The text is no digest, or one of an algorithm that is not supported."""


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest; raise InvalidDigestError if it is malformed or its algorithm is not supported."""
    algorithm, separator, encoded = text.partition(":")
    if not separator or not _GRAMMAR.fullmatch(text):
        raise InvalidDigestError(f"{text[:200]!r} is not of the form algorithm:hex")
    length = HEX_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidDigestError(f"digest algorithm {algorithm[:32]!r} is not one of {', '.join(HEX_LENGTHS)}")
    if len(encoded) != length or not _HEX.fullmatch(encoded):
        raise InvalidDigestError(f"a {algorithm} digest has {length} lower-case hexadecimal digits")
    return Digest(text)


def algorithm_of(digest: Digest) -> str:
    """Return the algorithm's name: the part before the colon."""
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    """Return the encoded part: the file name below `blobs/<algorithm>/`."""
    return digest.partition(":")[2]


def hasher(algorithm: str = CANONICAL) -> Hash:
    """Return a fresh hash object of a supported algorithm."""
    if algorithm not in HEX_LENGTHS:
        raise InvalidDigestError(f"digest algorithm {algorithm[:32]!r} is not one of {', '.join(HEX_LENGTHS)}")
    return hashlib.new(algorithm, usedforsecurity=True)


def digest_of(content: bytes | bytearray | memoryview, algorithm: str = CANONICAL) -> Digest:
    """Return the digest of the whole content."""
    return finished(hashlib.new(algorithm, content), algorithm)


def has_digest(content: bytes, digest: Digest) -> bool:
    """Tell whether the content is the one that the digest names."""
    return digest_of(content, algorithm_of(digest)) == digest


def finished(state: Hash, algorithm: str) -> Digest:
    """Return the digest of all that `state` has seen so far; the state may go on afterwards."""
    return Digest(f"{algorithm}:{state.hexdigest()}")
