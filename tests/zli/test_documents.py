"""Documents, beyond what the transcripts show."""

import json

import pytest
import yaml

from zot.zli.documents import json_line, yaml_document
from zot.zli.records import CveRecord, ImageRecord, Time

ODD = [
    *(
        "",
        " ",
        "~",
        "null",
        "true",
        "yes",
        "y",
        "12",
        "1.5",
        "1e3",
        "0x1f",
        "0o17",
        "1_000",
        ".5",
        "1:20",
        "2026-01-01",
    ),
    *(
        "- a",
        "a: b",
        "a #b",
        "#a",
        "@x",
        "*a",
        "&a",
        "!a",
        "%a",
        "{a}",
        "[a]",
        "'q'",
        '"d"',
        "a'b",
        "=",
        "<<",
        "?",
        "|",
    ),
    *("a\nb", "a\n", "a\n\nb\n\n", " a\nb", "\n", "a \nb", "tab\tx", "\x07", "ü", "\u2028", "😀", "<&>", "sha256:1"),
]


@pytest.mark.parametrize("text", ODD)
def test_any_text_is_read_back(text: str) -> None:
    """From JSON and YAML, at any depth."""
    value = {"name": {"list": [{"text": text, "after": [text]}]}}
    assert json.loads(json_line(value)) == value
    assert yaml.safe_load(yaml_document(value)) == value
    assert not set(json_line(value)) & set("<>&\u2028")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("12", '"12"'),
        ("1e3", '"1e3"'),
        ("0o17", '"0o17"'),
        ("y", '"y"'),
        ("", '""'),
        ("1.2.13", "1.2.13"),
        ("a: b", "'a: b'"),
        ("two\nlines", "|-\n    two\n    lines"),
    ],
)
def test_texts_are_quoted_as_go_quotes_them(text: str, written: str) -> None:
    """What would be something else doubly, what would not be plain singly, lines as a block."""
    assert yaml_document({"text": text}) == f"---\ntext: {written}\n"


def test_nothing_is_null_in_json_and_empty_in_yaml() -> None:
    """As Go writes lists that are not there; what the server did not say has its zero."""
    cve = CveRecord("CVE-1", "LOW")
    assert json_line(cve) == '{"Id":"CVE-1","Severity":"LOW","Title":"","Description":"","PackageList":null}\n'
    assert yaml_document(cve) == ('---\nid: CVE-1\nseverity: LOW\ntitle: ""\ndescription: ""\npackagelist: []\n')


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("2026-11-28T08:32:53.223314177Z", "2026-11-28T08:32:53.223314177Z"),
        ("2026-11-28T08:32:53.220000000Z", "2026-11-28T08:32:53.22Z"),
        ("2026-11-28T08:32:53.000Z", "2026-11-28T08:32:53Z"),
        ("2026-11-28T08:32:53.500+02:00", "2026-11-28T08:32:53.5+02:00"),
    ],
)
def test_times_have_no_zeros_at_their_end(said: str, written: str) -> None:
    """As Go prints them, and YAML does not quote them."""
    image = ImageRecord(last_updated=Time(said))
    assert json.loads(json_line(image))["lastUpdated"] == written
    assert f"\nlastupdated: {written}\n" in yaml_document(image)
