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
    creation_refused,
    parse_name,
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


NAMES = st.lists(components(), min_size=1, max_size=5).map("/".join)


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
    """Every name that the grammar makes is accepted as it is; a push creates it up to 255 characters."""
    repository = parse_repository(name)
    assert repository == name
    assert (creation_refused(repository) is None) == (len(name) <= 255 and not is_taken(name.split("/")))


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
        assert not by_the_grammar(text) or max(map(len, text.split("/"))) > 255
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
    """A repository named like a part of the image layout may lie in the way of another one's: no push creates it."""
    assert "something else on disk" in str(creation_refused(parse_repository(name)))


def test_longer_names_are_served_and_not_created() -> None:
    """What another program stored may have a longer name than a push creates, up to what a path can hold."""
    name = parse_repository("/".join(["a" * 255] * 4))
    assert creation_refused(name) == "a repository name has at most 255 characters"
    for text in (f"{name}/a", "a" * 256):
        with pytest.raises(InvalidNameError, match="at most"):
            parse_repository(text)


@pytest.mark.parametrize("text", ["1.0+build5", "feature/login", "-rc1", ".hidden", "a@b", "foo~1", "t" * 129, "ü"])
def test_names_that_are_no_tags_can_be_asked_for(text: str) -> None:
    """A name that another program gave is a reference for reading, as far as it cannot be taken for a digest."""
    assert as_tag(parse_name(text)) == text


@pytest.mark.parametrize("text", ["", "web:latest", "localhost:5000/alpine", "a\n", "a\x00", "\ud83d", "a" * 1025])
def test_other_names_cannot_be_asked_for(text: str) -> None:
    """What has a colon, cannot be printed, or is too long is no reference."""
    with pytest.raises(InvalidTagError):
        parse_name(text)


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
