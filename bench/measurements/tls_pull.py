"""How fast a large blob is served over TLS."""

from collections.abc import Iterator

from bench.context import Context
from bench.figures import Figure
from bench.measurements import blob_pull
from bench.registries import Setup
from certificates import Authority


def measure(context: Context) -> Iterator[Figure]:
    """Pull one blob over TLS, by one connection, then by four at once; the client deciphers all of it."""
    certificate = Authority(context.folder).issue("server", hosts=["127.0.0.1", "localhost"])
    yield from blob_pull.figures(context, Setup(certificate=certificate), "TLS blob pull", "≥ 0.4")
