"""Names of repositories and tags, and references: the specification's grammar and nothing beyond it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zot.oci.digest import InvalidDigestError, digest_of
from zot.oci.names import (
    InvalidNameError,
    InvalidTagError,
    as_digest,
    as_tag,
    parse_reference,
    parse_repository,
    parse_tag,
)

ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
SEPARATORS = st.sampled_from([".", "_", "__"]) | st.integers(1, 4).map("-".__mul__)
WORDS = st.text(ALPHANUMERIC, min_size=1, max_size=6)


@st.composite
def components(draw: st.DrawFn) -> str:
    """One component of a repository's name, by the grammar."""
    text = draw(WORDS)
    for _ in range(draw(st.integers(0, 3))):
        text += draw(SEPARATORS) + draw(WORDS)
    return text


NAMES = st.lists(components().filter(lambda each: each != "blobs"), min_size=1, max_size=5).map("/".join)


def by_the_grammar(text: str) -> bool:
    """An own reading of the grammar: words of lower-case letters and digits, one separator between two of them."""
    for component in text.split("/"):
        rest = component
        while True:
            word = rest[: len(rest) - len(rest.lstrip(ALPHANUMERIC))]
            rest = rest[len(word) :]
            if not word:
                return False
            if not rest:
                break
            separator = rest[: len(rest) - len(rest.lstrip("._-"))]
            if separator not in {".", "_", "__"} and set(separator) != {"-"}:
                return False
            rest = rest[len(separator) :]
    return True


@given(NAMES)
def test_what_the_grammar_makes_is_a_name(name: str) -> None:
    """Every name that the grammar makes is accepted as it is, up to 255 characters."""
    if len(name) <= 255:
        assert parse_repository(name) == name
    else:
        with pytest.raises(InvalidNameError):
            parse_repository(name)


@given(st.text(max_size=40) | st.text("ab0._-/AZ", max_size=12))
@example("a\n")
@example("a/../b")
@example("a//b")
@example("a___b")
@example("a" * 256)
def test_only_what_the_grammar_makes_is_a_name(text: str) -> None:
    """Text is accepted just if an independent reading of the grammar accepts it."""
    try:
        name = parse_repository(text)
    except InvalidNameError:
        assert not by_the_grammar(text) or len(text) > 255 or is_taken(text.split("/"))
    else:
        assert name == text
        assert by_the_grammar(text)


def is_taken(components: list[str]) -> bool:
    """Tell whether the image layout, or zot at the root of a store, has a file of such a name."""
    return not {"blobs", "index.json", "oci-layout"}.isdisjoint(components) or components[0] in {"cache.db", "meta.db"}


@pytest.mark.parametrize(
    "name", ["blobs", "a/blobs", "blobs/a", "a/blobs/b", "a/index.json", "oci-layout", "cache.db", "meta.db/a"]
)
def test_no_component_is_the_name_of_something_else_on_disk(name: str) -> None:
    """A repository named like a part of the image layout would lie in the way of another one's: it is refused."""
    with pytest.raises(InvalidNameError, match="something else on disk"):
        parse_repository(name)


@pytest.mark.parametrize("name", ["blobs2", "a/cache.db", "library/tags", "manifests", "uploads"])
def test_words_of_paths_may_be_names(name: str) -> None:
    """What only looks like a part of the API's paths is a name like others."""
    assert parse_repository(name) == name


@given(st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True).filter(str.isascii))
def test_tags_by_the_grammar_are_tags(text: str) -> None:
    """Every tag that the grammar makes is accepted as it is, and is a reference."""
    assert parse_tag(text) == text
    assert as_tag(parse_reference(text)) == text
    assert as_digest(parse_reference(text)) is None


@pytest.mark.parametrize("text", ["", ".a", "-a", "a/b", "a:b", "a b", "ä", "a\n", "a" * 129, "a\x00", "%41", "a+b"])
def test_other_text_is_no_tag(text: str) -> None:
    """What starts with a mark, is too long, or has any other character is refused."""
    with pytest.raises(InvalidTagError):
        parse_tag(text)


@given(st.text(max_size=140))
def test_a_reference_is_a_digest_a_tag_or_refused(text: str) -> None:
    """A colon makes it a digest; either reading is strict."""
    try:
        reference = parse_reference(text)
    except InvalidDigestError:
        assert ":" in text
    except InvalidTagError:
        assert ":" not in text
    else:
        assert (as_digest(reference) is None) == (as_tag(reference) is not None)


def test_a_digest_is_a_reference() -> None:
    """A digest is told from a tag."""
    digest = digest_of(b"")
    assert as_digest(parse_reference(digest)) == digest
    assert as_tag(parse_reference(digest)) is None
