"""Globs match repository names as zot's matcher does, in linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.config.globs import ALTERNATIVES_LIMIT, LENGTH_LIMIT, compile_glob, literal_prefix
from zot.config.regexes import compile_regex

MATCHING = [
    ("", ""),
    ("*", "abc"),
    ("a*", "a"),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f"),
    ("a*b?c*x", "abxbbxdbxebxczzx"),
    ("ab[b-d]", "abc"),
    ("ab[^e-g]", "abc"),
    ("a[!a]b", "a☺b"),
    ("[a-ω]*", "λ"),
    (r"[\]a]", "]"),
    (r"[x\-]", "-"),
    ("[-x]", "-"),
    ("[a-b-d]", "-"),
    ("[z-a]", "z"),
    ("**", ""),
    ("**", "a/b/c"),
    ("a/**", "a"),
    ("a/**", "a/b/c"),
    ("a/**/", "a"),
    ("**/c", "c"),
    ("**/c", "a/b/c"),
    ("a/**/b", "a/b"),
    ("a/**/d", "a/b/c/d"),
    ("**/**", "a/b"),
    ("ab{c,d}", "abd"),
    ("ab{c,d,*}", "abcde"),
    ("a{,bc}", "a"),
    ("{a/{b,c},abc}", "a/c"),
    ("team-{a,b}/**", "team-b/x/y"),
    ("{a,**}/x", "p/q/x"),
    (r"a\*", "a*"),
    ("[{]", "{"),
    ("a,b", "a,b"),
]

NOT_MATCHING = [
    ("*", "a/b"),
    ("a?b", "a/b"),
    ("a*/b", "a/c/b"),
    ("ab[^b-d]", "abc"),
    (r"[\-x]", "a"),
    ("**/c", "abcd"),
    ("**/c", "a/abc"),
    ("abc**", "abc/b"),
    ("a/", "a"),
    ("a/**", "ab"),
    ("ab{c,d}", "abcd"),
    ("{a/{b,c},abc}", "a/b/c"),
    ("a", "xa"),
    ("a", "a\n"),
    (r"a/\**", "a/b/c"),
]

MALFORMED = ["\\", "[", "[^", "[]a]", "[^]", "[^bc", "a[", "{a", "a}", "{a,{b}", "ab{c,d}[", "a\\", "[a\\"]


@pytest.mark.parametrize(("pattern", "name"), MATCHING)
def test_matches(pattern: str, name: str) -> None:
    """A glob matches the names that zot's matcher matches."""
    assert compile_glob(pattern).matches(name)


@pytest.mark.parametrize(("pattern", "name"), MATCHING)
def test_matching_names_start_with_the_literal_prefix(pattern: str, name: str) -> None:
    """Every matching name starts with the prefix, so that a sorted index can find it."""
    assert name.startswith(literal_prefix(pattern))


def test_the_literal_prefix_ends_at_the_first_wildcard() -> None:
    """The prefix extends to the first wildcard, without a slash before it."""
    prefixes = {"a/b/**": "a/b", "a/b*": "a/b", "a/b": "a/b", "{a,b}/c": "", "a[b]": "a", "a?": "a", "a\\*": "a"}
    assert {pattern: literal_prefix(pattern) for pattern in prefixes} == prefixes


@pytest.mark.parametrize(("pattern", "name"), NOT_MATCHING)
def test_does_not_match(pattern: str, name: str) -> None:
    """A glob matches only whole names, and its stars stop at slashes."""
    assert not compile_glob(pattern).matches(name)


@pytest.mark.parametrize("pattern", MALFORMED)
def test_malformed_pattern_is_refused(pattern: str) -> None:
    """A malformed pattern is a ValueError that names it."""
    with pytest.raises(ValueError, match=r"a pattern|class|brace|backslash"):
        compile_glob(pattern)


@pytest.mark.parametrize("pattern", ["{a,b}" * 12, "a" * (LENGTH_LIMIT + 1), "{" * LENGTH_LIMIT])
def test_too_large_patterns_are_refused(pattern: str) -> None:
    """A pattern that is too long or has too many alternatives is a ValueError."""
    with pytest.raises(ValueError, match=r"pattern|alternatives|brace"):
        compile_glob(pattern)
    assert ALTERNATIVES_LIMIT < 2**12


def naive_match(pattern: str, name: str) -> bool:
    """Match by trying every possibility; the pattern has no braces, classes or escapes."""
    if pattern == "/**":
        return name == "" or name.startswith("/")
    if pattern == "":
        return name == ""
    if pattern[0] == "*":
        return any("/" not in name[:end] and naive_match(pattern[1:], name[end:]) for end in range(len(name) + 1))
    if name and (pattern[0] == name[0] or (pattern[0] == "?" and name[0] != "/")):
        return naive_match_at(pattern[1:], name[1:]) if pattern[0] == "/" else naive_match(pattern[1:], name[1:])
    return naive_match("/**", name) if pattern == "/**/" and not name else False


def naive_match_at(pattern: str, name: str) -> bool:
    """Match from the start of a component, where `**` may match components."""
    if pattern == "**":
        return True
    if pattern.startswith("**/"):
        starts = [0, *(position + 1 for position, character in enumerate(name) if character == "/")]
        return any(naive_match_at(pattern[3:], name[start:]) for start in starts)
    return naive_match(pattern, name)


def naive_alternatives(pattern: str) -> list[str]:
    """Expand the first pair of braces, which has no other inside."""
    if "{" not in pattern:
        return [pattern]
    before, _, rest = pattern.partition("{")
    inside, _, after = rest.partition("}")
    return [whole for choice in inside.split(",") for whole in naive_alternatives(before + choice + after)]


PIECES = st.sampled_from(["a", "b", "/", "*", "**", "/**", "**/", "?", "{a,b}", "{,a/}", "{**,b}"])
NAMES = st.text(alphabet="ab/", max_size=8)


@given(st.lists(PIECES, max_size=6).map("".join), NAMES)
def test_agrees_with_the_naive_matcher(pattern: str, name: str) -> None:
    """The translated expression and the exhaustive matcher accept the same names."""
    expected = any(naive_match_at(alternative, name) for alternative in naive_alternatives(pattern))
    assert compile_glob(pattern).matches(name) == expected


@given(st.text(max_size=30), NAMES)
def test_any_text_is_a_glob_or_a_value_error(pattern: str, name: str) -> None:
    """Compiling any pattern gives a glob or a ValueError."""
    try:
        glob = compile_glob(pattern)
    except ValueError:
        return
    glob.matches(name)


@given(st.text(alphabet=st.characters(exclude_characters="*?[]{}\\", exclude_categories=["Cs"]), max_size=20))
def test_a_literal_matches_itself_alone(name: str) -> None:
    """A pattern without special characters matches only its own text."""
    glob = compile_glob(name)
    assert glob.matches(name)
    assert not glob.matches(name + "x")


def test_malformed_expression_is_refused() -> None:
    """A malformed regular expression is a ValueError with the expression and the reason."""
    with pytest.raises(ValueError, match=r"'\(' is not a regular expression: missing \)"):
        compile_regex("(")


@given(st.text(max_size=30))
def test_any_text_is_a_regex_or_a_value_error(pattern: str) -> None:
    """Compiling any text gives an expression or a ValueError."""
    try:
        regex = compile_regex(pattern)
    except ValueError:
        return
    regex.search("text")
