"""Removing what a workload pushed, through the API alone: manifest first, then what it named."""

from collections.abc import Iterable

import msgspec

from zot.oci import media_types
from zot.oci.digest import digest_of
from zot.oci.manifest import parse_manifest
from zot.zb.client import LoadClient


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


async def remove(client: LoadClient, repositories: Iterable[str]) -> None:
    """Delete every tagged image of `repositories`, with its blobs. Raises RequestError at the first refusal."""
    for repository in repositories:
        listing = await client.send("GET", f"/v2/{repository}/tags/list", 200)
        for tag in msgspec.json.decode(listing.body, type=_Tags).tags or ():
            await _remove_image(client, repository, tag)


async def _remove_image(client: LoadClient, repository: str, tag: str) -> None:
    answer = await client.send("GET", f"/v2/{repository}/manifests/{tag}", 200)
    # By digest: some registries refuse to delete by tag, or would keep the manifest.
    await client.send("DELETE", f"/v2/{repository}/manifests/{digest_of(answer.body)}", 202)
    for blob in parse_manifest(answer.body, media_types.IMAGE_MANIFEST).blobs:
        await client.send("DELETE", f"/v2/{repository}/blobs/{blob.digest}", 202)
