"""JSON, YAML and TOML files are parsed strictly into plain values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zot.config.errors import ConfigurationError
from zot.config.parse import FILE_LIMIT_BYTES, lower_keys, parse_tree, read_tree

SAME = {"http": {"port": "5000", "compat": ["docker2s2"]}, "storage": {"gc": True, "maxRepos": 3}}
JSON = '{"http": {"port": "5000", "compat": ["docker2s2"]}, "storage": {"gc": true, "maxRepos": 3}}'
YAML = "http:\n  port: '5000'\n  compat: [docker2s2]\nstorage:\n  gc: true\n  maxRepos: 3\n"
TOML = '[http]\nport = "5000"\ncompat = ["docker2s2"]\n[storage]\ngc = true\nmaxRepos = 3\n'


@pytest.mark.parametrize(
    ("text", "extension"),
    [(JSON, "json"), (YAML, "yaml"), (YAML, "yml"), (TOML, "toml")] + [(text, "") for text in (JSON, YAML, TOML)],
)
def test_formats(text: str, extension: str) -> None:
    """Equivalent JSON, YAML and TOML give the same values, with and without a known extension."""
    assert parse_tree(text.encode(), extension, "file") == SAME


def test_unknown_extension_is_guessed(tmp_path: Path) -> None:
    """For an unknown extension, such as `.conf`, the formats are tried in turn."""
    path = tmp_path / "zot.conf"
    path.write_text(YAML, encoding="utf-8")
    assert read_tree(path) == SAME


def test_byte_order_mark_is_skipped() -> None:
    """A UTF-8 byte order mark is ignored."""
    assert parse_tree(b"\xef\xbb\xbf" + JSON.encode(), "json", "file") == SAME


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30", "12:30"),
        ("2024-01-02", "2024-01-02"),
        ("1_000", "1_000"),
        ("true", True),
        ("FALSE", False),
        ("12", 12),
        ("-3", -3),
        ("0x1f", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("~", None),
        ("", None),
        ("null", None),
        ("'12'", "12"),
        (".", "."),
        ("1.2.3", "1.2.3"),
    ],
)
def test_yaml_scalars_are_those_of_1_2(text: str, expected: object) -> None:
    """YAML scalars have the types of zot's reader: `no` and `12:30` are texts, not a bool and a number."""
    assert parse_tree(f"key: {text}\n".encode(), "yaml", "file") == {"key": expected}


def test_yaml_merge_keys() -> None:
    """YAML anchors and merge keys work."""
    text = "base: &base {gc: true}\nstorage: {<<: *base, dedupe: false}\n"
    assert parse_tree(text.encode(), "yaml", "file")["storage"] == {"gc": True, "dedupe": False}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)

REFUSED = [
    ("json", b"", "absence of any key:value pair"),
    ("json", b" \n", "absence of any key:value pair"),
    ("yaml", b"", "absence of any key:value pair"),
    ("toml", b"# nothing\n", "absence of any key:value pair"),
    ("json", b"{}", "absence of any key:value pair"),
    ("yaml", b"---\n", "absence of any key:value pair"),
    ("json", b"[1]", "is a list, not an object"),
    ("yaml", b"just text", "is a text, not an object"),
    ("json", b'{"a": 1, "a": 2}', "duplicate key 'a'"),
    ("json", b'{"b": {"a": 1, "a": 1}}', "duplicate key 'a'"),
    ("yaml", b"a: 1\na: 2\n", "duplicate key 'a'"),
    ("yaml", b"b: {a: 1, a: 1}\n", "duplicate key 'a'"),
    ("toml", b"a = 1\na = 2\n", "failed to read configuration"),
    ("json", b'{"a": NaN}', "NaN is not a JSON number"),
    ("json", b'{"a": 1e999}', "not finite"),
    ("toml", b"a = inf\n", "not finite"),
    ("toml", b"a = 2024-01-02\n", "write it as a text in quotes"),
    ("yaml", b"1: a\n", "not a text: write it in quotes"),
    ("yaml", b"[a]: b\n", "failed to read configuration|not a text"),
    ("yaml", b"a: !!python/object/apply:os.system [id]\n", "failed to read configuration"),
    ("yaml", b"a: !!binary aGk=\n", "write it as a text in quotes"),
    ("yaml", b"a: 1\n---\nb: 2\n", "failed to read configuration"),
    ("yaml", b"a: &a [*a]\n", "levels"),
    ("yaml", BOMB.encode(), "values or"),
    ("json", b"[" * 100_000, "levels deep|failed to read"),
    ("json", b'{"a":' * 100 + b"1" + b"}" * 100, "levels"),
    ("json", b'{"a": ' + b"9" * 5000 + b"}", "failed to read configuration"),
    ("json", b'{"a": "\\ud800"}', "an unpaired surrogate"),
    ("json", b'{"a": "\xff"}', "not UTF-8"),
    ("ini", b"a=1", "format .ini is not supported: use JSON, YAML or TOML"),
    ("", b"{", "tried all supported config types"),
]


@pytest.mark.parametrize(("extension", "content", "reason"), REFUSED)
def test_refused(extension: str, content: bytes, reason: str) -> None:
    """Invalid content is refused with zot's prefix and the reason."""
    with pytest.raises(ConfigurationError, match=f"^invalid server config: .*({reason})"):
        parse_tree(content, extension, "file")


@pytest.mark.parametrize(("extension", "content", "reason"), REFUSED)
def test_a_refusal_is_one_line_that_names_the_file_once(extension: str, content: bytes, reason: str) -> None:
    """An error is one line that begins with the file, even if the parser's message has several lines."""
    with pytest.raises(ConfigurationError, match=reason) as refused:
        parse_tree(content, extension, "zot.conf")
    line = refused.value.lines("zot.conf")
    assert line.startswith("zot.conf: ")
    assert line.count("zot.conf") == 1
    assert "\n" not in line


def test_missing_and_huge_files_are_refused(tmp_path: Path) -> None:
    """The error for a missing or too large file names it."""
    with pytest.raises(ConfigurationError, match=r"cannot read the file: No such file .*none.json"):
        read_tree(tmp_path / "none.json")
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * (FILE_LIMIT_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than 4 MiB"):
        read_tree(huge)


def test_lower_keys_refuses_two_spellings() -> None:
    """Keys match in any case, so that two spellings of a key are a duplicate."""
    assert lower_keys({"HTTP": [{"Port": 1}]}) == {"http": [{"port": 1}]}
    with pytest.raises(ConfigurationError, match="two spellings"):
        lower_keys({"http": {"port": 1, "Port": 2}})


@example(b"{" * 3000, "yaml")
@example(b"- " * 3000, "yaml")
@example(b"? " * 3000, "yaml")
@example(b"a=" + b"[" * 3000, "toml")
@given(
    st.binary(max_size=200) | st.text(alphabet='{}[]":,-?&*!|>%@ \n\tab01=#.', max_size=60).map(str.encode),
    st.sampled_from(["json", "yaml", "toml", ""]),
)
def test_any_bytes_are_a_tree_or_a_configuration_error(content: bytes, extension: str) -> None:
    """Parsing any bytes gives an object or a ConfigurationError."""
    try:
        tree = lower_keys(parse_tree(content, extension, "file"))
    except ConfigurationError:
        return
    assert isinstance(tree, dict)
