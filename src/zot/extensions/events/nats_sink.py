"""A sink by NATS: CloudEvents in structured mode, as zot sends them; to a stream of JetStream if configured."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from zot.extensions.events.event import SOURCE, Event
from zot.extensions.events.sink import DeliveryError, Failure
from zot.extensions.events.sink_tls import SinkTls

_MESSAGE_ID = "Nats-Msg-Id"
"""By which JetStream recognizes a message that is sent again."""
_CLOSE_S = 2.0
"""How long a connection may take to close: a server that reads nothing would hold it indefinitely."""

_log = logging.getLogger("zot.events")


class NatsSink:
    """Publishes each event on a subject, and waits until the server has it."""

    def __init__(
        self,
        url: str,
        subject: str,
        *,
        timeout_s: float = 30.0,
        username: str = "",
        password: str = "",
        credentials_file: str = "",
        tls: SinkTls | None = None,
        jetstream: bool = False,
    ) -> None:
        """Take the configuration; `url` may list several servers, with commas.

        `credentials_file` takes precedence over `username`, as in zot.

        With `jetstream` an event has arrived once a stream has stored it, else once the server has received it.
        """
        self._urls = url.split(",")
        self._subject = subject
        self._timeout_s = timeout_s
        self._timeout_whole_s = max(1, math.ceil(timeout_s))  # the library takes whole seconds
        self._tls = tls
        self._jetstream = jetstream
        if credentials_file:
            self._credentials: Mapping[str, str] = {"user_credentials": credentials_file}
        else:
            self._credentials = {"user": username, "password": password} if username else {}
        self._client: Client | None = None
        self._denied = ""
        self._connecting = asyncio.Lock()

    async def send(self, event: Event, manifest: str | None) -> None:
        """See `Sink`. A manifest that makes the message larger than the server accepts is left out."""
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._connected()
                message = event.structured(manifest, self._subject)
                if manifest is not None and len(message) > client.max_payload:
                    message = event.structured(None, self._subject)
                await self._publish(client, event, message)
        except TimeoutError as error:
            is_connected = self._client is not None and self._client.is_connected
            text, failure = f"it did not answer within {self._timeout_s:g} s", Failure.FAILED
            if self._denied or not is_connected:
                text, failure = (
                    self._denied or f"it cannot be reached within {self._timeout_s:g} s",
                    Failure.UNREACHABLE,
                )
            await self.close()
            raise DeliveryError(text, failure) from error
        except nats.errors.MaxPayloadError as error:
            raise DeliveryError("the event is larger than the server accepts", Failure.REFUSED) from error
        except nats.js.errors.NoStreamResponseError as error:
            raise DeliveryError(f"no stream of JetStream stores {self._subject}", Failure.UNREACHABLE) from error
        except nats.js.errors.ServiceUnavailableError as error:
            raise DeliveryError("JetStream is not available", Failure.UNREACHABLE) from error
        except nats.js.errors.Error as error:
            raise DeliveryError(f"JetStream has not stored it: {error}", Failure.FAILED) from error
        except (nats.errors.Error, OSError, ValueError) as error:
            if self._tls is not None:
                self._tls.forget()
            await self.close()
            text = str(error) or type(error).__name__
            raise DeliveryError(f"it cannot be reached: {text}", Failure.UNREACHABLE) from error

    async def close(self) -> None:
        """See `Sink`."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await client.close()

    async def _publish(self, client: Client, event: Event, message: bytes) -> None:
        if self._jetstream:
            stream = client.jetstream(timeout=self._timeout_s)
            await stream.publish(self._subject, message, headers={_MESSAGE_ID: event.id})
            return
        await client.publish(self._subject, message)
        # The server answers in the order of what it received, but the library sends the question before messages that
        # its buffer has: an answer would say nothing of them.
        pause_s = 0.0
        while client.pending_data_size and client.is_connected:
            await asyncio.sleep(pause_s)
            pause_s = 0.001
        await client.flush(timeout=self._timeout_whole_s)
        if self._denied:
            denied = self._denied
            await self.close()  # or what it denied on this connection would count for the next event
            raise DeliveryError(denied, Failure.UNREACHABLE)

    async def _connected(self) -> Client:
        """Return the connection, made if there is none. The library's own reconnecting would hide an outage."""
        async with self._connecting:
            client = self._client
            if client is not None and client.is_connected:
                return client
            await self.close()
            options: dict[str, Any] = dict(self._credentials)
            if self._tls is not None:
                options["tls"] = await self._tls.context()
            self._denied = ""
            client = Client()
            try:
                await client.connect(
                    self._urls,
                    name=SOURCE,
                    connect_timeout=self._timeout_whole_s,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # or connecting would be retried for two minutes
                    reconnect_time_wait=0,
                    error_cb=self._note_problem,
                    **options,
                )
            except BaseException:
                if client.options:  # else the URL is invalid, and there is nothing to close
                    await client.close()
                raise
            self._client = client
            return client

    async def _note_problem(self, error: Exception) -> None:
        """Note that the server denies to publish: it tells so beside its answers, and takes the next messages."""
        text = str(error)
        if "permissions violation" in text.lower():
            self._denied = f"it denies to publish: {text}"
        _log.debug("NATS: %s", text)
