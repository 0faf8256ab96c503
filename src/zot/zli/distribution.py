"""What any registry says by the distribution API: repositories, tags, images and referrers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urljoin

import click
import msgspec

from zot.oci.image_diff import CONTENT_LIMIT_BYTES, ImageContent, child_of, config_of
from zot.oci.image_diff import image_content as parse_image
from zot.oci.media_types import INDEXES, MANIFESTS
from zot.oci.names import version_key
from zot.zli.client import RegistryClient, RegistryResponse
from zot.zli.image_reference import ImageArgument
from zot.zli.records import (
    ZERO_TIME,
    AnnotationRecord,
    ImageRecord,
    LayerRecord,
    ManifestRecord,
    PlatformRecord,
    ReferrerRecord,
    Time,
)
from zot.zli.search_client import unexpected

_PAGE_SIZE = 1000
_CONCURRENT = 8
_ACCEPTED = ", ".join(sorted(MANIFESTS))
_SIGNATURES = {
    "application/vnd.cncf.notary.signature",
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
}


async def repositories(client: RegistryClient) -> AsyncIterator[list[str]]:
    """Yield the names of all repositories in pages, as the catalog has them. Raises ClickException."""
    async for page in _lists(client, f"/v2/_catalog?n={_PAGE_SIZE}", "repositories"):
        yield page


async def digest_of(client: RegistryClient, image: ImageArgument) -> str:
    """Return the digest that a tag names. Raises ClickException."""
    path = _path(image.repository, "manifests", image.reference)
    response = await client.head(path, accept=_ACCEPTED)
    if response.status != 200:
        raise unexpected(response)
    return response.headers.get("Docker-Content-Digest", "")


async def referrers(client: RegistryClient, repository: str, digest: str) -> list[ReferrerRecord]:
    """Return the referrers of a manifest. Raises ClickException."""
    path: str | None = _path(repository, "referrers", digest)
    found: list[ReferrerRecord] = []
    while path:
        response = await client.get(path)
        found += [_referrer(each) for each in _list(_object(response), "manifests")]
        path = next_page(client, path, response)
    return found


async def image_content(client: RegistryClient, image: ImageArgument, platform: str) -> ImageContent:
    """Return what an image is made of; of an index, its manifest for a platform. Raises ClickException.

    A config that is missing, too large or no JSON leaves its fields empty.
    """
    digest, media_type, manifest = await _manifest_bytes(client, image.repository, image.reference)
    if media_type in INDEXES:
        child = child_of(manifest, platform)
        if child is None:
            wanted = f"manifest for {platform}" if platform else "manifest that can be compared"
            raise click.ClickException(f"{image.repository}:{image.reference} has no {wanted}")
        digest, media_type, manifest = await _manifest_bytes(client, image.repository, child)
    descriptor = config_of(manifest)
    config = None
    if descriptor is not None and descriptor[1] <= CONTENT_LIMIT_BYTES:
        response = await client.get(_path(image.repository, "blobs", descriptor[0]))
        if response.status not in {200, 404}:
            raise unexpected(response)
        config = response.body if response.status == 200 else None
    return parse_image(digest, media_type, manifest, config)


async def _manifest_bytes(client: RegistryClient, repository: str, reference: str) -> tuple[str, str, bytes]:
    """Return digest, media type and bytes of a manifest. Raises ClickException."""
    response = await client.get(_path(repository, "manifests", reference), accept=_ACCEPTED)
    if response.status != 200:
        raise unexpected(response)
    digest = response.headers.get("Docker-Content-Digest", "") or f"sha256:{sha256(response.body).hexdigest()}"
    return digest, response.headers.get("Content-Type", "").partition(";")[0].strip(), response.body


async def images_by_name(
    client: RegistryClient, repository: str, tag: str, sort_by: str
) -> AsyncIterator[list[ImageRecord]]:
    """Yield the images of a repository, or of all, by name or by time; with a tag, that one alone.

    Each manifest is read: this takes some requests per image. An image, or a repository, that is deleted meanwhile is
    left out. Raises ClickException.
    """
    names = [repository] if repository else [name async for page in repositories(client) for name in page]
    images: list[ImageRecord] = []
    for name in sorted(names, reverse=sort_by == "alpha-dsc"):
        tags = await _tags(client, name)
        if tags is None:
            if repository:
                raise click.ClickException("no repository found")
            continue
        chosen = [each for each in tags if not _is_signature(each) and tag in {"", each}]
        chosen.sort(key=lambda each: (version_key(each), each), reverse=sort_by == "alpha-dsc")
        for start in range(0, len(chosen), _CONCURRENT):
            some = chosen[start : start + _CONCURRENT]
            read = await asyncio.gather(*(_image(client, name, each, frozenset(tags)) for each in some))
            images += [image for image in read if image is not None]
            if sort_by != "update-time":
                yield images
                images = []
    yield sorted(images, key=lambda image: image.last_updated, reverse=True)


async def _tags(client: RegistryClient, repository: str) -> list[str] | None:
    """Return the tags of a repository, or None when there is no such one."""
    try:
        return [each async for page in _lists(client, _path(repository, "tags", "list"), "tags") for each in page]
    except click.ClickException as error:
        if "NAME_UNKNOWN" in error.message:
            return None
        raise


async def _image(client: RegistryClient, repository: str, tag: str, tags: frozenset[str]) -> ImageRecord | None:
    response = await client.get(_path(repository, "manifests", tag), accept=_ACCEPTED)
    media_type = response.headers.get("Content-Type", "")
    if response.status == 404 or (response.status == 200 and media_type not in MANIFESTS):
        return None
    content = _object(response)
    digest = response.headers.get("Docker-Content-Digest", "")
    if media_type not in INDEXES:
        manifests = [await _manifest(client, repository, digest, response, content, tags)]
        size, signed = manifests[0].size, manifests[0].is_signed
    else:
        children = [await _child(client, repository, each, tags) for each in _list(content, "manifests")]
        manifests = [each for each in children if each is not None]
        size = str(len(response.body) + sum(int(each.size) for each in manifests))
        signed = await _is_signed(client, repository, digest, tags)
    updated = max((each.last_updated for each in manifests), default=ZERO_TIME)
    return ImageRecord(repository, tag, digest, media_type, manifests, size, last_updated=updated, is_signed=signed)


async def _child(
    client: RegistryClient, repository: str, descriptor: dict[str, Any], tags: frozenset[str]
) -> ManifestRecord | None:
    digest = _text(descriptor, "digest")
    response = await client.get(_path(repository, "manifests", digest), accept=_ACCEPTED)
    if response.status == 404:
        return None
    manifest = await _manifest(client, repository, digest, response, _object(response), tags)
    platform = descriptor.get("platform")
    if isinstance(platform, dict):
        manifest.platform = _platform(platform)
    return manifest


async def _manifest(
    client: RegistryClient,
    repository: str,
    digest: str,
    response: RegistryResponse,
    content: dict[str, Any],
    tags: frozenset[str],
) -> ManifestRecord:
    descriptor = content.get("config")
    descriptor = descriptor if isinstance(descriptor, dict) else {}
    config: dict[str, Any] = {}
    if _text(descriptor, "digest"):
        config = _object(await client.get(_path(repository, "blobs", _text(descriptor, "digest"))))
    layers = _list(content, "layers")
    sizes = [_number(each, "size") for each in (descriptor, *layers)]
    return ManifestRecord(
        digest,
        _text(descriptor, "digest"),
        Time(_text(config, "created") or ZERO_TIME),
        str(len(response.body) + sum(sizes)),
        _platform(config),
        await _is_signed(client, repository, digest, tags),
        layers=[LayerRecord(str(_number(each, "size")), _text(each, "digest")) for each in layers],
    )


async def _is_signed(client: RegistryClient, repository: str, digest: str, tags: Iterable[str]) -> bool:
    if f"{digest.replace(':', '-')}.sig" in tags:
        return True
    response = await client.get(_path(repository, "referrers", digest))
    if response.status != 200:  # a registry without the referrers API
        return False
    return any(_text(each, "artifactType") in _SIGNATURES for each in _list(_object(response), "manifests"))


async def _lists(client: RegistryClient, path: str, key: str) -> AsyncIterator[list[str]]:
    """Yield the pages of a list of names, following its links."""
    following: str | None = path
    while following:
        response = await client.get(following)
        names = _object(response).get(key)
        yield [str(name) for name in names] if isinstance(names, list) else []
        following = next_page(client, following, response)


def next_page(client: RegistryClient, path: str, response: RegistryResponse) -> str | None:
    """Return where a list goes on, at the same registry; None at its end. Raises ClickException."""
    target, _, parameters = response.headers.get("Link", "").partition(">")
    if not target.startswith("<") or "next" not in parameters:
        return None
    url = urljoin(client.url(path), target[1:])
    base = client.url("/")
    if not url.startswith(base):
        raise click.ClickException(f"the list goes on at another host: {url}")
    return "/" + url.removeprefix(base)


def _object(response: RegistryResponse) -> dict[str, Any]:
    if response.status != 200:
        raise unexpected(response)
    try:
        return msgspec.json.decode(response.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}  # the config of an artifact may be anything


def _list(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = content.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(content: dict[str, Any], key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""


def _number(content: dict[str, Any], key: str) -> int:
    value = content.get(key)
    return value if isinstance(value, int) else 0


def _platform(content: dict[str, Any]) -> PlatformRecord:
    return PlatformRecord(_text(content, "os"), _text(content, "architecture"), _text(content, "variant"))


def _referrer(content: dict[str, Any]) -> ReferrerRecord:
    annotations = content.get("annotations")
    pairs = annotations.items() if isinstance(annotations, dict) else ()
    return ReferrerRecord(
        _text(content, "mediaType"),
        _text(content, "artifactType"),
        _number(content, "size"),
        _text(content, "digest"),
        [AnnotationRecord(str(key), str(value)) for key, value in pairs],
    )


def _is_signature(tag: str) -> bool:
    return tag.startswith("sha256-") and tag.endswith(".sig")


def _path(repository: str, kind: str, reference: str) -> str:
    return f"/v2/{quote(repository)}/{kind}/{quote(reference, safe=':')}"
