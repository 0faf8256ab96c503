"""The TLS context of a sink, from the files of its configuration."""

from __future__ import annotations

import ssl

from zot.extensions.events.sink import DeliveryError, Failure
from zot.foundation.threads import ThreadPool


class SinkTls:
    """Certificates by which a sink and the server know each other, read at the first delivery."""

    def __init__(self, ca_file: str, cert_file: str, key_file: str, threads: ThreadPool) -> None:
        """Take the paths of PEM files; an empty `ca_file` stands for the system's authorities."""
        self._ca_file = ca_file
        self._cert_file = cert_file
        self._key_file = key_file
        self._threads = threads
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """Return the context. Raises DeliveryError if a file cannot be read: it may come later."""
        if self._context is None:
            try:
                self._context = await self._threads.run(self._load)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                text = f"its certificates cannot be read: {error}"
                raise DeliveryError(text, Failure.UNREACHABLE) from error
        return self._context

    def forget(self) -> None:
        """Read the files again at the next delivery: a connection failed, and they may have been renewed."""
        self._context = None

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca_file or None)
        if self._cert_file:
            context.load_cert_chain(self._cert_file, self._key_file or None)
        return context
