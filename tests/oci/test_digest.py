"""Digests are parsed strictly and computed from content."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zot.oci.digest import (
    HEX_LENGTHS,
    InvalidDigestError,
    algorithm_of,
    digest_of,
    finished,
    hasher,
    hex_of,
    parse_digest,
)

ALGORITHMS = st.sampled_from(sorted(HEX_LENGTHS))
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.binary(max_size=200), ALGORITHMS)
def test_a_digest_is_the_hash_of_the_content(content: bytes, algorithm: str) -> None:
    """A computed digest equals hashlib's, parses to itself, and splits into its two parts."""
    digest = digest_of(content, algorithm)
    assert digest == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert parse_digest(digest) == digest
    assert (algorithm_of(digest), hex_of(digest)) == tuple(digest.split(":"))


@given(st.lists(st.binary(max_size=50)), ALGORITHMS)
def test_chunks_have_the_digest_of_the_whole(chunks: list[bytes], algorithm: str) -> None:
    """After each chunk the digest is that of all bytes so far; reading it does not change the state."""
    state = hasher(algorithm)
    for number, chunk in enumerate(chunks, 1):
        state.update(chunk)
        assert finished(state, algorithm) == digest_of(b"".join(chunks[:number]), algorithm)


@given(st.text(max_size=200) | st.from_regex(r"(sha256|sha512|sha1|md5)[:+._-]?[0-9a-fA-Fg]{0,140}", fullmatch=True))
@example(EMPTY + "\n")
@example("sha256:" + "\N{ARABIC-INDIC DIGIT ZERO}" * 64)
@example(EMPTY.upper())
def test_any_text_is_a_digest_or_an_error(text: str) -> None:
    """Only a supported algorithm with exactly its number of lower-case hexadecimal digits is accepted."""
    try:
        digest = parse_digest(text)
    except InvalidDigestError:
        return
    algorithm, _, encoded = digest.partition(":")
    assert digest == text
    assert len(encoded) == HEX_LENGTHS[algorithm] == hashlib.new(algorithm).digest_size * 2
    assert set(encoded) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        EMPTY[:-1],
        EMPTY + "0",
        EMPTY.replace("e3b0", "E3B0"),
        EMPTY.replace("sha256", "SHA256"),
        EMPTY.replace("sha256", "sha512"),
        EMPTY.replace("sha256", "sha1"),
        EMPTY.replace("sha256:", "sha256:../"),
        " " + EMPTY,
        EMPTY + "\x00",
    ],
)
def test_malformed_digests_are_refused(text: str) -> None:
    """A wrong length, letter case, algorithm or character is an InvalidDigestError."""
    with pytest.raises(InvalidDigestError):
        parse_digest(text)


def test_an_unknown_algorithm_is_named() -> None:
    """The error for an unsupported algorithm lists the supported ones."""
    with pytest.raises(InvalidDigestError, match=r"'blake3' is not one of sha256, sha384, sha512"):
        parse_digest("blake3:" + "0" * 64)
    with pytest.raises(InvalidDigestError, match="md5"):
        hasher("md5")
