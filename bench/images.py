"""What is pushed before a measurement: images with many tags, and repositories in great number."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from bench.client import Client
from bench.registries import Registry
from zot.oci.digest import digest_of
from zot.oci.media_types import IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST

CONFIG = b"{}"
EMPTY_INDEX = msgspec.json.encode({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []})

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_PUSHERS = 8


def manifest(*layers: bytes, config: bytes = CONFIG, note: str = "") -> bytes:
    """Return the manifest of an image; equal notes give equal manifests."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": {"mediaType": IMAGE_CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": _LAYER, "digest": digest_of(each), "size": len(each)} for each in layers],
            "annotations": {"bench": note},
        }
    )


def push_image(client: Client, repository: str, tag: str, layer_bytes: int = 1024) -> bytes:
    """Push an image with a layer of its own; return its manifest."""
    layer = os.urandom(layer_bytes)
    client.push_blob(repository, layer)
    client.push_blob(repository, CONFIG)
    content = manifest(layer)
    client.put_manifest(repository, tag, content)
    return content


def push_tags(registry: Registry, repository: str, count: int) -> bytes:
    """Push one small image under the tags `t0`, `t1`, ...; return its manifest. Done already, it does nothing."""
    with Client(registry) as client:
        there = client.ask("GET", f"/v2/{repository}/manifests/t{count - 1}")
        if there.status == 200:
            return there.body
        content = push_image(client, repository, "t0")
    # The last tag says that all are there, so it comes last.
    _share(registry, range(1, count - 1), lambda pusher, number: pusher.put_manifest(repository, f"t{number}", content))
    with Client(registry) as client:
        client.put_manifest(repository, f"t{count - 1}", content)
    return content


def push_repositories(registry: Registry, prefix: str, count: int) -> None:
    """Make repositories below `prefix`, each with one tag of an empty index, which needs no blobs."""

    def push(pusher: Client, number: int) -> None:
        pusher.put_manifest(f"{prefix}/r{number:05}", "latest", EMPTY_INDEX, IMAGE_INDEX)

    _share(registry, range(count), push)


def _share(registry: Registry, numbers: Iterable[int], push: Callable[[Client, int], None]) -> None:
    """Push every number, spread over a few connections."""
    remaining = iter(numbers)

    def pusher() -> None:
        with Client(registry) as client:
            for number in remaining:
                push(client, number)

    with ThreadPoolExecutor(_PUSHERS) as pool:
        for done in [pool.submit(pusher) for _ in range(_PUSHERS)]:
            done.result()
