"""Operations, routes and commands are in the reference."""

from __future__ import annotations

import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from zot.api import health, image_diff, tag_history
from zot.api.auth import apikey, explain, login, token
from zot.extensions.events.routes import watch
from zot.extensions.search.graphql.schema import query_type
from zot.extensions.search.routes import graphql, management, preferences, usage
from zot.registry.request import Request

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"


def operations(kind: type[Request] = Request) -> Iterator[str]:
    """Yield the names of all operations of the API."""
    for each in kind.__subclasses__():
        if "operation" in vars(each) and each.__module__ == Request.__module__:
            yield each.operation
        yield from operations(each)


@pytest.mark.parametrize("operation", sorted(set(operations())))
def test_every_operation_is_in_the_reference(operation: str) -> None:
    """Logs and metrics name operations: the page of the API describes each of them."""
    assert f"`{operation}`" in (REFERENCE / "api.md").read_text()


@pytest.mark.parametrize(
    "module",
    [apikey, explain, login, token, health, tag_history, image_diff, graphql, management, preferences, usage, watch],
    ids=lambda each: each.__name__,
)
def test_every_other_route_is_in_the_reference(module: ModuleType) -> None:
    """A path in the source of a handler is on the page of the API."""
    page = (REFERENCE / "api.md").read_text()
    paths = set(re.findall(r"/(?:zot/auth|v2/_zot/ext)/[a-z]+|/(?:livez|readyz|startupz)", inspect.getsource(module)))
    assert paths
    assert {path for path in paths if path not in page} == set()


@pytest.mark.parametrize("query", query_type().fields)
def test_every_query_is_in_the_reference(query: str) -> None:
    """The page of GraphQL has a row for each query, with its arguments in their order."""
    arguments = ", ".join(f"`{name}`" for name in query_type().fields[query].args)
    assert f"\n| `{query}` | {arguments} |" in (REFERENCE / "graphql.md").read_text()


@pytest.mark.parametrize("page", ["cli.md", "zli.md"])
def test_the_page_of_a_command_line_is_generated_from_its_help(page: str) -> None:
    """Every command and option is on the page with its help text (`python scripts/cli_reference.py` writes it)."""
    script = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))
    assert (REFERENCE / page).read_text() == script["pages"]()[page]
