"""TLS to an upstream: whose certificates are believed, and which one is shown."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from zot.upstream.errors import UpstreamError

SYSTEM_FOLDER = Path("/etc/containers/certs.d")
"""Has a folder for each host, as for podman and skopeo."""


def tls_context(host: str, *, verify: bool, folder: str) -> ssl.SSLContext:
    """Return the settings for a host, `name` or `name:port`. It blocks. Raises UpstreamError.

    `folder` has authorities (`*.crt`), which are believed besides the system's, and a client certificate with its key
    (`*.cert`, `*.key`); empty: the host's own below SYSTEM_FOLDER, if there is one.
    """
    context = ssl.create_default_context()
    # As all other clients do: from Python 3.13 on, private authorities would need extensions that many lack.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    path = Path(folder) if folder else SYSTEM_FOLDER / host
    try:
        if folder or path.is_dir():
            _load(context, sorted(path.iterdir()))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise UpstreamError(f"the certificates in {path} cannot be used: {error}", retry_after_s=60) from error
    return context


def _load(context: ssl.SSLContext, files: Sequence[Path]) -> None:
    for authority in (each for each in files if each.suffix == ".crt"):
        context.load_verify_locations(authority)
    for certificate in (each for each in files if each.suffix == ".cert"):
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
