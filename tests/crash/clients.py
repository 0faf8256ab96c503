"""Clients that push, re-tag, delete and pull while the server is killed, and record the answers."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from math import inf

from crash.register import Call, is_linearizable
from http_client import OCTETS, Client
from layout.images import MANIFEST, image

REPOSITORY = "kill/app"


@dataclass
class Answered:
    """The answers that clients got; times are seconds of one clock."""

    blobs: set[str] = field(default_factory=set)
    """Digests of blobs that were acknowledged and never deleted."""
    manifests: set[str] = field(default_factory=set)
    registers: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    """The calls on each path: of a tag, or of a blob that is sometimes deleted."""
    unanswered: int = 0

    @property
    def calls(self) -> int:
        """How many calls there were on registers."""
        return sum(map(len, self.registers.values()))

    def contradictions(self) -> list[str]:
        """Return the paths for which no order explains the answers."""
        return [path for path, calls in self.registers.items() if not is_linearizable(calls)]


@dataclass
class Worker:
    """One client."""

    client: Client
    answered: Answered
    name: str
    tags: list[str]
    chance: random.Random
    pushed: int = 0

    def work(self, done: threading.Event) -> None:
        """Send requests until `done` is set."""
        things = [self._push, self._push, self._delete_tag, self._pull, self._push_chunks, self._push_or_delete_blob]
        while not done.is_set():
            try:
                self.chance.choice(things)()
            except (OSError, HTTPException, AssertionError):  # no answer, or a 5xx
                self.answered.unanswered += 1
                done.wait(0.01)

    def _push(self) -> None:
        self.pushed += 1
        pushed = image(f"{self.name} {self.pushed}")
        for blob in pushed.blobs:
            self.answered.blobs.add(self.client.push_blob(REPOSITORY, blob))
        tag = self.chance.choice(self.tags)
        path = f"/v2/{REPOSITORY}/manifests/{tag}"
        with self._written(path, pushed.digest):
            assert self.client.put_manifest(REPOSITORY, tag, pushed.content, MANIFEST).status == 201
        self.answered.manifests.add(pushed.digest)

    def _delete_tag(self) -> None:
        path = f"/v2/{REPOSITORY}/manifests/{self.chance.choice(self.tags)}"
        with self._written(path, None):
            assert self.client.ask("DELETE", path).status in {202, 404}

    def _pull(self) -> None:
        pull(self.client, self.answered, f"/v2/{REPOSITORY}/manifests/{self.chance.choice(self.tags)}")

    def _push_chunks(self) -> None:
        content = self.chance.randbytes(20_000)
        location = self.client.begin(REPOSITORY)
        for start in (0, 9_000):
            sent = self.client.ask("PATCH", location, content[start : start + 9_000], OCTETS)
            assert sent.status == 202
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert self.client.ask("PUT", f"{location}?digest={digest}", content[18_000:], OCTETS).status == 201
        self.answered.blobs.add(digest)

    def _push_or_delete_blob(self) -> None:
        content = f"comes and goes with {self.name}".encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = f"/v2/{REPOSITORY}/blobs/{digest}"
        if self.chance.random() < 0.5:
            with self._written(path, digest):
                self.client.push_blob(REPOSITORY, content)
        else:
            with self._written(path, None):
                assert self.client.ask("DELETE", path).status in {202, 404}
        pull(self.client, self.answered, path)

    @contextmanager
    def _written(self, path: str, value: str | None) -> Iterator[None]:
        """Record a write; if it raises, its outcome is unknown."""
        start_s, end_s = time.monotonic(), inf
        try:
            yield
            end_s = time.monotonic()
        finally:
            self.answered.registers[path].append(Call(start_s, end_s, writes=True, value=value))


def pull(client: Client, answered: Answered, path: str) -> None:
    """Pull a path and record the answer."""
    start_s = time.monotonic()
    answer = client.head(path)
    assert answer.status in {200, 404}
    value = answer["Docker-Content-Digest"] if answer.status == 200 else None
    answered.registers[path].append(Call(start_s, time.monotonic(), writes=False, value=value))


@contextmanager
def clients(client: Client, name: str, seed: int, count: int = 4) -> Iterator[Answered]:
    """Have clients work while the block runs, on the same three tags."""
    answered, done = Answered(), threading.Event()
    tags = [f"{name}-{tag}" for tag in "abc"]
    workers = [
        Worker(client, answered, f"{name}-{number}", tags, random.Random(f"{seed} {name} {number}"))
        for number in range(count)
    ]
    threads = [threading.Thread(target=worker.work, args=(done,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        done.set()
        for thread in threads:
            thread.join()
