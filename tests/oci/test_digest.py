"""Digests: what is one, and that it is the content's."""

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
def test_a_digest_is_what_the_algorithm_says(content: bytes, algorithm: str) -> None:
    """The digest of content is the algorithm's own, parses to itself, and falls into its two parts."""
    digest = digest_of(content, algorithm)
    assert digest == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert parse_digest(digest) == digest
    assert (algorithm_of(digest), hex_of(digest)) == tuple(digest.split(":"))


@given(st.lists(st.binary(max_size=50)), ALGORITHMS)
def test_pieces_have_the_digest_of_the_whole(pieces: list[bytes], algorithm: str) -> None:
    """Content that comes in pieces has, at each of them, the digest of all so far; asking does not end the state."""
    state = hasher(algorithm)
    for number, piece in enumerate(pieces, 1):
        state.update(piece)
        assert finished(state, algorithm) == digest_of(b"".join(pieces[:number]), algorithm)


@given(st.text(max_size=200) | st.from_regex(r"(sha256|sha512|sha1|md5)[:+._-]?[0-9a-fA-Fg]{0,140}", fullmatch=True))
@example(EMPTY + "\n")
@example("sha256:" + "\N{ARABIC-INDIC DIGIT ZERO}" * 64)
@example(EMPTY.upper())
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    """What is accepted is an algorithm that is supported and as many lower-case digits as it has, and nothing else."""
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
    """No length, letter case, algorithm or character but the right ones passes."""
    with pytest.raises(InvalidDigestError):
        parse_digest(text)


def test_an_unknown_algorithm_is_named() -> None:
    """Who sends a well-formed digest of another algorithm is told which ones there are."""
    with pytest.raises(InvalidDigestError, match=r"'blake3' is not one of sha256, sha384, sha512"):
        parse_digest("blake3:" + "0" * 64)
    with pytest.raises(InvalidDigestError, match="md5"):
        hasher("md5")
