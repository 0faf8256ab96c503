"""Clients that push without a pause, and remember what was acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from http_client import Client
from layout.images import MANIFEST, image


@dataclass
class Pushed:
    """What the clients received."""

    digests: dict[str, str] = field(default_factory=dict)
    """`repository:tag` -> the digest that was acknowledged last."""
    failures: list[str] = field(default_factory=list)

    def is_there(self, client: Client) -> bool:
        """Tell whether everything that was acknowledged can be pulled."""
        return all(
            client.head(f"/v2/{name.replace(':', '/manifests/')}")["Docker-Content-Digest"] == digest
            for name, digest in self.digests.items()
        )


@contextmanager
def pushing(client: Client, prefix: str, clients: int = 3) -> Iterator[Pushed]:
    """Push small images to `<prefix>0`, `<prefix>1`, ... while the block runs."""
    pushed, done = Pushed(), threading.Event()

    def push(repository: str) -> None:
        number = 0
        while not done.is_set():
            number += 1
            try:
                each = image(f"{repository} {number}")
                for blob in each.blobs:
                    client.push_blob(repository, blob)
                answer = client.put_manifest(repository, f"v{number % 5}", each.content, MANIFEST)
            except (OSError, AssertionError) as error:
                pushed.failures.append(repr(error))
                continue
            if answer.status == 201:
                pushed.digests[f"{repository}:v{number % 5}"] = each.digest
            else:
                pushed.failures.append(f"{answer.status} {answer.body!r}")

    threads = [threading.Thread(target=push, args=(f"{prefix}{number}",)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield pushed
    finally:
        done.set()
        for thread in threads:
            thread.join()
