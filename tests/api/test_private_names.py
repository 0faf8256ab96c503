"""Private names of libraries that the product uses: which, where, and that they are still there.

pyproject.toml has an upper bound for both libraries. Raise it once these tests pass with the new version.
"""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server
from prometheus_client import CollectorRegistry, Histogram, Summary, values

SOURCE = Path(__file__).resolve().parents[2] / "src" / "zot"

# (module below src/zot, name): what it is there for.
PRIVATE_NAMES = {
    ("api/connection.py", "_connections"): "aiohttp Server: counts the open connections, and closes idle ones",
    ("api/connection.py", "_loop"): "aiohttp Server and RequestHandler: the event loop's clock and timers",
    ("api/connection.py", "_manager"): "aiohttp RequestHandler: its Server, which tells whether the registry drains",
    ("api/protocol.py", "_buffer_paused"): "aiohttp BaseProtocol: whether the parser may have read ahead",
    ("api/protocol.py", "_task_handler"): "aiohttp RequestHandler: the task that serves the requests",
    ("api/protocol.py", "_manager"): "aiohttp RequestHandler: its Server, which counts the requests of all connections",
    ("api/protocol.py", "_messages"): "aiohttp RequestHandler: the requests that wait, each with its body",
    ("api/protocol.py", "_reading_paused"): "aiohttp BaseProtocol: whether the parser may have read ahead",
    ("api/protocol.py", "_request_count"): "aiohttp RequestHandler: the requests of one connection",
    ("api/protocol.py", "_upgraded"): "aiohttp BaseProtocol: whether what comes is no HTTP",
    ("api/metrics/metrics.py", "_buckets"): "prometheus Histogram: adds many observations at once",
    ("api/metrics/metrics.py", "_count"): "prometheus Summary: adds many observations at once",
    ("api/metrics/metrics.py", "_sum"): "prometheus Histogram and Summary: adds many observations at once",
}
LIBRARIES = ("aiohttp", "prometheus_client")
PUBLIC_NAMES = {"_replace"}  # documented, of named tuples


def used_private_names() -> set[tuple[str, str]]:
    """Return each private attribute that a module with one of the libraries reads and does not define itself."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        imported += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        if not any(name.partition(".")[0] in LIBRARIES for name in imported):
            continue
        read, defined = set(), set(PUBLIC_NAMES)
        for node in nodes:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    defined.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Attribute(attr=name, ctx=ast.Store()):
                    defined.add(name)
                case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                    read.add(name)
                case _:
                    pass
        found |= {(path.relative_to(SOURCE).as_posix(), name) for name in read - defined}
    return found


def test_every_private_name_is_in_the_table() -> None:
    """A new use of a private name is written into PRIVATE_NAMES, with its reason and a test that it exists."""
    assert used_private_names() == set(PRIVATE_NAMES)


async def test_aiohttp_server_has_the_names_of_connection_py() -> None:
    """`Server._connections` holds the connections and `Server._loop` the loop; without them change connection.py."""
    server = Server(lambda request: pytest.fail(str(request)))
    assert len(server._connections) == 0
    assert callable(server._loop.time)
    assert server.requests_count == 0


async def test_aiohttp_protocol_has_the_names_of_protocol_py() -> None:
    """RequestHandler keeps messages, its server and its count; without them change protocol.py and connection.py."""
    server = Server(lambda request: pytest.fail(str(request)))
    protocol = server()
    assert len(protocol._messages) == 0
    assert protocol._manager is server
    assert protocol._request_count == 0
    assert (protocol._upgraded, protocol._reading_paused, protocol._buffer_paused) == (False, False, False)
    assert protocol._parser is not None  # another one takes its place after a body that it does not see
    assert callable(protocol._loop.call_later)


@pytest.mark.parametrize(
    "method", ["connection_lost", "connection_made", "data_received", "eof_received", "handle_error", "log_access"]
)
def test_aiohttp_protocol_has_the_methods_that_are_overridden(method: str) -> None:
    """A method that aiohttp no longer calls would be dead code in protocol.py or connection.py."""
    assert callable(getattr(RequestHandler, method))


def test_aiohttp_requests_have_the_hook_of_http_request_py() -> None:
    """aiohttp calls `_prepare_hook` before it sends headers; without it no response has the common ones."""
    assert inspect.iscoroutinefunction(web.BaseRequest._prepare_hook)
    assert "_prepare_hook" in inspect.getsource(web.StreamResponse._start)


@pytest.mark.parametrize("kind", [Histogram, Summary])
def test_prometheus_metrics_have_the_names_of_metrics_py(kind: Callable[..., Histogram | Summary]) -> None:
    """Values added to `_sum`, and to `_buckets` or `_count`, are what is collected; else change metrics.py."""
    registry = CollectorRegistry()
    metric = kind("a", "A.", registry=registry)
    metric._sum.inc(2.5)
    if isinstance(metric, Histogram):
        metric._buckets[-1].inc(3)
    else:
        metric._count.inc(3)
    assert (registry.get_sample_value("a_sum"), registry.get_sample_value("a_count")) == (2.5, 3)


def test_prometheus_values_can_be_kept_in_files() -> None:
    """`values.ValueClass` decides where a new metric keeps its values; without it change metrics/registry.py."""
    assert callable(values.ValueClass)
    assert callable(values.MultiProcessValue)
