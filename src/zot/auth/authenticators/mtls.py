"""Authenticates users by TLS client certificates, whose chain TLS has verified."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from zot.auth.principal import Principal
from zot.config.auth import MtlsConfig
from zot.config.regexes import compile_regex
from zot.config.rules.auth import IDENTITY_ATTRIBUTES
from zot.foundation.imports import LazyModule

if TYPE_CHECKING:
    from cryptography import x509
else:
    x509 = LazyModule("cryptography.x509")

_log = logging.getLogger("zot.auth")

DEFAULT_ATTRIBUTES = ("CommonName",)


class MtlsAuthenticator:
    """Takes the user name from the first configured attribute that a certificate has."""

    method = "mtls"

    def __init__(self, config: MtlsConfig | None) -> None:
        """Keep the settings; None: the common name. Raises ValueError if the URI pattern is invalid."""
        config = config or MtlsConfig()
        names = config.identity_attributes or DEFAULT_ATTRIBUTES
        self._attributes = [IDENTITY_ATTRIBUTES[name.strip().lower()] for name in names]
        self._config = config
        self._pattern = compile_regex(config.uri_san_pattern) if config.uri_san_pattern else None
        # Parsing takes 100 µs, and all requests of a connection have the same certificate.
        self.verify = lru_cache(maxsize=1024)(self._verify)

    def _verify(self, certificate: bytes) -> Principal | None:
        """Return the principal of the certificate (DER), None if no attribute names a user."""
        try:
            parsed = x509.load_der_x509_certificate(certificate)
            for attribute in self._attributes:
                name = self._value(parsed, attribute)
                if name and name.isprintable():
                    return Principal(name, self.method)
        except ValueError as error:
            _log.warning("a client certificate cannot be read: %s", error)
        return None

    def _value(self, certificate: x509.Certificate, attribute: str) -> str | None:
        config = self._config
        match attribute:
            case "CommonName":
                names = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
                return str(names[0].value) if names else None
            case "Subject":
                return certificate.subject.rfc4514_string() or None
            case "Email":
                return _nth(_alternatives(certificate, x509.RFC822Name), config.email_san_index)
            case "DNSName":
                return _nth(_alternatives(certificate, x509.DNSName), config.dns_san_index)
            case _:
                uri = _nth(_alternatives(certificate, x509.UniformResourceIdentifier), config.uri_san_index)
                return self._part(uri) if uri is not None and self._pattern is not None else uri

    def _part(self, uri: str) -> str | None:
        match: Any = self._pattern.search(uri) if self._pattern is not None else None
        return str(match.group(1) or "") if match is not None else None


def _alternatives(
    certificate: x509.Certificate,
    kind: type[x509.RFC822Name | x509.DNSName | x509.UniformResourceIdentifier],
) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(names.value.get_values_for_type(kind))


def _nth(values: list[str], index: int) -> str | None:
    return values[index] if index < len(values) else None
