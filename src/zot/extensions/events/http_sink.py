"""A sink by HTTP: CloudEvents in binary mode, as zot sends them, signed if a secret is configured."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp
import msgspec

from zot.config.rules.events import SECRET_PREFIX
from zot.extensions.events.event import CONTENT_TYPE, Event
from zot.extensions.events.sink import DeliveryError, Failure
from zot.extensions.events.sink_tls import SinkTls

_BUSY = frozenset({429, 502, 503, 504})
_ABOUT_THE_EVENT = frozenset({400, 413, 415, 422})
_CONNECTIONS = 8
_RETRY_AFTER_LIMIT_S = 3600.0
_REASON_LIMIT = 200
# What may stand in a header of CloudEvents without being encoded: printable characters but space, quote and percent.
_PLAIN = "".join(chr(each) for each in range(0x21, 0x7F) if chr(each) not in '"%')


class HttpSink:
    """POSTs each event to an URL; any status 2xx accepts it. Redirects are not followed."""

    def __init__(
        self,
        url: str,
        *,
        channel: str = "",
        timeout_s: float = 30.0,
        headers: Mapping[str, str] | None = None,
        username: str = "",
        password: str = "",
        token: str = "",
        tls: SinkTls | None = None,
        proxy: str | None = None,
        keys: Sequence[bytes] = (),
    ) -> None:
        """Take the configuration; `keys` sign, all of them, so that a receiver can change its secret.

        Without `proxy` that of the environment is used, as in zot.
        """
        self._url = url
        self._channel = channel
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._headers = {**(headers or {}), **_authorization(username, password, token)}
        self._tls = tls
        self._proxy = proxy or None
        self._keys = keys
        self._client: aiohttp.ClientSession | None = None

    async def send(self, event: Event, manifest: str | None) -> None:
        """See `Sink`."""
        body = msgspec.json.encode(event.data(manifest))
        headers = {
            **self._headers,
            **binary_headers(event, self._channel),
            **signature_headers(event, body, self._keys),
        }
        if self._client is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
            self._client = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, trust_env=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._client.post(
                self._url,
                data=body,
                headers=headers,
                proxy=self._proxy,
                ssl=await self._tls.context() if self._tls is not None else True,
                allow_redirects=False,  # credentials and content are for this address alone
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except aiohttp.ClientConnectorError as error:
            if self._tls is not None:
                self._tls.forget()
            raise DeliveryError(f"it cannot be reached: {error}", Failure.UNREACHABLE) from error
        except TimeoutError as error:
            raise DeliveryError(f"it did not answer within {self._timeout.total:g} s", Failure.FAILED) from error
        except aiohttp.ClientHttpProxyError as error:
            raise DeliveryError(f"its proxy answered with status {error.status}", Failure.UNREACHABLE) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError(f"the request failed: {_reason(error)}", Failure.FAILED) from error
        if not 200 <= status < 300:
            raise _refusal(status, retry_after)

    async def close(self) -> None:
        """See `Sink`."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            await asyncio.sleep(0)  # connections are closed in the next turn of the loop


def _authorization(username: str, password: str, token: str) -> dict[str, str]:
    """Return the header of the credentials; a user name takes precedence, as in zot."""
    if username:
        return {"Authorization": f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}


def binary_headers(event: Event, channel: str = "") -> dict[str, str]:
    """Return the headers of an event in binary mode."""
    attributes = event.attributes(quote(channel, safe=_PLAIN))
    return {**{f"Ce-{name.capitalize()}": value for name, value in attributes.items()}, "Content-Type": CONTENT_TYPE}


def signature_headers(event: Event, body: bytes, keys: Sequence[bytes], now_s: float | None = None) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each key; none without a key."""
    if not keys:
        return {}
    sent_s = str(int(time.time() if now_s is None else now_s))
    signed = b".".join((event.id.encode(), sent_s.encode(), body))
    signatures = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": event.id,
        "webhook-timestamp": sent_s,
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }


def signing_key(secret: str) -> bytes:
    """Return the key of a secret: base64 after `whsec_`, else the text itself. Raises ValueError."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)


def _reason(error: Exception) -> str:
    """Return why a request failed, without its URL, which may have credentials: operators and logs see the text."""
    if isinstance(error, aiohttp.InvalidURL):
        return "the URL is invalid"
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return " ".join(text.split())[:_REASON_LIMIT] or type(error).__name__


def _refusal(status: int, retry_after: str) -> DeliveryError:
    if status in _BUSY:
        failure = Failure.UNREACHABLE
    elif status in _ABOUT_THE_EVENT:
        failure = Failure.REFUSED
    else:
        failure = Failure.FAILED
    return DeliveryError(f"it answered with status {status}", failure, _retry_after_s(retry_after))


def _retry_after_s(text: str) -> float:
    """Return the seconds of a Retry-After header, a number or a date, within a limit; 0 for none."""
    try:
        seconds = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _RETRY_AFTER_LIMIT_S)
