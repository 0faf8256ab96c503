"""`/v2/_zot/ext/events`: events as they happen, as server-sent events of the HTML standard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from aiohttp import HttpVersion11, web

from zot.api.body import SlowClientError
from zot.api.build import transfer_limits
from zot.api.connection import Connection
from zot.api.http_request import Handler, HttpRequest
from zot.api.query import QueryFields, QueryInvalid
from zot.auth.decision import RequestContext
from zot.auth.principal import Principal
from zot.catalog.change_log import ChangeCursor
from zot.extensions.declaration import HttpContext
from zot.extensions.events.change_reader import EventPage, read_events
from zot.extensions.events.event_filter import EventFilter
from zot.registry.errors import Unavailable
from zot.registry.request import WatchEvents

PATH = "/v2/_zot/ext/events"
WATCHERS = 100
"""Streams of one process at once."""
POLL_S = 0.25
"""How often the change log is looked at while it has nothing new, whatever the number of streams."""
HEARTBEAT_S = 15.0
"""The longest silence of a stream: proxies and clients take a longer one for a lost connection."""
AGE_S = 300.0
"""After which a stream ends: the client connects again, and its credentials are looked at again."""
_PAGE = 100
_RETRY_MS = 1000
_LAST = 2**63 - 1
"""The greatest number of an entry, and its latest time, in nanoseconds."""
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # or nginx would collect events
}


def watch(context: HttpContext) -> Handler:
    """Return the handler of GET `[?since=SEQUENCE][&type=TYPE][&repository=GLOB][&include=SOURCE]`."""
    return _Watch(context).get


class _Watch:
    def __init__(self, context: HttpContext) -> None:
        self._catalog = context.registry.catalog
        self._authorizer = context.authorizer
        self._policy = context.policy
        self._limits = transfer_limits(context.config.http)
        self._watchers = 0
        self._end_sequence = -1
        self._looked_s = 0.0

    async def get(self, http: HttpRequest) -> web.StreamResponse:
        """Send what happens and the principal may read, until the client goes, the server stops, or `AGE_S` is over."""
        query = QueryFields(http)
        try:
            wanted = EventFilter(query.all("type"), query.all("repository"), query.all("include"))
        except ValueError as error:
            raise QueryInvalid(str(error)) from None
        since = _cursor(http.headers.get("Last-Event-ID") or query.one("since"))
        http.request = WatchEvents()
        call = await self._authorizer.authorize(http, http.request)
        with self._counted():
            cursor = since or (await self._catalog.changes(None, 1)).cursor
            response = web.StreamResponse(headers=_HEADERS)
            if http.version < HttpVersion11:
                response.force_close()
            await response.prepare(http)
            if http.method != "HEAD":
                async for piece in self._pieces(http, cursor, wanted, call.principal, call.context):
                    await self._write(http, response, piece)
            await response.write_eof()
            return response

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._watchers >= WATCHERS:
            raise Unavailable("too many clients watch events", retry_after_s=10)
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    async def _pieces(
        self,
        http: HttpRequest,
        cursor: ChangeCursor,
        wanted: EventFilter,
        principal: Principal,
        context: RequestContext,
    ) -> AsyncIterator[bytes]:
        """Iterate over the pieces of a stream; each tells the client where to continue."""
        now = asyncio.get_running_loop().time
        ends_s = now() + AGE_S
        silent_from_s = now()
        yield f"retry: {_RETRY_MS}\nid: {_id(cursor)}\n\n".encode()
        while now() < ends_s and not _ends(http):
            page = await self._page(cursor)
            cursor = page.cursor
            piece = b""
            if page.gap:
                piece = f"event: gap\nid: {_id(cursor)}\ndata: {{}}\n\n".encode()
            for event in page.events:
                if wanted.matches(event) and self._policy.readable(principal, event.repository, context):
                    piece += b"id: %s\ndata: %s\n\n" % (_id(event.cursor).encode(), event.structured())
            if not piece and now() - silent_from_s >= HEARTBEAT_S:
                piece = f": nothing new\nid: {_id(cursor)}\n\n".encode()
            if piece:
                yield piece
                silent_from_s = now()
            if not page.more:
                await asyncio.sleep(POLL_S)

    async def _page(self, cursor: ChangeCursor) -> EventPage:
        """Read on; streams at the end of the log share one look at it."""
        now_s = asyncio.get_running_loop().time()
        if cursor.sequence == self._end_sequence and now_s < self._looked_s + POLL_S:
            return EventPage((), cursor, gap=False, more=False)
        page = await read_events(self._catalog, cursor, _PAGE)
        if page.cursor == cursor:
            self._end_sequence, self._looked_s = cursor.sequence, now_s
        return page

    async def _write(self, http: HttpRequest, response: web.StreamResponse, piece: bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.taking_idle_s):
                await response.write(piece)
        except TimeoutError as error:
            raise SlowClientError(f"the client read nothing for {self._limits.taking_idle_s} s") from error
        http.sent_bytes += len(piece)


def _ends(http: HttpRequest) -> bool:
    """Tell whether the client is gone, or the server stops."""
    transport = http.transport
    if transport is None or transport.is_closing():
        return True
    return isinstance(http.protocol, Connection) and http.protocol.draining


def _id(cursor: ChangeCursor) -> str:
    """Return the id of a place in the log: the number of its entry, and the time, if it is known."""
    return str(cursor.sequence) if cursor.at_ns is None else f"{cursor.sequence}-{cursor.at_ns}"


def _cursor(text: str) -> ChangeCursor | None:
    """Return the place of an id, or of the number of an entry; None for an empty text. Raises QueryInvalid."""
    if not text:
        return None
    number, dash, time = text[:64].partition("-")
    parts = (number, time) if dash else (number,)
    if not all(each.isascii() and each.isdecimal() and int(each) <= _LAST for each in parts):
        raise QueryInvalid(f"since={text[:64]!r} is neither the number of an entry nor the id of an event")
    return ChangeCursor(int(number), int(time) if dash else None)
