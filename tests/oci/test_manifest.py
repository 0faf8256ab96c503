"""Manifests and indexes are parsed strictly, by their media type."""

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
    """Return a descriptor of the content `name`."""
    return {"mediaType": media_type, "digest": digest_of(name.encode()), "size": len(name), **others}


def image(**others: Any) -> dict[str, Any]:
    """Return an image manifest."""
    config = descriptor("config", media_types.IMAGE_CONFIG)
    return {"schemaVersion": 2, "config": config, "layers": [descriptor("layer")], **others}


def index(*children: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return an index."""
    return {"schemaVersion": 2, "manifests": list(children), **others}


def parse(document: object, media_type: str | None = media_types.IMAGE_MANIFEST) -> Any:
    """Parse a document as a client would send it."""
    return parse_manifest(json.dumps(document).encode(), media_type)


def test_an_image_has_blobs_and_no_children() -> None:
    """Config and layers are required blobs; non-distributable layers are listed separately."""
    layers = [descriptor("layer"), descriptor("foreign", FOREIGN)]
    found = parse(image(layers=layers, annotations={"a": "b"}))
    assert [each.digest for each in found.blobs] == [digest_of(b"config"), digest_of(b"layer")]
    assert [each.digest for each in found.elsewhere] == [digest_of(b"foreign")]
    assert (found.children, found.subject, found.annotations) == ((), None, {"a": "b"})


def test_an_index_has_children_and_no_blobs() -> None:
    """The entries of an index are manifests."""
    child = descriptor("child", media_types.IMAGE_MANIFEST, platform={"os": "linux"})
    found = parse(index(child), media_types.IMAGE_INDEX)
    assert [each.digest for each in found.children] == [digest_of(b"child")]
    assert found.blobs == ()


@pytest.mark.parametrize("media_type", sorted(media_types.MANIFESTS))
def test_a_list_that_is_null_is_empty(media_type: str) -> None:
    """Null is an empty list, and a null list of the other kind of document is ignored, as Go programs write it."""
    if media_type in media_types.INDEXES:
        found = parse({"schemaVersion": 2, "manifests": None, "layers": None}, media_type)
        assert found.children == ()
    else:
        found = parse(image(layers=None, manifests=None), media_type)
        assert [each.digest for each in found.blobs] == [digest_of(b"config")]


@pytest.mark.parametrize("media_type", sorted(media_types.MANIFESTS))
def test_docker_types_are_parsed_alike(media_type: str) -> None:
    """Docker's schema 2 has the same form; without `mediaType` the request's media type applies."""
    document = index(descriptor("child")) if media_type in media_types.INDEXES else image()
    assert parse(document, media_type).media_type == media_type
    assert parse({**document, "mediaType": media_type}, None).media_type == media_type


def test_the_artifact_type_follows_the_referrers_rule() -> None:
    """An image has its `artifactType` or else its config's media type, an index its `artifactType` or none."""
    assert parse(image()).artifact_type == media_types.IMAGE_CONFIG
    assert parse(image(artifactType="application/x")).artifact_type == "application/x"
    assert parse(image(artifactType="")).artifact_type == media_types.IMAGE_CONFIG
    assert parse(index(), media_types.IMAGE_INDEX).artifact_type is None
    assert parse(index(artifactType="application/x"), media_types.IMAGE_INDEX).artifact_type == "application/x"


def test_the_subject_may_be_absent() -> None:
    """A manifest may refer to a digest that is not in the registry."""
    subject = descriptor("subject", media_types.IMAGE_MANIFEST)
    assert parse(image(subject=subject)).subject == digest_of(b"subject")


def test_unknown_fields_are_allowed() -> None:
    """Fields that a later specification adds are ignored (image-spec, extensibility)."""
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
        (image(layers=[descriptor("layer", "")]), "invalid mediaType"),
        (image(layers=[descriptor("layer", "text/html\r\nSet-Cookie: a=b")]), "invalid mediaType"),
        (image(layers=[descriptor("layer", "text/\0")]), "invalid mediaType"),
        (image(layers=[descriptor("layer", "text/\u00e9")]), "invalid mediaType"),
        (image(layers=[descriptor("layer", "text/" + "x" * 251)]), "invalid mediaType"),
        (image(annotations={"a": 1}), "annotations"),
        (image(subject=descriptor("subject", digest="../etc")), "descriptor"),
    ],
)
def test_a_schema_violation_is_an_error_with_the_reason(document: object, why: str) -> None:
    """The error for an invalid image names the field at fault."""
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
def test_an_invalid_index_is_an_error_with_the_reason(document: object, why: str) -> None:
    """An image sent as an index is refused, not parsed as an empty index."""
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
def test_malformed_json_is_an_error(content: bytes, why: str) -> None:
    """Malformed, deeply nested, duplicate-key and badly encoded JSON is always an InvalidManifestError."""
    with pytest.raises(InvalidManifestError, match=why):
        parse_manifest(content, media_types.IMAGE_MANIFEST)


def test_a_media_type_is_required() -> None:
    """Content without a media type, or with one of other content, is refused."""
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
def test_any_bytes_are_a_manifest_or_an_error(content: bytes, media_type: str | None) -> None:
    """Any content either parses or raises InvalidManifestError."""
    try:
        found = parse_manifest(content, media_type)
    except InvalidManifestError:
        return
    assert found.media_type in media_types.MANIFESTS
    assert not (found.children and found.blobs)
