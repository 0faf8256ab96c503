"""The executor answers as graphql-core's does, in pieces, and with zot's errors."""

from __future__ import annotations

import asyncio
import json
from operator import itemgetter
from typing import Any, cast

import pytest
from graphql import GraphQLObjectType, GraphQLResolveInfo, execute, parse, validate
from graphql.execution import ExecutionResult
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extensions.search.graphql.harness import Asker, Rows
from zot.accounts.memory import MemoryAccounts
from zot.auth.decision import NO_CONTEXT, AllowAll, RequestContext
from zot.auth.principal import Principal
from zot.extensions.search.graphql.objects import Caller, Sources
from zot.extensions.search.graphql.queries import RESOLVERS, Queries
from zot.extensions.search.graphql.readers import READERS
from zot.extensions.search.graphql.rows import Rows as PageRows
from zot.extensions.search.graphql.schema import query_type, schema
from zot.extensions.search.graphql.selection import NOTHING, Selection, object_type
from zot.extensions.search.interface import Search
from zot.foundation.threads import ThreadPool
from zot.oci.names import Repository

ARGUMENTS = {
    "ImageListForDigest": ['id:""'],
    "RepoListWithNewestImage": ["", "requestedPage:{limit:2 offset:1}", "requestedPage:{limit:$n}"],
    "ImageList": ['repo:"team/api"', 'repo:""', "repo:$name"],
    "ExpandedRepoInfo": ['repo:"team/api"'],
    "GlobalSearch": ['query:"team"', 'query:":1" requestedPage:{limit:1}'],
    "Image": ['image:"team/web:1.0"'],
    "Referrers": ['repo:"team/api" digest:"sha256:' + "0" * 64 + '"'],
    "StarredRepos": [""],
    "BookmarkedRepos": [""],
    "BaseImageList": ['image:"team/web:1.0"', 'image:"team/web:1.0" requestedPage:{limit:1}'],
    "DerivedImageList": ['image:"team/api:1.0"'],
}
VARIABLES = {"n": 2, "name": "team/web", "yes": True, "no": False}
DIRECTIVES = [
    "",
    "",
    "",
    "@include(if:$yes)",
    "@skip(if:$yes)",
    "@include(if:false)",
    "@skip(if:$no) @include(if:true)",
]


class Everything(Selection):
    """A selection of all fields."""

    def wants(self, name: str) -> bool:
        """Want it."""
        del name
        return True

    def within(self, name: str) -> Selection:
        """Return the same."""
        del name
        return self


@st.composite
def selections(draw: st.DrawFn, of: GraphQLObjectType, fragments: list[str]) -> str:
    """Draw a selection set; the fragments that it needs are added to the list."""
    chosen = []
    for name in draw(st.lists(st.sampled_from(["__typename", *of.fields]), min_size=1, max_size=4)):
        inner, _ = (None, False) if name == "__typename" else object_type(of.fields[name])
        alias = draw(st.sampled_from(["", f"{name}_a:", f"{name}_b:"]))
        below = "" if inner is None else draw(selections(inner, fragments))
        chosen.append(f"{alias}{name} {draw(st.sampled_from(DIRECTIVES))} {below}")
    match draw(st.integers(0, 5)):
        case 0:
            chosen.append(f"... on {of.name} {draw(st.sampled_from(DIRECTIVES))} {{ {draw(st.sampled_from(chosen))} }}")
        case 1:
            chosen.append(f"... {{ {draw(st.sampled_from(chosen))} }}")
        case 2:
            name = f"F{len(fragments)}"
            fragments.append(f"fragment {name} on {of.name} {{ {' '.join(chosen)} }}")
            chosen = [f"...{name} ...{name} __typename"]
        case _:
            pass
    return f"{{ {' '.join(chosen)} }}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw a document of one operation."""
    fragments: list[str] = []
    fields = []
    for number, name in enumerate(draw(st.lists(st.sampled_from(sorted(ARGUMENTS)), min_size=1, max_size=3))):
        inner, _ = object_type(query_type().fields[name])
        assert inner is not None
        arguments = draw(st.sampled_from(ARGUMENTS[name]))
        given_arguments = f"({arguments})" if arguments else ""
        fields.append(f"q{number}:{name}{given_arguments} {draw(selections(inner, fragments))}")
    uses = "used:ImageList(repo:$name requestedPage:{limit:$n}) @include(if:$yes) @skip(if:$no) { Page { TotalCount } }"
    opening = "query Q($n:Int $name:String! $yes:Boolean! $no:Boolean!)"
    return f"{opening} {{ {' '.join(fields)} {uses} }} {' '.join(fragments)}"


class HideAll(AllowAll):
    """A policy by which nothing can be read."""

    def readable(self, principal: Principal, repository: Repository, context: RequestContext = NO_CONTEXT) -> bool:
        """See `Policy`."""
        del principal, repository, context
        return False


@pytest.fixture
def hidden(index: Rows, pool: ThreadPool) -> Asker:
    """Return what executes the queries of eve, who may read nothing: objects are null throughout."""
    sources = Sources(cast("Search", index), HideAll(), MemoryAccounts())
    return Asker(sources, Caller(Principal("eve", "htpasswd"), NO_CONTEXT, frozenset()), pool)


async def by_graphql_core(asker: Asker, text: str) -> object:
    """Return what graphql-core's executor makes of the same resolvers and readers."""
    queries = Queries(asker.sources, asker.caller)

    async def root(name: str, arguments: dict[str, Any]) -> object:
        return await whole(await RESOLVERS[name](queries, arguments, Everything()))

    async def whole(value: object) -> object:
        if isinstance(value, PageRows):
            return [row async for step in value.steps() for row in step]
        return {key: await whole(each) for key, each in value.items()} if isinstance(value, dict) else value

    def resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> object:
        if info.parent_type.name == "Query":
            return root(info.field_name, arguments)
        readers = READERS.get(info.parent_type.name)
        read = itemgetter(info.field_name) if readers is None else readers[info.field_name]
        return None if source is NOTHING else read(source)

    result = execute(schema(), parse(text), None, None, VARIABLES, None, resolve)
    if not isinstance(result, ExecutionResult):
        result = await result
    assert result.errors is None
    return result.data


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(documents(), st.booleans())
def test_it_answers_as_graphql_core(asker: Asker, hidden: Asker, text: str, is_hidden: bool) -> None:
    """On random documents with aliases, fragments, directives and variables; also where nothing may be read."""
    asker = hidden if is_hidden else asker

    async def both() -> tuple[object, object]:
        return (await asker.ask(text, VARIABLES)).data, await by_graphql_core(asker, text)

    assert validate(schema(), parse(text)) == []
    ours, theirs = asyncio.run(both())
    assert json.dumps(ours) == json.dumps(theirs)
