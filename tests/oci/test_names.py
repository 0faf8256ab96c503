"""Names of repositories, tags and references follow the specification's grammar exactly."""

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
    version_key,
)

ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
SEPARATORS = st.sampled_from([".", "_", "__"]) | st.integers(1, 4).map("-".__mul__)
WORDS = st.text(ALPHANUMERIC, min_size=1, max_size=6)


@st.composite
def components(draw: st.DrawFn) -> str:
    """Draw one component of a repository's name, by the grammar."""
    text = draw(WORDS)
    for _ in range(draw(st.integers(0, 3))):
        text += draw(SEPARATORS) + draw(WORDS)
    return text


NAMES = st.lists(components(), min_size=1, max_size=5).map("/".join)


def matches_grammar(text: str) -> bool:
    """Match the grammar without regular expressions: words of lower-case letters and digits, single separators."""
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
def test_names_by_the_grammar_are_accepted(name: str) -> None:
    """Every name by the grammar is accepted unchanged; a push may create it up to 255 characters."""
    repository = parse_repository(name)
    assert repository == name
    assert (creation_refused(repository) is None) == (len(name) <= 255 and not is_reserved(name.split("/")))


@given(st.text(max_size=40) | st.text("ab0._-/AZ", max_size=12))
@example("a\n")
@example("a/../b")
@example("a//b")
@example("a___b")
@example("a" * 256)
def test_only_names_by_the_grammar_are_accepted(text: str) -> None:
    """Text is accepted exactly if an independent matcher of the grammar accepts it."""
    try:
        name = parse_repository(text)
    except InvalidNameError:
        assert not matches_grammar(text) or max(map(len, text.split("/"))) > 255
    else:
        assert name == text
        assert matches_grammar(text)


def is_reserved(components: list[str]) -> bool:
    """Tell whether the image layout, or zot at the root of a store, uses one of the names."""
    return not {"blobs", "index.json", "oci-layout"}.isdisjoint(components) or components[0] in {"cache.db", "meta.db"}


@pytest.mark.parametrize(
    "name", ["blobs", "a/blobs", "blobs/a", "a/blobs/b", "a/index.json", "oci-layout", "cache.db", "meta.db/a"]
)
def test_reserved_file_names_are_not_created(name: str) -> None:
    """A push may not create a repository whose directory could collide with a file of a layout or of the store."""
    assert "reserved file name" in str(creation_refused(parse_repository(name)))


def test_longer_names_are_served_but_not_created() -> None:
    """Repositories of other programs may have longer names than a push may create, up to the limits of paths."""
    name = parse_repository("/".join(["a" * 255] * 4))
    assert creation_refused(name) == "a repository name has at most 255 characters"
    for text in (f"{name}/a", "a" * 256):
        with pytest.raises(InvalidNameError, match="at most"):
            parse_repository(text)


@pytest.mark.parametrize("text", ["1.0+build5", "feature/login", "-rc1", ".hidden", "a@b", "foo~1", "t" * 129, "ü"])
def test_names_that_are_not_tags_can_be_pulled(text: str) -> None:
    """A name from another program's index.json is a reference for pulls, unless it looks like a digest."""
    assert as_tag(parse_name(text)) == text


@pytest.mark.parametrize("text", ["", "web:latest", "localhost:5000/alpine", "a\n", "a\x00", "\ud83d", "a" * 1025])
def test_unusable_names_are_refused(text: str) -> None:
    """A name with a colon or an unprintable character, or a too long one, is an InvalidTagError."""
    with pytest.raises(InvalidTagError):
        parse_name(text)


@pytest.mark.parametrize("name", ["blobs2", "a/cache.db", "library/tags", "manifests", "uploads"])
def test_words_of_paths_may_be_names(name: str) -> None:
    """Words of the API's paths are valid repository names."""
    assert parse_repository(name) == name


@given(st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True).filter(str.isascii))
def test_tags_by_the_grammar_are_tags(text: str) -> None:
    """Every tag by the grammar is accepted unchanged, and is a reference."""
    assert parse_tag(text) == text
    assert as_tag(parse_reference(text)) == text
    assert as_digest(parse_reference(text)) is None


@pytest.mark.parametrize("text", ["", ".a", "-a", "a/b", "a:b", "a b", "ä", "a\n", "a" * 129, "a\x00", "%41", "a+b"])
def test_other_text_is_not_a_tag(text: str) -> None:
    """A tag with a leading punctuation mark, a forbidden character, or more than 128 characters is refused."""
    with pytest.raises(InvalidTagError):
        parse_tag(text)


@given(st.text(max_size=140))
def test_a_reference_is_a_digest_a_tag_or_an_error(text: str) -> None:
    """Text with a colon is parsed as a digest, other text as a tag, both strictly."""
    try:
        reference = parse_reference(text)
    except InvalidDigestError:
        assert ":" in text
    except InvalidTagError:
        assert ":" not in text
    else:
        assert (as_digest(reference) is None) == (as_tag(reference) is not None)


def test_a_digest_is_a_reference() -> None:
    """A digest is recognized as a digest and not as a tag."""
    digest = digest_of(b"")
    assert as_digest(parse_reference(digest)) == digest
    assert as_tag(parse_reference(digest)) is None


VERSIONS = st.lists(st.integers(0, 10**30), min_size=1, max_size=4)


@given(VERSIONS, VERSIONS, st.sampled_from(["v", "", "release-"]))
@example([1, 2], [1, 10], "v")
def test_keys_of_tags_sort_as_versions(one: list[int], other: list[int], before: str) -> None:
    """The keys of two versions compare as their numbers do, however many digits these have."""
    keys = [version_key(before + ".".join(map(str, numbers))) for numbers in (one, other)]
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (one < other, one == other)


def test_keys_of_tags_without_numbers_are_the_tags() -> None:
    """What has no number is compared by its characters, and leading zeros count for nothing."""
    assert version_key("latest-rc.x_Y") == "latest-rc.x_Y"
    assert version_key("2026.08") == version_key("2026.8")
