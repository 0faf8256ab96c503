"""`index.json`: bytes to entries and back."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layout.images import INDEX, MANIFEST, REF_NAME
from zot.layout import index_json
from zot.layout.index_entry import IndexEntry, carried, order, parse_ref_name
from zot.layout.index_json import IndexHead, IndexReader, InvalidLayoutError, decode, entry_of
from zot.layout.json_text import parsed
from zot.oci.digest import Digest

digests = st.integers(0, 2**256 - 1).map(lambda number: Digest(f"sha256:{number:064x}"))
tags = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=10)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
descriptors = st.fixed_dictionaries(
    {"mediaType": st.sampled_from([MANIFEST, INDEX]), "digest": digests, "size": st.integers(0, 2**40)},
    optional={
        "annotations": st.dictionaries(texts.filter(lambda key: key != REF_NAME), texts, max_size=2),
        "platform": st.fixed_dictionaries({"os": texts, "architecture": texts}),
        "data": texts,
        "foreign": jsons,
    },
)


async def pieces(content: bytes, size: int = 7) -> AsyncIterator[bytes]:
    """Give the content in small pieces."""
    for offset in range(0, len(content), size):
        yield content[offset : offset + size]


async def encode(head: IndexHead, entries: Iterable[IndexEntry]) -> bytes:
    """Return an encoded index."""
    return b"".join([piece async for piece in index_json.encode(head, index_json.iterate(entries))])


async def read(content: bytes) -> tuple[IndexHead, list[IndexEntry]]:
    """Return the entries of an index that is read piece by piece."""
    listing = await index_json.read(pieces(content))
    assert listing is not None
    return listing.head, [entry async for entry in listing.entries]


def plain(document: object) -> object:
    """Return the document without insignificant differences: the order of keys, empty annotations."""
    if isinstance(document, dict):
        return {key: plain(value) for key, value in document.items() if (key, value) != ("annotations", {})}
    return [plain(each) for each in document] if isinstance(document, list) else document


@given(
    st.dictionaries(tags, descriptors, max_size=4),
    st.lists(descriptors, max_size=3),
    st.dictionaries(texts, texts, max_size=2),
    jsons,
)
async def test_fields_of_other_programs_are_kept(
    tagged: dict[str, dict[str, object]],
    untagged: list[dict[str, object]],
    annotations: dict[str, str],
    foreign: object,
) -> None:
    """An index that is decoded and encoded is equal, unknown fields included; encoded twice, it has the same bytes."""
    listed = [
        {**descriptor, "annotations": {**descriptor.get("annotations", {}), REF_NAME: tag}}  # type: ignore[dict-item]
        for tag, descriptor in sorted(tagged.items())
    ] + sorted(untagged, key=lambda descriptor: str(descriptor["digest"]))
    document = {"schemaVersion": 2, "manifests": listed, "annotations": annotations, "foreign": foreign}
    content = json.dumps(document, indent=1).encode()
    index = decode(content)
    assert not index.unreadable
    again = await encode(index.head, index.entries)
    assert plain(json.loads(again)) == plain(document)
    assert await encode(index.head, index.entries) == again
    assert decode(again) == index
    assert await read(again) == (index.head, index.entries)
    assert await index_json.read(pieces(content)) is None
    assert index.entries == sorted(index.entries, key=order)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("latest", "latest"),
        ("1.0", "1.0"),
        ("docker.io/library/alpine:3.20", "3.20"),
        ("localhost:5000/x/y:v1", "v1"),
        ("x/y:v1@sha256:" + "0" * 64, "v1"),
        ("localhost:5000/x/y", None),
        ("a@b", None),
        ("x/y:v1@sha256:0", None),
        ("docker.io/library/alpine", None),
        ("x/y@sha256:" + "0" * 64, None),
        ("sha256:" + "0" * 64, None),
        ("", None),
        (":", None),
        ("-x", None),
        ("a" * 129, None),
        ("ünïcode", None),
    ],
)
def test_a_ref_name_stands_for_a_tag(text: str, tag: str | None) -> None:
    """A tag stands for itself, an image name for the tag in it, any other text for none."""
    assert parse_ref_name(text) == tag


@pytest.mark.parametrize(
    "descriptor",
    ["text", None, 5, [], {}, {"mediaType": MANIFEST, "size": 1}, {"digest": 5}]
    + [
        {"mediaType": MANIFEST, "digest": digest, "size": 1}
        for digest in ("", "sha256:0", f"blake3:{0:064}", "a" * 400)
    ],
)
def test_a_descriptor_without_a_digest_is_kept_as_it_is(descriptor: object) -> None:
    """An unreadable descriptor does not affect the others, and is returned as it is written."""
    good = {"mediaType": MANIFEST, "digest": f"sha256:{0:064}", "size": 1}
    index = decode(json.dumps({"schemaVersion": 2, "manifests": [good, descriptor]}).encode())
    assert [entry.digest for entry in index.entries] == [good["digest"]]
    assert [json.loads(each) for each in index.unreadable] == [descriptor]


@pytest.mark.parametrize(
    "others",
    [
        b'"size":"1"',
        b'"size":-1',
        b'"mediaType":null',
        b'"annotations":{"a":null,"%b":"x"}' % REF_NAME.encode(),
        b'"annotations":{"a":"Bj\xf6rn"}',
        b'"annotations":{"a":"\\ud83d"}',
        b'"annotations":{"\\ud83d":"a"}',
        b'"annotations":["a"]',
        b'"annotations":{"%b":7}' % REF_NAME.encode(),
        b'"annotations":{"%b":"\\ud83d"}' % REF_NAME.encode(),
        b'"digest":"sha256:' + b"0" * 64 + b'"',
    ],
)
async def test_a_descriptor_with_a_digest_is_read_whatever_else_is_wrong(others: bytes) -> None:
    """Reading an entry needs only the digest; carried along, it has the bytes that were written."""
    descriptor = b'{"digest":"sha256:' + b"0" * 64 + b'", ' + others + b"}"
    (entry,) = decode(b'{"manifests":[' + descriptor + b"]}").entries
    assert entry.digest == f"sha256:{0:064}"
    line = carried(entry, None).line
    assert parsed(line) == parsed(descriptor) or entry.line == b""
    content = b"".join([piece async for piece in index_json.encode(IndexHead(), lines(line))])
    again = await index_json.read(pieces(content))
    assert again is not None
    assert [carried(each, None) async for each in again.entries] == [carried(entry, None)]


async def lines(*descriptors: bytes) -> AsyncIterator[IndexEntry | bytes]:
    """Give descriptors as they are written."""
    for each in descriptors:
        yield each


@given(st.lists(jsons | descriptors, max_size=5), st.integers(1, 64))
def test_no_descriptor_is_lost(listed: list[object], size: int) -> None:
    """Each element is returned as it is written, whatever the JSON and wherever the pieces are cut."""
    content = json.dumps({"manifests": listed, "annotations": {"a": "b"}, "x": [1]}).encode()
    reader = IndexReader()
    found = [
        each for start in range(0, len(content), size) for each in list(reader.feed(content[start : start + size]))
    ]
    assert [json.loads(each) for each in found] == listed
    assert {key: bytes(value) for key, value in reader.finish().others.items()} == {"x": b"[1]"}
    entries = [entry_of(each) for each in found]
    index = decode(content)
    assert len(index.entries) + len(index.unreadable) == len(listed)
    assert sorted(filter(None, entries), key=order) == index.entries


def test_an_empty_list_may_be_null() -> None:
    """Go programs write a list without elements as null."""
    assert not decode(b'{"schemaVersion":2,"manifests":null}').entries


@given(st.binary(max_size=50) | jsons.map(lambda document: json.dumps(document).encode()))
def test_anything_else_is_broken(content: bytes) -> None:
    """Any bytes are an index, or raise InvalidLayoutError and no other exception."""
    try:
        decode(content)
    except InvalidLayoutError:
        return
    assert json.loads(content)["manifests"] in (None, [])


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"manifests":' + b"[" * 100_000])
def test_nesting_has_a_bound(content: bytes) -> None:
    """JSON nested beyond reason is broken like any other."""
    with pytest.raises(InvalidLayoutError):
        decode(content)


async def test_half_a_file_is_broken() -> None:
    """Cut anywhere, an index is no index: another program may be in the middle of writing it."""
    entries = [IndexEntry(Digest(f"sha256:{number:064}"), MANIFEST, number) for number in range(3)]
    content = await encode(IndexHead().showing(5), entries)
    for end in range(len(content)):
        with pytest.raises(InvalidLayoutError):
            decode(content[:end])
        if end > content.index(b"\n"):
            with pytest.raises(InvalidLayoutError):
                await read(content[:end])
    assert decode(content).head.shown_ns == 5


async def test_a_large_index_costs_no_more_memory_than_a_small_one() -> None:
    """Hazard C7: an index is read and written again a piece at a time, whatever its size."""

    async def many() -> AsyncIterator[IndexEntry]:
        for number in range(10_000):
            yield IndexEntry(Digest(f"sha256:{number:064}"), MANIFEST, 1000, parse_ref_name(f"tag-{number:06}"))

    tracemalloc.start()
    try:
        listing = await index_json.read(index_json.encode(IndexHead(), many()))
        assert listing is not None
        size = sum([len(piece) async for piece in index_json.encode(listing.head, listing.entries)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 2_000_000
    assert peak < 512 * 1024
