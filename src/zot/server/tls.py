"""TLS for the listeners: certificates that can be renewed while serving."""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from zot.config.http import HttpConfig
from zot.config.parse import read_content

_log = logging.getLogger("zot.tls")

# TLS 1.2 with forward secrecy and authenticated encryption; TLS 1.3 brings its own.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_DESCRIPTORS = Path("/proc/self/fd")


class TlsError(Exception):
    """The certificate, its key or the authorities cannot be used."""


@dataclass(frozen=True, slots=True)
class Pem:
    """The content of the files of `http.tls`."""

    cert: bytes
    key: bytes
    authorities: bytes | None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of `http.tls`."""

    cert: Path
    key: Path
    authorities: Path | None

    @classmethod
    def of(cls, http: HttpConfig) -> TlsFiles | None:
        """Return the files that a configuration names, None if there is no HTTPS."""
        tls = http.tls
        if tls is None or not tls.cert:
            return None
        return cls(Path(tls.cert), Path(tls.key), Path(tls.cacert) if tls.cacert else None)

    @property
    def watched(self) -> tuple[Path, ...]:
        """The files whose changes are followed."""
        return (self.cert, self.key)

    def read(self, read: Callable[[Path], bytes] = read_content) -> Pem:
        """Read the files. Raises TlsError, which names the file, also if they cannot be used together."""
        pem = Pem(
            _read("cert", self.cert, read),
            _read("key", self.key, read),
            None if self.authorities is None else _read("cacert", self.authorities, read),
        )
        self.check(pem)
        return pem

    def check(self, pem: Pem) -> ssl.SSLContext:
        """Return a context with this content, and without waiting for input. Raises TlsError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        # All ciphers are good, so the client takes the one that its machine is fastest at: AES-128 for those in Go.
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        self.load(context, pem)
        if pem.authorities is not None:
            try:
                with _as_file(pem.authorities) as path:
                    context.load_verify_locations(path)
            except ssl.SSLError as error:
                raise TlsError(
                    f"http.tls.cacert {self.authorities}: should be certificates in PEM form ({_reason(error)})"
                ) from error
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def load(self, context: ssl.SSLContext, pem: Pem) -> None:
        """Have new connections of a context use a certificate and its key. Raises TlsError."""

        def ask() -> NoReturn:
            # Without it OpenSSL asks on the terminal.
            raise TlsError(f"http.tls.key {self.key}: is encrypted; it should be a key without a password")

        try:
            with _as_file(pem.cert) as cert, _as_file(pem.key) as key:
                context.load_cert_chain(cert, key, ask)
        except ssl.SSLError as error:
            raise TlsError(self._why(pem, error)) from error

    def _why(self, pem: Pem, error: ssl.SSLError) -> str:
        if b"-----BEGIN CERTIFICATE" not in pem.cert and b"-----BEGIN TRUSTED" not in pem.cert:
            return f"http.tls.cert {self.cert}: should be a certificate in PEM form"
        if b"PRIVATE KEY-----" not in pem.key:
            return f"http.tls.key {self.key}: should be a private key in PEM form"
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"http.tls.key {self.key}: is not the key of the certificate {self.cert}"
        return f"http.tls.cert {self.cert}, http.tls.key {self.key}: cannot be used ({_reason(error)})"


class Certificates:
    """A server's certificate and key, and the authorities of its clients' certificates."""

    def __init__(self, files: TlsFiles, pem: Pem) -> None:
        """`pem` is the content of `files`. Clients' certificates are verified by its authorities.

        Raises TlsError.
        """
        self.files = files
        self.context = files.check(pem)

    def replace(self, pem: Pem) -> None:
        """Use another certificate for new connections. Raises TlsError, and the old one stays."""
        self.files.check(pem)  # on a context of its own first: half a pair would break the one in use
        self.files.load(self.context, pem)


def certificate_times(pem: Pem) -> tuple[datetime, datetime] | None:
    """Return the first and the last moment at which the server's certificate is valid; None if it cannot be read."""
    # Imported here: it takes longer than the rest of a start, and only HTTPS needs it.
    from cryptography import x509  # noqa: PLC0415

    try:
        certificate = x509.load_pem_x509_certificate(pem.cert)
    except ValueError:
        return None
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def validity_warning(pem: Pem) -> str:
    """Return why clients will refuse the certificate because of its dates, empty if they will not."""
    times, now = certificate_times(pem), datetime.now(UTC)
    if times is None:
        return ""
    if now > times[1]:
        return f"the certificate expired at {times[1]:%Y-%m-%d %H:%M} UTC: clients will refuse it"
    if now < times[0]:
        return f"the certificate is not valid before {times[0]:%Y-%m-%d %H:%M} UTC: clients will refuse it"
    return ""


def _read(key: str, path: Path, read: Callable[[Path], bytes]) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise TlsError(f"http.tls.{key} {path}: {error.strerror}") from error


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give content a path, since OpenSSL only reads files; where the kernel can, in memory."""
    if hasattr(os, "memfd_create") and _DESCRIPTORS.is_dir():
        with os.fdopen(os.memfd_create("pem"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"{_DESCRIPTORS}/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as named:
            named.write(content)
            named.flush()
            yield named.name
