"""TLS as a client: whom to believe, and the certificates to show to a host."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import click

AUTHORITY, CERTIFICATE, KEY = "ca.crt", "client.cert", "client.key"


def certificate_folders() -> list[Path]:
    """Return the folders that may have one for a host, the one to look into first first."""
    return [Path.home() / ".config" / "containers" / "certs.d", Path("/etc/containers/certs.d")]


def tls_context(host: str, *, verify: bool, folders: Sequence[Path]) -> ssl.SSLContext:
    """Return how to speak TLS to `host`, which is `name` or `name:port` as in its URL.

    The first of `folders` with anything for the host decides: its `ca.crt` is believed besides the system's
    authorities, and `client.cert` is shown, by `client.key`. Raises ClickException when that cannot be loaded.
    """
    context = ssl.create_default_context()
    # As all other clients do: from Python 3.13 on, private authorities would need extensions that many lack.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for folder in (each / host for each in folders):
        found = {name: folder / name for name in (AUTHORITY, CERTIFICATE, KEY) if (folder / name).is_file()}
        if found:
            _load(context, folder, found)
            break
    return context


def _load(context: ssl.SSLContext, folder: Path, found: dict[str, Path]) -> None:
    if (CERTIFICATE in found) != (KEY in found):
        raise click.ClickException(f"{folder} has only one of {CERTIFICATE} and {KEY}")
    try:
        if AUTHORITY in found:
            context.load_verify_locations(found[AUTHORITY])
        if CERTIFICATE in found:
            # A key that needs a password is an error: zli may run without a terminal.
            context.load_cert_chain(found[CERTIFICATE], found[KEY], password="")
    except OSError as error:  # ssl.SSLError is one
        raise click.ClickException(f"the certificates in {folder} cannot be loaded: {error.strerror}") from error
