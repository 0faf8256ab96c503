"""The work of a server and its clients during which the power may fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crash.expected import Key, Step
from crash.store import Store, body, digest_of
from layout.images import Image, Layout, image, index
from zot.maintenance.clock import CollectorClock
from zot.maintenance.gc import CollectedLayouts, Collector
from zot.maintenance.observer import NoObserver
from zot.maintenance.stores import MaintainedStores
from zot.oci.names import Repository, parse_repository
from zot.registry import uploads
from zot.registry.request import AppendUpload

APP = parse_repository("team/app")
OTHER = parse_repository("team/other")
FIRST, SECOND, THIRD = image("first"), image("second"), image("third")
LIST = index(FIRST, SECOND)
# Several pages, so that it can be torn; no page is like another, so that a wrong order shows.
LARGE = b"".join(bytes([number]) * 1024 for number in range(17)) + b"its end"
SMALL = b"a small blob"
CHUNKS = (LARGE[:5000], LARGE[5000:9000], LARGE[9000:])

Plan = Sequence[Step]


@dataclass(frozen=True)
class Scenario:
    """Recorded steps, after steps that prepared the store."""

    name: str
    before: Plan
    steps: Plan
    afterwards: Step | None = None
    """A request after the next start, which may be refused."""


# --- steps ---


def _gone(*keys: Key) -> Mapping[Key, str | None]:
    return dict.fromkeys(keys)


def _blob(repository: Repository, content: bytes) -> Key:
    return Key("blob", repository, digest_of(content))


def _manifest(repository: Repository, pushed: Image) -> Key:
    return Key("manifest", repository, pushed.digest)


def _tag(repository: Repository, name: str) -> Key:
    return Key("tag", repository, name)


def push_blob(content: bytes, repository: Repository = APP) -> Step:
    """Push a blob in one request."""
    return Step(
        f"push blob {len(content)}",
        {_blob(repository, content): ""},
        lambda store: store.push_blob(repository, content),
    )


def push_chunks(chunks: Sequence[bytes] = CHUNKS, repository: Repository = APP) -> Step:
    """Push a blob in several requests."""
    key = _blob(repository, b"".join(chunks))
    return Step("push in chunks", {key: ""}, lambda store: store.push_chunks(repository, *chunks))


def resumed_push() -> tuple[Step, Step]:
    """Send all bytes of a blob to a session, and finish that session later."""
    sessions: list[str] = []

    async def send(store: Store) -> None:
        sessions[:] = [await uploads.begin(store.registry, APP, "")]
        request = AppendUpload(repository=APP, session=sessions[0])
        await uploads.append(store.registry, request, "", body(LARGE), None)

    async def finish(store: Store) -> None:
        await store.finish(APP, sessions[0], LARGE)

    return Step("send", {}, send), Step("finish", {_blob(APP, LARGE): ""}, finish)


def together(*plans: Plan) -> Step:
    """Carry out several plans at the same time."""

    async def carry_out(store: Store, plan: Plan) -> None:
        for step in plan:
            await step.act(store)

    async def act(store: Store) -> None:
        await asyncio.gather(*(carry_out(store, plan) for plan in plans))

    effects = {key: value for plan in plans for step in plan for key, value in step.effects.items()}
    return Step("together", effects, act, each=True)


def put(pushed: Image, *tags: str, repository: Repository = APP) -> Step:
    """Push a manifest whose blobs exist."""
    effects = {_manifest(repository, pushed): "", **{_tag(repository, tag): pushed.digest for tag in tags}}
    return Step(f"put {tags}", effects, lambda store: store.push_manifest(repository, pushed, *tags))


def push(pushed: Image, *tags: str, repository: Repository = APP) -> Plan:
    """Push an image as a client does: blobs, children, the manifest."""
    children = [step for child in pushed.children for step in push(child, repository=repository)]
    return [
        *[push_blob(each, repository) for each in pushed.blobs],
        *children,
        put(pushed, *tags, repository=repository),
    ]


def mount(content: bytes) -> Step:
    """Mount a blob in the other repository."""
    return Step("mount", {_blob(OTHER, content): ""}, lambda store: store.mount(OTHER, APP, content))


def delete_tag(tag: str) -> Step:
    """Delete a tag."""
    return Step("delete tag", _gone(_tag(APP, tag)), lambda store: store.delete_tag(APP, tag))


def delete_manifest(deleted: Image, *tags: str) -> Step:
    """Delete a manifest and with it its tags."""
    keys = [_manifest(APP, deleted), *(_tag(APP, tag) for tag in tags)]
    return Step("delete manifest", _gone(*keys), lambda store: store.delete_manifest(APP, deleted))


def delete_blob(content: bytes) -> Step:
    """Delete a blob."""
    return Step("delete blob", _gone(_blob(APP, content)), lambda store: store.delete_blob(APP, content))


def sync_layouts() -> Step:
    """Import, merge and export, without an answer to a client."""
    return Step("sync layouts", {}, Store.sync_layouts)


def written_by_others(*listed: tuple[Image, str]) -> Step:
    """Write a layout as other programs do; all of it must be imported."""
    effects: dict[Key, str | None] = {}
    for each, tag in listed:
        effects |= {_manifest(APP, each): "", _tag(APP, tag): each.digest}
        effects |= {_blob(APP, blob): "" for blob in each.blobs}

    async def act(store: Store) -> None:
        layout = Layout(store.root / APP)
        layout.put(*(each for each, _ in listed))
        layout.write(*(each.descriptor(tag) for each, tag in listed))

    return Step("written by others", effects, act)


def sweep(*keys: Key) -> Step:
    """Collect garbage, which is these keys."""

    async def act(store: Store) -> None:
        stores = MaintainedStores(store.config.storage)
        (rules,) = stores.all
        layouts = CollectedLayouts(store.layouts.files.ready, store.jobs.exporter.remove)
        collector = Collector(store.registry, stores, layouts, None, CollectorClock(), NoObserver())
        for _ in range(2):
            async for _pause_s in collector.sweep(rules, lambda _: None):
                pass

    return Step("sweep", _gone(*keys), act, each=True)


RESTART = Step("restart", {}, Store.sync_layouts)
"""The server is stopped in good order and started again."""

_SEND, _FINISH = resumed_push()
_TWO = [*push(FIRST, "one"), *push(SECOND, "two"), sync_layouts()]

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("first start", [], push(FIRST, "one", "latest")),
    Scenario("push", _TWO, push(THIRD, "three")),
    Scenario(
        "small blobs",
        _TWO,
        [
            push_blob(SMALL),
            mount(SMALL),
            delete_blob(SMALL),
            push_blob(SMALL),
            sync_layouts(),
            push_blob(SMALL),
            delete_blob(SMALL),
        ],
    ),
    Scenario("push in chunks", _TWO, [push_chunks(), push_blob(b"after it")]),
    Scenario("re-tag", _TWO, [put(SECOND, "one"), put(FIRST, "one", "two"), put(SECOND, "one", "new")]),
    Scenario("index", _TWO, [put(LIST, "all"), sync_layouts()]),
    Scenario(
        "delete",
        [*_TWO, push_blob(LARGE)],
        [delete_tag("one"), delete_blob(LARGE), delete_manifest(SECOND, "two"), push_blob(LARGE), sync_layouts()],
    ),
    Scenario("mount", [*_TWO, push_blob(LARGE)], [mount(LARGE), mount(FIRST.blobs[0]), delete_blob(LARGE)]),
    Scenario("dedupe", [*_TWO, push_blob(LARGE)], [*push(FIRST, "copy", repository=OTHER), push_blob(LARGE, OTHER)]),
    Scenario(
        "export",
        [*_TWO, put(FIRST, "more")],
        [sync_layouts(), put(SECOND, "again"), sync_layouts(), delete_tag("one"), sync_layouts()],
    ),
    Scenario(
        "adopt",
        [written_by_others((FIRST, "one"), (SECOND, "two"))],
        [sync_layouts(), *push(THIRD, "three"), sync_layouts()],
    ),
    Scenario("merge", [*_TWO, written_by_others((FIRST, "one"), (SECOND, "two"), (THIRD, "three"))], [sync_layouts()]),
    Scenario(
        "collect",
        [*_TWO, push_blob(LARGE), delete_tag("one"), delete_manifest(SECOND, "two"), sync_layouts()],
        [
            sweep(
                _blob(APP, LARGE),
                _manifest(APP, FIRST),
                *(_blob(APP, blob) for blob in (*FIRST.blobs, *SECOND.blobs)),
            ),
            *push(SECOND, "back"),
        ],
    ),
    Scenario("at once", _TWO, [together([push_blob(b"a")], push(THIRD, "three"), [put(FIRST, "two")])]),
    Scenario("resume", _TWO, [_SEND, put(FIRST, "two")], _FINISH),
    Scenario("restart", _TWO, [*push(THIRD, "three"), RESTART, put(THIRD, "one"), delete_tag("two"), RESTART]),
)
