"""A registry against a simple model of one: whatever is done in whatever order, both say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from http_client import OCTETS, Client, Response
from layout.images import Image, image, index, sha256
from zot.testing import serve

IMAGES = [image(name) for name in ("one", "two")]
IMAGES += [image("signature", subject=IMAGES[0])]
INDEXES = [index(*IMAGES[:2]), index(IMAGES[0])]
MANIFESTS = {each.digest: each for each in IMAGES + INDEXES}
BLOBS = {sha256(content): content for each in IMAGES for content in each.blobs}
TAGS = ("v1", "v2", "latest")


@dataclass
class Repository:
    """What a repository holds, by the model."""

    blobs: set[str] = field(default_factory=set)
    manifests: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)

    def resolve(self, reference: str) -> str | None:
        """The manifest that a reference stands for."""
        digest = self.tags.get(reference, reference)
        return digest if digest in self.manifests else None

    def lists(self, digest: str) -> bool:
        """Whether an index that is here lists the manifest."""
        return any(digest == child.digest for each in self.manifests for child in MANIFESTS[each].children)

    def names(self, digest: str) -> bool:
        """Whether a manifest that is here names the blob."""
        return any(digest == sha256(blob) for each in self.manifests for blob in MANIFESTS[each].blobs)


REPOSITORIES = st.sampled_from(["a", "b/c"])
REFERENCES = st.sampled_from([*TAGS, *MANIFESTS])


class Registry(RuleBasedStateMachine):
    """Does the same to both."""

    client: Client
    runs = 0

    def __init__(self) -> None:
        """Take repositories of its own."""
        super().__init__()
        Registry.runs += 1
        self.prefix = f"run{Registry.runs}"
        self.model: dict[str, Repository] = {}

    def of(self, repository: str) -> Repository:
        """The model's repository, which is there from now on."""
        return self.model.setdefault(repository, Repository())

    def ask(self, method: str, repository: str, rest: str, body: bytes | None = None, media_type: str = "") -> Response:
        """Ask the registry."""
        headers = {"Content-Type": media_type} if media_type else {}
        return self.client.ask(method, f"/v2/{self.prefix}/{repository}/{rest}", body, headers)

    @rule(repository=REPOSITORIES, digest=st.sampled_from(sorted(BLOBS)), chunks=st.integers(0, 2))
    def push_blob(self, repository: str, digest: str, chunks: int) -> None:
        """Push a blob in one request, or in some."""
        content = BLOBS[digest]
        if chunks:
            location = self.client.begin(f"{self.prefix}/{repository}")
            for at in range(chunks):
                cut = slice(len(content) * at // chunks, len(content) * (at + 1) // chunks)
                assert self.client.ask("PATCH", location, content[cut], OCTETS).status == 202
            assert self.client.ask("PUT", f"{location}?digest={digest}").status == 201
        else:
            assert (
                self.ask("POST", repository, f"blobs/uploads/?digest={digest}", content, *OCTETS.values()).status == 201
            )
        self.of(repository).blobs.add(digest)

    @rule(source=REPOSITORIES, repository=REPOSITORIES, digest=st.sampled_from(sorted(BLOBS)))
    def mount(self, source: str, repository: str, digest: str) -> None:
        """Mount a blob, which works if the source has it."""
        there = digest in self.model.get(source, Repository()).blobs
        answer = self.ask("POST", repository, f"blobs/uploads/?mount={digest}&from={self.prefix}/{source}")
        assert answer.status == (201 if there else 202)
        self.of(repository)
        if there:
            self.of(repository).blobs.add(digest)

    @rule(repository=REPOSITORIES, pushed=st.sampled_from(IMAGES + INDEXES), tag=st.sampled_from([None, *TAGS]))
    def push_manifest(self, repository: str, pushed: Image, tag: str | None) -> None:
        """Push a manifest, which works if its blobs are there."""
        answer = self.ask("PUT", repository, f"manifests/{tag or pushed.digest}", pushed.content, pushed.media_type)
        model = self.of(repository) if repository in self.model else Repository()
        if {sha256(blob) for blob in pushed.blobs} <= model.blobs:
            assert answer.status == 201
            model = self.of(repository)
            model.manifests.add(pushed.digest)
            if tag is not None:
                model.tags[tag] = pushed.digest
        else:
            assert answer.error == (404, "MANIFEST_BLOB_UNKNOWN")

    @precondition(lambda self: self.model)
    @rule(data=st.data(), reference=REFERENCES)
    def delete_manifest(self, data: st.DataObject, reference: str) -> None:
        """Delete a tag, or a manifest unless an index lists it."""
        repository = data.draw(st.sampled_from(sorted(self.model)))
        model, answer = self.model[repository], self.ask("DELETE", repository, f"manifests/{reference}")
        if model.resolve(reference) is None:
            assert answer.error == (404, "MANIFEST_UNKNOWN")
        elif reference in model.tags:
            assert answer.status == 202
            del model.tags[reference]
        elif model.lists(reference):
            assert answer.error == (405, "DENIED")
        else:
            assert answer.status == 202
            model.manifests.remove(reference)
            model.tags = {tag: digest for tag, digest in model.tags.items() if digest != reference}

    @precondition(lambda self: self.model)
    @rule(data=st.data(), digest=st.sampled_from(sorted(BLOBS)))
    def delete_blob(self, data: st.DataObject, digest: str) -> None:
        """Delete a blob unless a manifest names it."""
        repository = data.draw(st.sampled_from(sorted(self.model)))
        model, answer = self.model[repository], self.ask("DELETE", repository, f"blobs/{digest}")
        if digest not in model.blobs:
            assert answer.error == (404, "BLOB_UNKNOWN")
        elif model.names(digest):
            assert answer.error == (405, "DENIED")
        else:
            assert answer.status == 202
            model.blobs.remove(digest)

    @rule(repository=REPOSITORIES, reference=REFERENCES)
    def pull_manifest(self, repository: str, reference: str) -> None:
        """Pull whatever a reference stands for."""
        answer = self.ask("GET", repository, f"manifests/{reference}")
        digest = self.model[repository].resolve(reference) if repository in self.model else None
        if digest is None:
            assert answer.error == (404, "MANIFEST_UNKNOWN" if repository in self.model else "NAME_UNKNOWN")
        else:
            assert (answer.status, answer.body) == (200, MANIFESTS[digest].content)

    @rule(repository=REPOSITORIES, digest=st.sampled_from(sorted(BLOBS)))
    def pull_blob(self, repository: str, digest: str) -> None:
        """Pull a blob."""
        answer = self.ask("GET", repository, f"blobs/{digest}")
        if digest in self.model.get(repository, Repository()).blobs:
            assert (answer.status, answer.body) == (200, BLOBS[digest])
        else:
            assert answer.error == (404, "BLOB_UNKNOWN" if repository in self.model else "NAME_UNKNOWN")

    @rule(repository=REPOSITORIES)
    def list_referrers(self, repository: str) -> None:
        """List what refers to the first image."""
        answer = self.ask("GET", repository, f"referrers/{IMAGES[0].digest}")
        there = self.model.get(repository, Repository()).manifests & {IMAGES[2].digest}
        assert {each["digest"] for each in answer.json["manifests"]} == there

    @invariant()
    def lists_say_the_same(self) -> None:
        """Tags and repositories are those of the model, at any time."""
        listed = self.client.get(f"/v2/_catalog?last={self.prefix}").json["repositories"]
        assert [name for name in listed if name.startswith(f"{self.prefix}/")] == [
            f"{self.prefix}/{repository}" for repository in sorted(self.model)
        ]
        for repository, model in self.model.items():
            assert self.client.tags(f"{self.prefix}/{repository}") == sorted(model.tags)


@pytest.fixture(params=["files", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A new registry, with each kind of drivers."""
    with serve(memory=request.param == "memory") as running:
        yield Client(running.host)


def test_whatever_is_done_is_what_a_model_says(client: Client) -> None:
    """Pushes, mounts, deletes and pulls in any order answer as a simple model of repositories does."""
    Registry.client = client
    run_state_machine_as_test(
        Registry, settings=settings(max_examples=20, stateful_step_count=40, suppress_health_check=list(HealthCheck))
    )
