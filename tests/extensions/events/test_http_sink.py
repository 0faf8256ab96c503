"""What an HTTP sink sends: zot's headers and credentials, and signatures that a receiver can verify."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Authority
from extensions.events.receiver import Received, Receiver
from zot.catalog.change_log import ChangeCursor
from zot.catalog.command import ChangeSource
from zot.extensions.events.event import Event, EventType
from zot.extensions.events.http_sink import HttpSink, signature_headers, signing_key
from zot.extensions.events.sink import DeliveryError, Failure
from zot.extensions.events.sink_tls import SinkTls
from zot.foundation.threads import ThreadPool
from zot.oci.names import Repository

EVENT = Event(EventType.REPOSITORY_CREATED, 7, 10**18, ChangeCursor(6, 1), Repository("a"), ChangeSource.CLIENT, "me")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver of events."""
    with Receiver() as running:
        yield running


async def sent(receiver: Receiver, sink: HttpSink) -> Received:
    """Send an event, and return what arrives."""
    await sink.send(EVENT, None)
    await sink.close()
    return receiver.received[-1]


async def failure(sink: HttpSink) -> DeliveryError:
    """Send an event that does not arrive, and return why."""
    with pytest.raises(DeliveryError) as caught:
        await sink.send(EVENT, None)
    await sink.close()
    return caught.value


async def test_an_event_is_a_cloud_event_in_binary_mode(receiver: Receiver) -> None:
    """Attributes are headers, the data is the body, and configured headers are added."""
    sink = HttpSink(receiver.url, channel="alerts ä", headers={"X-Tenant": "t"}, username="u", password="p", token="t")
    received = await sent(receiver, sink)
    headers = received.headers
    assert received.data == {"actor": {"name": "me"}, "name": "a"}
    assert headers["Ce-Id"] == EVENT.id
    assert headers["Ce-Time"] == "2001-09-09T01:46:40Z"
    assert (headers["Ce-Specversion"], headers["Ce-Source"]) == ("1.0", "zotregistry.dev")
    assert (headers["Ce-Type"], headers["Ce-Channel"]) == ("zotregistry.repository.created", "alerts%20%C3%A4")
    assert headers["Content-Type"] == "application/json"
    assert (headers["X-Tenant"], headers["Authorization"]) == ("t", "Basic dTpw")
    assert headers["webhook-signature"] is None


async def test_a_token_is_sent_without_a_user_name(receiver: Receiver) -> None:
    """A bearer token is used if there is no user name; each sink has its own channel, or none."""
    received = await sent(receiver, HttpSink(receiver.url, token="t"))
    assert (received.headers["Authorization"], received.headers["Ce-Channel"]) == ("Bearer t", None)


async def test_signatures_are_those_of_standard_webhooks(receiver: Receiver) -> None:
    """Each secret signs id, time and body, so that a receiver knows the sender and refuses what is old."""
    keys = [signing_key("whsec_" + base64.b64encode(b"one").decode()), signing_key("two")]
    received = await sent(receiver, HttpSink(receiver.url, keys=keys))
    headers = received.headers
    signed = f"{EVENT.id}.{headers['webhook-timestamp']}.".encode() + received.body
    expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in (b"one", b"two")]
    assert headers["webhook-signature"] == " ".join(f"v1,{each}" for each in expected)
    assert headers["webhook-id"] == EVENT.id


def test_a_known_signature() -> None:
    """The signature of the specification's example."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    expected = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() == expected
    body = b"{}"
    ours = signature_headers(EVENT, body, [key], now_s=5.9)
    same = hmac.digest(key, f"{EVENT.id}.5.".encode() + body, hashlib.sha256)
    assert ours["webhook-signature"] == f"v1,{base64.b64encode(same).decode()}"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Failure.REFUSED),
        (401, Failure.FAILED),
        (302, Failure.FAILED),
        (500, Failure.FAILED),
        (429, Failure.UNREACHABLE),
        (503, Failure.UNREACHABLE),
    ],
)
async def test_what_a_status_says(receiver: Receiver, status: int, expected: Failure) -> None:
    """A status tells whether the event or the sink is the reason; a redirect is not followed."""
    receiver.answer = lambda _: status
    error = await failure(HttpSink(receiver.url))
    assert (error.failure, str(error)) == (expected, f"it answered with status {status}")
    assert len(receiver.received) == 1


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("999999", 3600.0), ("soon", 0.0), ("-1", 0.0)])
async def test_a_sink_may_ask_to_be_left_alone(receiver: Receiver, text: str, seconds: float) -> None:
    """Retry-After is obeyed, within a limit."""

    def busy(request: Received) -> int:
        request.answer_headers["Retry-After"] = text
        return 503

    receiver.answer = busy
    assert (await failure(HttpSink(receiver.url))).retry_after_s == seconds


async def test_a_sink_that_cannot_be_reached() -> None:
    """A refused connection says nothing about the event."""
    with Receiver() as closed:
        url = closed.url
    error = await failure(HttpSink(url))
    assert error.failure is Failure.UNREACHABLE


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_reason_has_no_credentials(scheme: str) -> None:
    """What a server that speaks no HTTP makes of a request is told without the URLs of sink and proxy."""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 welcome\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(garbage, "127.0.0.1", 0) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        direct = await failure(HttpSink(f"http://u:secret@{place}/x?token=secret"))
        by_proxy = await failure(HttpSink(f"{scheme}://{place}/x?token=secret", proxy=f"http://u:secret@{place}"))
    for error in (direct, by_proxy):
        assert str(error)
        assert "secret" not in str(error)
        assert "\n" not in str(error)


async def test_a_proxy_gets_the_request() -> None:
    """With `proxy` the request goes to the proxy, with the sink's URL."""
    with Receiver() as proxy:
        await sent(proxy, HttpSink("http://sink.example/x", proxy=f"http://127.0.0.1:{proxy.port}"))
        assert proxy.received[0].path == "http://sink.example/x"


async def test_certificates(authority: Authority, tmp_path: Path) -> None:
    """The sink is verified by the configured CAs alone; files that come later are read then."""
    threads = ThreadPool("events", 1, 8)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    with Receiver(context) as receiver:
        assert (await failure(HttpSink(receiver.url))).failure is Failure.UNREACHABLE
        missing = SinkTls(str(tmp_path / "ca.crt"), "", "", threads)
        assert "certificates cannot be read" in str(await failure(HttpSink(receiver.url, tls=missing)))
        (tmp_path / "ca.crt").write_bytes(authority.path.read_bytes())
        await sent(receiver, HttpSink(receiver.url, tls=missing))
        assert len(receiver.accepted) == 1
    threads.close()
