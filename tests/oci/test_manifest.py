"""Manifests and indexes: what is one, and what a registry has to know of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.oci import media_types
from zot.oci.digest import digest_of
from zot.oci.manifest import CONTAINERS_LIMIT, InvalidManifestError, parse_manifest

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def descriptor(name: str, media_type: str = LAYER, **others: Any) -> dict[str, Any]:
    """A descriptor of content that is its name."""
    return {"mediaType": media_type, "digest": digest_of(name.encode()), "size": len(name), **others}


def image(**others: Any) -> dict[str, Any]:
    """An image manifest."""
    config = descriptor("config", media_types.IMAGE_CONFIG)
    return {"schemaVersion": 2, "config": config, "layers": [descriptor("layer")], **others}


def index(*children: dict[str, Any], **others: Any) -> dict[str, Any]:
    """An index."""
    return {"schemaVersion": 2, "manifests": list(children), **others}


def parse(document: object, media_type: str | None = media_types.IMAGE_MANIFEST) -> Any:
    """Parse a document as it would be sent."""
    return parse_manifest(json.dumps(document).encode(), media_type)


def test_an_image_has_blobs_and_no_children() -> None:
    """Config and layers must be there; what may lie elsewhere is kept apart."""
    layers = [descriptor("layer"), descriptor("foreign", FOREIGN)]
    found = parse(image(layers=layers, annotations={"a": "b"}))
    assert [each.digest for each in found.blobs] == [digest_of(b"config"), digest_of(b"layer")]
    assert [each.digest for each in found.elsewhere] == [digest_of(b"foreign")]
    assert (found.children, found.subject, found.annotations) == ((), None, {"a": "b"})


def test_an_index_has_children_and_no_blobs() -> None:
    """What an index lists are manifests."""
    child = descriptor("child", media_types.IMAGE_MANIFEST, platform={"os": "linux"})
    found = parse(index(child), media_types.IMAGE_INDEX)
    assert [each.digest for each in found.children] == [digest_of(b"child")]
    assert found.blobs == ()


@pytest.mark.parametrize("media_type", sorted(media_types.MANIFESTS))
def test_a_list_that_is_null_is_empty(media_type: str) -> None:
    """Go programs write an empty list as null, and a list that is none of the document's kind as null, too."""
    if media_type in media_types.INDEXES:
        found = parse({"schemaVersion": 2, "manifests": None, "layers": None}, media_type)
        assert found.children == ()
    else:
        found = parse(image(layers=None, manifests=None), media_type)
        assert [each.digest for each in found.blobs] == [digest_of(b"config")]


@pytest.mark.parametrize("media_type", sorted(media_types.MANIFESTS))
def test_docker_types_are_read_alike(media_type: str) -> None:
    """Docker's schema 2 has the same form; the type of the request holds if the document names none."""
    document = index(descriptor("child")) if media_type in media_types.INDEXES else image()
    assert parse(document, media_type).media_type == media_type
    assert parse({**document, "mediaType": media_type}, None).media_type == media_type


def test_the_artifact_type_follows_the_referrers_rule() -> None:
    """An image's own artifact type, or else its config's type; an index's own, or none."""
    assert parse(image()).artifact_type == media_types.IMAGE_CONFIG
    assert parse(image(artifactType="application/x")).artifact_type == "application/x"
    assert parse(image(artifactType="")).artifact_type == media_types.IMAGE_CONFIG
    assert parse(index(), media_types.IMAGE_INDEX).artifact_type is None
    assert parse(index(artifactType="application/x"), media_types.IMAGE_INDEX).artifact_type == "application/x"


def test_the_subject_need_not_be_there() -> None:
    """A manifest may refer to any digest."""
    subject = descriptor("subject", media_types.IMAGE_MANIFEST)
    assert parse(image(subject=subject)).subject == digest_of(b"subject")


def test_unknown_fields_are_allowed() -> None:
    """What the specification adds later, anywhere, is no error (image-spec, extensibility)."""
    found = parse(image(future=[{"deep": [1, None, 0.5]}], layers=[descriptor("layer", future=True)]))
    assert len(found.blobs) == 2


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "object"),
        (None, "object"),
        ({}, "schemaVersion"),
        (image(schemaVersion=1), "schemaVersion is 1"),
        (image(schemaVersion="2"), "schemaVersion"),
        (image(mediaType=media_types.IMAGE_INDEX), "was sent as"),
        (image(config=None), "needs a 'config'"),
        ({key: value for key, value in image().items() if key != "layers"}, "needs 'layers'"),
        (image(layers={}), "layers"),
        (image(manifests=[]), "has no 'manifests'"),
        (image(config={}), "config"),
        (image(layers=[descriptor("layer", digest="sha256:short")]), "descriptor"),
        (image(layers=[descriptor("layer", digest="sha256:" + "A" * 64)]), "descriptor"),
        (image(layers=[descriptor("layer", size=-1)]), "size"),
        (image(layers=[descriptor("layer", size=1.5)]), "size"),
        (image(layers=[descriptor("layer", size=2**70)]), "size"),
        (image(layers=[descriptor("layer", "")]), "mediaType that is none"),
        (image(layers=[descriptor("layer", "text/html\r\nSet-Cookie: a=b")]), "mediaType that is none"),
        (image(layers=[descriptor("layer", "text/\0")]), "mediaType that is none"),
        (image(layers=[descriptor("layer", "text/\u00e9")]), "mediaType that is none"),
        (image(layers=[descriptor("layer", "text/" + "x" * 251)]), "mediaType that is none"),
        (image(annotations={"a": 1}), "annotations"),
        (image(subject=descriptor("subject", digest="../etc")), "descriptor"),
    ],
)
def test_what_breaks_the_schema_is_refused_with_the_reason(document: object, why: str) -> None:
    """Each way to break an image's schema is told by what is wrong."""
    with pytest.raises(InvalidManifestError, match=why):
        parse(document)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (index(config=descriptor("config")), "neither"),
        (image(), "neither"),
        ({"schemaVersion": 2}, "needs 'manifests'"),
        (index({"mediaType": LAYER}), "manifests"),
    ],
)
def test_what_is_no_index_is_refused_with_the_reason(document: object, why: str) -> None:
    """An image sent as an index is not taken for an empty one."""
    with pytest.raises(InvalidManifestError, match=why):
        parse(document, media_types.IMAGE_INDEX)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"schemaVersion":2} {}', "trailing"),
        (b'\xef\xbb\xbf{"schemaVersion":2}', "malformed"),
        (b'{"schemaVersion":2,"x":NaN}', "malformed"),
        (b'{"schemaVersion":2,"artifactType":"\\ud800"}', "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"schemaVersion":2,"artifactType":"\xff"}', "not UTF-8"),
        (b'{"schemaVersion":2,"schemaVersion":2}', "twice"),
        (b'{"schemaVersion":2,"annotations":{"a":"b","a":"c"}}', "twice"),
        (b"[" * 100_000, "got `array`"),
        (b'{"schemaVersion":2,"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
        (b'{"schemaVersion":2,"x":[' + b"{}," * CONTAINERS_LIMIT + b"1]}", "more than 100000 lists and objects"),
        (b'{"schemaVersion":' + b"9" * 10_000 + b"}", "."),
    ],
)
def test_what_is_no_plain_json_is_refused(content: bytes, why: str) -> None:
    """Broken, deep, doubled and badly encoded JSON is refused by the one error, whatever the parser thinks of it."""
    with pytest.raises(InvalidManifestError, match=why):
        parse_manifest(content, media_types.IMAGE_MANIFEST)


def test_a_media_type_is_needed() -> None:
    """Content of no type, or of a type that is not a manifest's, is no manifest."""
    with pytest.raises(InvalidManifestError, match="neither Content-Type nor mediaType"):
        parse(image(), None)
    with pytest.raises(InvalidManifestError, match="is not a media type of manifests"):
        parse(image(), LAYER)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=10,
)
FIELDS = ("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations")


@given(
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(FIELDS), JSON).map(lambda some: json.dumps(image() | some).encode()),
    st.sampled_from([None, *sorted(media_types.MANIFESTS)]),
)
def test_any_bytes_are_a_manifest_or_refused(content: bytes, media_type: str | None) -> None:
    """Whatever comes, it is parsed or refused by the one error."""
    try:
        found = parse_manifest(content, media_type)
    except InvalidManifestError:
        return
    assert found.media_type in media_types.MANIFESTS
    assert not (found.children and found.blobs)
