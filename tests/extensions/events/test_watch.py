"""The stream of events: what a client may read, from where it was, until the server stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from http_client import Client, wait_for
from layout.images import image
from zot.extensions.events.routes import watch
from zot.testing import RunningRegistry, serve

ACCESS = {
    "repositories": {
        "team/**": {"policies": [{"users": ["alice"], "actions": ["read"]}]},
        "open/**": {"anonymousPolicy": ["read"]},
    },
    "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry with users; each one's password is the name."""
    place = tmp_path_factory.mktemp("watch")
    lines = [f"{each}:{bcrypt.hashpw(each.encode(), bcrypt.gensalt(4)).decode()}\n" for each in ("admin", "alice")]
    place.joinpath("htpasswd").write_text("".join(lines))
    config = {
        "http": {"auth": {"htpasswd": {"path": str(place / "htpasswd")}}, "accessControl": ACCESS},
        "extensions": {"events": {"enable": True}},
    }
    with serve(place / "content", config) as registry:
        yield registry


@pytest.fixture
def admin(running: RunningRegistry) -> Client:
    """A client that may do everything."""
    return Client(running.host, user="admin:admin")


class Stream:
    """A stream that a client reads."""

    def __init__(self, response: HTTPResponse) -> None:
        self.id = ""
        self._response = response

    def next(self) -> dict[str, str]:
        """Return the fields of the next block."""
        fields: dict[str, str] = {}
        while line := self._response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        self.id = fields.get("id", self.id)
        return fields

    def event(self) -> dict[str, Any]:
        """Return the next event."""
        while "data" not in (fields := self.next()):
            assert fields, "the stream has ended"
        event: dict[str, Any] = json.loads(fields["data"])
        return event

    def image(self) -> str:
        """Return what the next event is about."""
        data = self.event()["data"]
        return f"{data['name']}:{data.get('reference', '')}"


@contextmanager
def watching(client: Client, query: str = "", **headers: str) -> Iterator[Stream]:
    """Watch during the block."""
    connection: HTTPConnection = client.connection()
    with closing(connection):
        connection.request("GET", watch.PATH + query, headers=client._headers | headers)
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream"), response.read()
        stream = Stream(response)
        assert stream.next()["retry"] == "1000"
        yield stream


def test_a_watcher_sees_what_happens(admin: Client) -> None:
    """Each event comes as the CloudEvent that a sink gets, without the text of the manifest."""
    with watching(admin) as stream:
        digest = admin.push("team/seen", image("seen"), "1")
        created, updated = stream.event(), stream.event()
    assert created["type"] == "zotregistry.repository.created"
    assert created["data"] == {"actor": {"name": "admin"}, "name": "team/seen"}
    assert updated["type"] == "zotregistry.image.updated"
    assert updated["data"] == {
        "actor": {"name": "admin"},
        "digest": digest,
        "mediaType": image("seen").media_type,
        "name": "team/seen",
        "reference": "1",
    }


def test_a_watcher_that_connects_again_misses_nothing(admin: Client) -> None:
    """It continues after the last event that it has got, by Last-Event-ID or by the number of its entry."""
    with watching(admin) as stream:
        admin.push("team/again", image("again"), "1", "2")
        assert [stream.image() for _ in range(2)] == ["team/again:", "team/again:1"]
        last = stream.id
    admin.push("team/again", image("again"), "3")
    with watching(admin, **{"Last-Event-ID": last}) as stream:
        assert [stream.image() for _ in range(2)] == ["team/again:2", "team/again:3"]
    with watching(admin, f"?since={last.partition('-')[0]}") as stream:
        assert [stream.image() for _ in range(2)] == ["team/again:2", "team/again:3"]


def test_a_watcher_sees_only_what_it_may_read(running: RunningRegistry, admin: Client) -> None:
    """Access control decides on each event, for a user and for an anonymous client."""
    with watching(Client(running.host, user="alice:alice")) as alice, watching(Client(running.host)) as anonymous:
        for name in ("secret/app", "team/app", "open/app"):
            admin.push(name, image("app"), "1")
        admin.push("team/end", image("app"), "1")
        admin.push("open/end", image("app"), "1")
        assert [alice.image() for _ in range(4)] == ["team/app:", "team/app:1", "team/end:", "team/end:1"]
        assert [anonymous.image() for _ in range(4)] == ["open/app:", "open/app:1", "open/end:", "open/end:1"]


def test_a_mount_creates_a_repository(admin: Client) -> None:
    """A repository that the mount of a blob creates has its creator, too."""
    digest = admin.push_blob("team/from", b"mounted")
    with watching(admin) as stream:
        answer = admin.ask("POST", f"/v2/team/to/blobs/uploads/?mount={digest}&from=team/from")
        assert answer.status == 201
        assert stream.event()["data"] == {"actor": {"name": "admin"}, "name": "team/to"}


def test_a_watcher_chooses_events(admin: Client) -> None:
    """By type, repository and source, as a sink does."""
    with watching(admin, "?type=image.deleted&type=image.updated&repository=team/c*") as stream:
        admin.push("team/chosen", image("c"), "1")
        admin.push("team/other", image("c"), "1")
        assert admin.ask("DELETE", "/v2/team/chosen/manifests/1").status == 202
        assert [stream.image() for _ in range(2)] == ["team/chosen:1", "team/chosen:1"]


@pytest.mark.parametrize(
    "query",
    [
        "?since=x",
        "?since=1-",
        "?since=1-2-3",
        f"?since={2**63}",
        f"?since=1-{2**63}",
        "?type=image.eaten",
        "?include=client",
    ],
)
def test_a_wrong_query_is_refused(admin: Client, query: str) -> None:
    """With the reason, before anything is sent."""
    assert admin.get(watch.PATH + query).error == (400, "UNSUPPORTED")


def test_a_place_that_the_log_does_not_have_is_a_gap(admin: Client) -> None:
    """The client learns that it has to look at the tags, and continues from now on."""
    with watching(admin, "?since=999999999") as stream:
        assert stream.next()["event"] == "gap"
        admin.push("team/gap", image("gap"), "1")
        assert stream.image() == "team/gap:"


def test_a_silent_stream_has_a_heartbeat(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the place, too, so that a client does not read again what does not concern it."""
    monkeypatch.setattr(watch, "HEARTBEAT_S", 0.05)
    with watching(admin, "?repository=none") as stream:
        before = stream.id
        admin.push("team/heart", image("heart"), "1")
        while stream.id == before:
            assert set(stream.next()) == {"", "id"}


def test_a_stream_ends_after_a_while(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client connects again, so that rights that were taken away end."""
    monkeypatch.setattr(watch, "AGE_S", 0.05)
    with watching(admin) as stream:
        assert stream.next() == {}


def test_watchers_are_bounded(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the limit gets 503, and a watcher that goes makes room for another."""
    monkeypatch.setattr(watch, "HEARTBEAT_S", 0.02)  # writing shows that a client is gone
    monkeypatch.setattr(watch, "WATCHERS", 1)

    def is_free() -> bool:
        with closing(admin.connection()) as connection:
            connection.request("HEAD", watch.PATH, headers=admin._headers)
            return connection.getresponse().status == 200

    wait_for(is_free)
    with watching(admin):
        assert admin.get(watch.PATH).error == (503, "UNAVAILABLE")
    wait_for(is_free)


def test_a_stop_ends_streams(tmp_path: Path) -> None:
    """A server that stops does not wait for its watchers."""
    with serve(tmp_path / "content", {"extensions": {"events": {"enable": True}}}) as registry:
        client = Client(registry.host)
        opened = watching(client)
        stream = opened.__enter__()
        client.push("a", image("a"), "1")
        assert stream.image() == "a:"
    assert stream.image() == "a:1"
    assert stream.next() == {}
    opened.__exit__(None, None, None)
