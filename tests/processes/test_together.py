"""Everything at once: pushes, deletes, mounts and pulls of the same few things, through all processes."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from http_client import OCTETS, Client, Response
from layout.images import Layout, image, sha256
from servers.zot import ZotServer

IMAGES = [image(str(number)) for number in range(4)]
BLOBS = {sha256(content): content for each in IMAGES for content in each.blobs}
REPOSITORIES = ("together/a", "together/b")
ROUNDS, CLIENTS = 120, 6


def in_chunks(client: Client, repository: str, digest: str) -> Response:
    """Push a blob in two requests."""
    location = client.begin(repository)
    client.ask("PATCH", location, BLOBS[digest], OCTETS)
    return client.ask("PUT", f"{location}?digest={digest}")


def one_of_them(client: Client, chance: random.Random) -> Response:
    """Do something."""
    repository, digest, each = chance.choice(REPOSITORIES), chance.choice(sorted(BLOBS)), chance.choice(IMAGES)
    base, other = f"/v2/{repository}", chance.choice(REPOSITORIES)
    steps: list[Callable[[], Response]] = [
        lambda: client.ask("POST", f"{base}/blobs/uploads/?digest={digest}", BLOBS[digest], OCTETS),
        lambda: in_chunks(client, repository, digest),
        lambda: client.ask("POST", f"{base}/blobs/uploads/?mount={digest}&from={other}"),
        lambda: client.ask("DELETE", f"{base}/blobs/{digest}"),
        lambda: client.put_manifest(repository, chance.choice(["v1", "v2"]), each.content, each.media_type),
        lambda: client.put_manifest(repository, each.digest, each.content, each.media_type),
        lambda: client.ask("DELETE", f"{base}/manifests/{chance.choice(['v1', each.digest])}"),
        lambda: client.get(f"{base}/blobs/{digest}"),
        lambda: client.get(f"{base}/manifests/v1"),
    ]
    answer = chance.choice(steps)()
    if answer.status == 200:
        assert answer.body in {*BLOBS.values(), *(each.content for each in IMAGES)}
    return answer


def whole(get: Callable[[str], bytes | None], digest: str) -> bool:
    """Whether an image that is there has all of its blobs."""
    (found,) = (each for each in IMAGES if each.digest == digest)
    return get(digest) == found.content and all(get(sha256(blob)) == blob for blob in found.blobs)


def test_whatever_happens_at_once_images_are_whole(server: ZotServer) -> None:
    """No answer is a fault, no content is another's, and what is there at the end, is there whole, on the disk too."""
    client, started = server.client, threading.Barrier(CLIENTS)

    def clients(seed: int) -> list[Response]:
        chance = random.Random(seed)
        started.wait()
        return [one_of_them(client, chance) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [answer for found in pool.map(clients, range(CLIENTS)) for answer in found]
    # Only a delete of what is being pushed at this moment may have to be tried again.
    faults = [answer.body for answer in answers if answer.status >= 500 and b"is being pushed" not in answer.body]
    assert faults == []
    assert {200, 201, 202, 404, 405} <= {answer.status for answer in answers}

    def over_http(repository: str, digest: str) -> bytes | None:
        kind = "manifests" if digest in {each.digest for each in IMAGES} else "blobs"
        answer = client.get(f"/v2/{repository}/{kind}/{digest}")
        return answer.body if answer.status == 200 else None

    for repository in REPOSITORIES:
        for tag in client.tags(repository):
            digest = client.head(f"/v2/{repository}/manifests/{tag}")["Docker-Content-Digest"] or ""
            assert whole(lambda each: over_http(repository, each), digest)  # noqa: B023
    assert server.stop() == 0
    for repository in REPOSITORIES:
        layout = Layout(server.root / repository)
        for descriptor in layout.read_index()["manifests"]:
            assert whole(lambda each: layout.file(each).read_bytes(), descriptor["digest"])  # noqa: B023
    server.start()
