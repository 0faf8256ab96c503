"""The change log as events: those that zot sends, with zot's data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from extensions.search.rig import Registry, image, index
from zot.catalog.blob_commands import PutBlob
from zot.catalog.change_log import ChangeCursor, TrimChanges
from zot.catalog.command import ChangeSource
from zot.catalog.manifest_commands import DeleteTag, RemoveManifest, RestoreTag, TagMove
from zot.extensions.events.change_reader import cursor_before, read_events
from zot.extensions.events.event import Event, EventType
from zot.extensions.events.event_filter import EventFilter
from zot.extensions.events.http_sink import binary_headers
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, Tag

RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_bytes())
"""What zot has sent: to an HTTP sink (`headers`, `body`) and to a NATS sink (`subject`, `body`)."""
BEGIN = ChangeCursor(0, 0)
A = Repository("a")


async def events(registry: Registry, limit: int = 256) -> list[Event]:
    """Return all events, read in pages of about `limit` entries."""
    found: list[Event] = []
    cursor, more = BEGIN, True
    while more:
        page = await read_events(registry.catalog, cursor, limit)
        assert not page.gap
        found += page.events
        cursor, more = page.cursor, page.more
    return found


def told(found: list[Event]) -> list[tuple[str, str]]:
    """Return the last word of each type, and the reference."""
    return [(each.type.rpartition(".")[2], each.reference) for each in found]


async def replayed(body: dict[str, Any]) -> Event:
    """Do by commands what made zot send an event, and return ours."""
    registry, name = Registry(), Repository(body["name"])
    if "reference" not in body:
        await registry.catalog.do(PutBlob(repository=name, digest=digest_of(b"x"), content=b"x", by="admin"))
        return (await events(registry))[0]
    recorded = [each["body"].get("data", each["body"]) for each in RECORDED]
    content = next(each["manifest"] for each in recorded if each.get("digest") == body["digest"] and "manifest" in each)
    tags = [body["reference"]] if body["reference"] != body["digest"] else []
    digest = await registry.put_content(body["name"], content.encode(), *tags, by="admin")
    if "manifest" not in body:
        if tags:
            await registry.catalog.do(DeleteTag(repository=name, tag=Tag(tags[0]), by="admin"))
        else:
            await registry.catalog.do(RemoveManifest(repository=name, digest=digest, by="admin"))
    return (await events(registry))[-1]


@pytest.mark.parametrize("recorded", [each for each in RECORDED if "headers" in each])
async def test_http_events_are_those_of_zot(recorded: dict[str, Any]) -> None:
    """The same change gives the headers and data that zot sends; only the request is missing."""
    event = await replayed(recorded["body"])
    body = dict(recorded["body"])
    body.pop("request")
    manifest = body.get("manifest")
    ours = event.data(manifest)
    assert (ours, list(ours)) == (body, sorted(body))
    headers = binary_headers(event, "alerts")
    theirs = {name: value for name, value in recorded["headers"].items() if name.startswith(("Ce-", "Content-Type"))}
    assert headers.keys() == theirs.keys()
    for changing in ("Ce-Id", "Ce-Time"):
        assert type(headers.pop(changing)) is type(theirs.pop(changing))
    assert headers == theirs


@pytest.mark.parametrize("recorded", [each for each in RECORDED if "subject" in each])
async def test_nats_events_are_those_of_zot(recorded: dict[str, Any]) -> None:
    """The same change gives the JSON document that zot publishes; only the request is missing."""
    theirs = json.loads(json.dumps(recorded["body"]))
    event = await replayed(theirs["data"])
    theirs["data"].pop("request")
    ours = json.loads(event.structured(theirs["data"].get("manifest"), recorded["subject"]))
    for changing in ("id", "time"):
        assert type(ours.pop(changing)) is type(theirs.pop(changing))
    assert ours == theirs


async def test_a_push_is_an_event_for_each_of_its_tags() -> None:
    """A push by tags is an event a tag, one by digest an event of the digest, a repeated one none."""
    registry = Registry()
    digest = await registry.push("a", "1", "2")
    await registry.push("a", "1")
    child = await registry.put("a", image(b"[]"))
    top = await registry.put("a", index(child), "3")
    assert told(await events(registry)) == [
        ("created", ""),
        ("updated", "1"),
        ("updated", "2"),
        ("updated", child),
        ("updated", "3"),
    ]
    assert [each.digest for each in await events(registry)] == [None, digest, digest, child, top]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 256])
async def test_pages_do_not_change_the_events(limit: int) -> None:
    """However the log is cut into pages, the delete of a manifest with its tags is one event."""
    registry = Registry()
    digest = await registry.push("a", *map(str, range(10)))
    await registry.catalog.do(DeleteTag(repository=A, tag=Tag("3")))
    await registry.catalog.do(RemoveManifest(repository=A, digest=digest))
    await registry.push("b", "1")
    assert told(await events(registry, limit)) == [
        ("created", ""),
        *(("updated", str(each)) for each in range(10)),
        ("deleted", "3"),
        ("deleted", digest),
        ("created", ""),
        ("updated", "1"),
    ]


async def test_reading_on_before_an_event_gives_it_again() -> None:
    """From the place before any event all that follow are read, with the same ids."""
    registry = Registry()
    digest = await registry.push("a", "1", "2")
    await registry.catalog.do(RemoveManifest(repository=A, digest=digest))
    found = await events(registry)
    for number, each in enumerate(found):
        again = (await read_events(registry.catalog, each.before)).events
        assert [event.id for event in again] == [event.id for event in found[number:]]
    assert len({each.id for each in found}) == len(found)


async def test_a_reader_without_the_time_of_an_entry() -> None:
    """The number of an entry alone is a place to read on from."""
    registry = Registry()
    await registry.push("a", "1")
    first, second = await events(registry)
    page = await read_events(registry.catalog, ChangeCursor(first.sequence, None))
    assert [each.id for each in page.events] == [second.id]
    assert (await read_events(registry.catalog, ChangeCursor(99, None))).gap


@pytest.mark.parametrize("keep", [100, 7])
async def test_the_place_of_a_time(keep: int) -> None:
    """The place before a time is found by few reads, also in a log that was trimmed."""
    registry = Registry()
    for number in range(10):
        await registry.push("a", str(number))
    found = await events(registry)
    await registry.catalog.do(TrimChanges(older_than_s=3600, keep=keep))
    for each in found[-5:]:
        page = await read_events(registry.catalog, await cursor_before(registry.catalog, each.at_ns))
        assert page.events[0].id == each.id
    end = (await registry.catalog.changes(None, 1)).cursor
    assert await cursor_before(registry.catalog, found[-1].at_ns + 1) == end


async def test_changes_that_no_user_made_are_told_if_asked_for() -> None:
    """Collection, retention and sync send events where `include` names them, with the cause in the data."""
    registry = Registry()
    digest = await registry.push("a", "1", "2")
    retention, operator = ChangeSource.RETENTION, ChangeSource.OPERATOR
    await registry.catalog.do(DeleteTag(repository=A, tag=Tag("1"), by="expiry", source=retention))
    move = TagMove(Tag("1"))
    await registry.catalog.do(RestoreTag(repository=A, digest=digest, move=move, by="root", source=operator))
    expired, restored = (await events(registry))[-2:]
    assert (EventFilter().matches(expired), EventFilter(include=["retention"]).matches(expired)) == (False, True)
    assert (expired.data()["source"], "actor" in expired.data()) == ("retention", False)
    assert EventFilter().matches(restored)
    assert (restored.data()["source"], restored.data()["actor"]) == ("operator", {"name": "root"})


def event(kind: EventType = EventType.IMAGE_UPDATED, repository: str = "team/app") -> Event:
    """Return an event."""
    return Event(kind, 2, 5, ChangeCursor(1, 4), Repository(repository), ChangeSource.CLIENT, digest=Digest("sha256:0"))


def test_a_filter_is_a_condition_on_type_and_repository() -> None:
    """Types have zot's prefix or not, repositories are globs, and both have to match."""
    assert EventFilter(["image.updated", "zotregistry.image.deleted"], ["team/**"]).matches(event())
    assert not EventFilter(["image.deleted"]).matches(event())
    assert not EventFilter(repositories=["other/*", "team"]).matches(event())
    for types, include in ((["image.eaten"], []), ([], ["client"]), ([], ["moon"])):
        with pytest.raises(ValueError, match="use one of"):
            EventFilter(types, [], include)
