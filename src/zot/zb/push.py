"""Pushing an image: one layer, a config and a manifest, each request as the specification's order wants it."""

import msgspec

from zot.oci import media_types
from zot.oci.digest import Digest
from zot.zb.blobs import IMAGE_CONFIG, IMAGE_CONFIG_DIGEST, Blob
from zot.zb.client import LoadClient

_LAYER = "application/vnd.oci.image.layer.v1.tar"


async def push(client: LoadClient, repository: str, tag: str, layer: Blob, *, chunked: bool = False) -> int:
    """Push an image whose only layer is `layer`; return the last status. Raises RequestError.

    Monolithic: POST, then PUT with the content. Chunked: POST, PATCH with the content, then an empty PUT.
    """
    upload = _upload_chunked if chunked else _upload_monolithic
    await upload(client, repository, layer, layer.digest)
    await upload(client, repository, IMAGE_CONFIG, IMAGE_CONFIG_DIGEST)
    path = f"/v2/{repository}/manifests/{tag}"
    await client.send("PUT", path, 201, _manifest(layer), media_types.IMAGE_MANIFEST)
    return 201


async def _upload_monolithic(client: LoadClient, repository: str, content: bytes | Blob, digest: Digest) -> None:
    session = await client.send("POST", f"/v2/{repository}/blobs/uploads/", 202)
    await client.send("PUT", _closing(session.headers["Location"], digest), 201, content)


async def _upload_chunked(client: LoadClient, repository: str, content: bytes | Blob, digest: Digest) -> None:
    session = await client.send("POST", f"/v2/{repository}/blobs/uploads/", 202)
    chunk = await client.send("PATCH", session.headers["Location"], 202, content)
    await client.send("PUT", _closing(chunk.headers["Location"], digest), 201)


def _closing(location: str, digest: Digest) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def _manifest(layer: Blob) -> bytes:
    config = {"mediaType": media_types.IMAGE_CONFIG, "digest": IMAGE_CONFIG_DIGEST, "size": len(IMAGE_CONFIG)}
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.IMAGE_MANIFEST,
        "config": config,
        "layers": [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size}],
    }
    return msgspec.json.encode(document)
