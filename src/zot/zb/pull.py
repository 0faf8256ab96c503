"""Pulling an image as clients do: manifest HEAD and GET, config, then the layers; what comes is dropped."""

from dataclasses import dataclass, field

from zot.oci import media_types
from zot.oci.manifest import InvalidManifestError, parse_manifest
from zot.zb.client import LoadClient, RequestError


@dataclass(frozen=True)
class FirstBytes:
    """The times from each request of a pull to the first byte of its answer, in nanoseconds."""

    manifest_head: list[int] = field(default_factory=list)
    manifest_get: list[int] = field(default_factory=list)
    config: list[int] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)


async def pull(client: LoadClient, repository: str, tag: str, first_bytes: FirstBytes) -> int:
    """Pull one image, adding to `first_bytes`; return the last status. Raises RequestError."""
    location = f"/v2/{repository}/manifests/{tag}"
    head = await client.send("HEAD", location, 200)
    first_bytes.manifest_head.append(head.first_byte_ns)
    answer = await client.send("GET", location, 200)
    first_bytes.manifest_get.append(answer.first_byte_ns)
    try:
        config, *layers = parse_manifest(answer.body, media_types.IMAGE_MANIFEST).blobs
    except InvalidManifestError as error:
        raise RequestError(f"GET of a manifest gave {error}", 200) from error

    location = f"/v2/{repository}/blobs/{config.digest}"
    await client.send("HEAD", location, 200)
    first_bytes.config.append(await client.drain(location, config.size))
    for layer in layers:
        location = f"/v2/{repository}/blobs/{layer.digest}"
        await client.send("HEAD", location, 200)
        first_bytes.layer.append(await client.drain(location, layer.size))
    return 200
