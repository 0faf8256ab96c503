"""TLS for the listeners: certificates that can be renewed while serving."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

_log = logging.getLogger("zot.tls")

# TLS 1.2 with forward secrecy and authenticated encryption; TLS 1.3 brings its own.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class CannotServeTls(Exception):
    """The certificate, its key or the authorities cannot be used."""


class Certificates:
    """A server's certificate and key, and the authorities of its clients' certificates."""

    def __init__(self, cert: Path, key: Path, authorities: Path | None) -> None:
        """Load them. With `authorities`, clients that present a certificate have it verified. Raises CannotServeTls."""
        self._cert, self._key, self._authorities = cert, key, authorities
        self.context = self._load()

    def reload(self) -> bool:
        """Use the files' present content for connections to come; False: it is unusable, the old one stays."""
        try:
            # Try on a context of its own first: half a renewed pair would otherwise break the one in use.
            self._load()
            self.context.load_cert_chain(self._cert, self._key)
        except (CannotServeTls, OSError, ssl.SSLError) as error:
            _log.error("certificate not reloaded, the old one stays: %s", error)
            return False
        _log.info("certificate reloaded from %s", self._cert)
        return True

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files to watch."""
        return (self._cert, self._key)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._cert, self._key)
        except (OSError, ssl.SSLError) as error:
            raise CannotServeTls(f"http.tls.cert {self._cert}, http.tls.key {self._key}: {error}") from error
        if self._authorities is not None:
            try:
                context.load_verify_locations(self._authorities)
            except (OSError, ssl.SSLError) as error:
                raise CannotServeTls(f"http.tls.cacert {self._authorities}: {error}") from error
            context.verify_mode = ssl.CERT_OPTIONAL
        return context
