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
"""`algorithm:hex` of a supported algorithm, in lower case and of the right length. Made by `parse_digest` only."""

CANONICAL = "sha256"
HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

# The specification's grammar, which also matches unsupported algorithms: they get an error message of their own.
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX = re.compile(r"[0-9a-f]+")


class InvalidDigestError(ValueError):
    """A digest is malformed, or its algorithm is not supported."""


def parse_digest(text: str) -> Digest:
    """Parse a digest; raise InvalidDigestError if it is malformed or its algorithm is not supported."""
    algorithm, separator, encoded = text.partition(":")
    if not separator or not _GRAMMAR.fullmatch(text):
        raise InvalidDigestError(f"{text[:200]!r} is not a digest of the form algorithm:hex")
    length = HEX_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidDigestError(f"digest algorithm {algorithm[:32]!r} is not one of {', '.join(HEX_LENGTHS)}")
    if len(encoded) != length or not _HEX.fullmatch(encoded):
        raise InvalidDigestError(f"a {algorithm} digest has {length} lower-case hexadecimal digits")
    return Digest(text)


def algorithm_of(digest: Digest) -> str:
    """Return the name of the digest's algorithm."""
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    """Return the hexadecimal part, which is the blob's file name below `blobs/<algorithm>/`."""
    return digest.partition(":")[2]


def hasher(algorithm: str = CANONICAL) -> Hash:
    """Return a new hash object; raise InvalidDigestError if the algorithm is not supported."""
    if algorithm not in HEX_LENGTHS:
        raise InvalidDigestError(f"digest algorithm {algorithm[:32]!r} is not one of {', '.join(HEX_LENGTHS)}")
    return hashlib.new(algorithm, usedforsecurity=True)


def digest_of(content: bytes | bytearray | memoryview, algorithm: str = CANONICAL) -> Digest:
    """Compute the digest of `content`."""
    return finished(hashlib.new(algorithm, content), algorithm)


def has_digest(content: bytes, digest: Digest) -> bool:
    """Tell whether `digest` is the digest of `content`."""
    return digest_of(content, algorithm_of(digest)) == digest


def finished(state: Hash, algorithm: str) -> Digest:
    """Return the digest of the bytes hashed so far; `state` may be updated further."""
    return Digest(f"{algorithm}:{state.hexdigest()}")
