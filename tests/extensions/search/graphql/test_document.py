"""What cannot be executed is refused with zot's codes, before it costs much."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import get_introspection_query

from extensions.search.graphql.harness import Asker
from zot.extensions.search.graphql.document import (
    DEFINITIONS_LIMIT,
    DEPTH_LIMIT,
    FIELDS_LIMIT,
    ROOT_FIELDS_LIMIT,
    TEXT_LIMIT_BYTES,
    read_document,
)
from zot.extensions.search.graphql.errors import GraphQLRequestError

PARSE = "GRAPHQL_PARSE_FAILED"
VALIDATION = "GRAPHQL_VALIDATION_FAILED"
COMPLEXITY = "COMPLEXITY_LIMIT_EXCEEDED"

NAMES = "{RepoListWithNewestImage{Results{%s}}}"


def refusal(text: str) -> tuple[str, str, list[dict[str, int]]]:
    """Return code, message and first locations of the refusal of a document."""
    with pytest.raises(GraphQLRequestError) as caught:
        read_document(text)
    error: dict[str, Any] = caught.value.errors[0]
    assert caught.value.status == 422
    return error["extensions"]["code"], error["message"], error.get("locations", [])


@pytest.mark.parametrize(
    ("text", "code", "message", "column"),
    [
        ("{RepoListWithNewestImage{", PARSE, "Expected Name, found <EOF>.", 26),
        ("{RepoListWithNewestImage{Nope}}", VALIDATION, "Cannot query field 'Nope'", 26),
        ("{Image{Tag}}", VALIDATION, "of type 'String!' is required, but it was not provided", 2),
        ("{Image(image:5){Tag}}", VALIDATION, "String cannot represent a non string value: 5", 14),
        ("mutation{a}", VALIDATION, "mutation operation is not supported", 1),
        ("", VALIDATION, "no operation provided", None),
        (" \n ", VALIDATION, "no operation provided", None),
    ],
)
def test_an_invalid_document_names_the_place(text: str, code: str, message: str, column: int | None) -> None:
    """Line and column count from 1."""
    given, told, locations = refusal(text)
    assert given == code
    assert message in told
    assert locations == ([] if column is None else [{"line": 1, "column": column}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NAMES % ("Name " * (TEXT_LIMIT_BYTES // 5)), f"more than {TEXT_LIMIT_BYTES} bytes"),
        (NAMES % ("Name " * FIELDS_LIMIT), f"more than {FIELDS_LIMIT} fields"),
        (
            NAMES % "...F0 ...F0"
            + "".join(f"fragment F{n} on RepoSummary{{...F{n + 1} ...F{n + 1}}}" for n in range(10))
            + "fragment F10 on RepoSummary{Name}",
            f"more than {FIELDS_LIMIT} fields",
        ),
        (
            "{" + " ".join(f'q{n}:Image(image:"a:1"){{Tag}}' for n in range(ROOT_FIELDS_LIMIT + 1)) + "}",
            f"more than {ROOT_FIELDS_LIMIT} fields at its root",
        ),
        (
            "{...Q ...Q ...Q} fragment Q on Query{" + "StarredRepos{Page{ItemCount}}" * 3 + "}",
            f"more than {ROOT_FIELDS_LIMIT} fields at its root",
        ),
        ("{a" * (DEPTH_LIMIT + 1) + "}" * (DEPTH_LIMIT + 1), f"more than {DEPTH_LIMIT} levels"),
        (
            " ".join(f"query Q{n}{{StarredRepos{{Page{{ItemCount}}}}}}" for n in range(DEFINITIONS_LIMIT + 1)),
            f"more than {DEFINITIONS_LIMIT} operations and fragments",
        ),
    ],
)
def test_a_document_beyond_the_limits_is_refused(text: str, message: str) -> None:
    """Fields count wherever a fragment is used, so that a short text cannot ask for very much."""
    code, told, _ = refusal(text)
    assert code == COMPLEXITY
    assert message in told


@pytest.mark.parametrize(
    "text",
    [
        "{a" * 5000,
        '{Image(image:"' + "{" * 8000,
        "[" * 5000,
        NAMES % ("Name " * 2500),
        NAMES % "...A" + "fragment A on RepoSummary{...B} fragment B on RepoSummary{...A}",
        NAMES % "... on Nope{Name}",
        "{GlobalSearch(query:" + "[" * 500 + "]" * 500 + "){Page{TotalCount}}}",
        "type Query{a:String}",
        "subscription{a}",
        "\ud800{",
        "{__schema{types{fields{type{fields{type{fields{type{fields{name}}}}}}}}}}",
        "{__schema{types{fields{type{fields{" + " ".join(f"a{n}:name" for n in range(280)) + "}}}}}}",
        "{__schema{...T}} fragment T on __Schema{types{fields{...F args{type{fields{...F}}}}}}"
        " fragment F on __Field{" + " ".join(f"a{n}:name" for n in range(100)) + "}",
    ],
)
def test_a_hostile_document_is_refused(text: str) -> None:
    """Whatever is nested, repeated, cyclic or of another kind: no other exception, no long work."""
    assert refusal(text)[0] in {PARSE, VALIDATION, COMPLEXITY}


def test_at_most_ten_errors_are_reported() -> None:
    """A document of nothing but errors is answered with few of them."""
    with pytest.raises(GraphQLRequestError) as caught:
        read_document(NAMES % " ".join(f"x{n}" for n in range(200)))
    assert len(caught.value.errors) == 10


async def test_an_operation_is_chosen_by_its_name(asker: Asker) -> None:
    """Of several one has to be named; the name need not be given for one."""
    text = 'query A{ImageList(repo:"team/api"){Results{Tag}}} query B{ImageList(repo:"team/web"){Results{RepoName}}}'
    answer = await asker.ask(text, operation="B")
    assert answer.data == {"ImageList": {"Results": [{"RepoName": "team/web"}]}}
    for name in ("", "C"):
        with pytest.raises(GraphQLRequestError, match=f"operation {name} not found"):
            await asker.ask(text, operation=name)


async def test_variables_are_checked(asker: Asker) -> None:
    """A missing or wrong one is named; a nested one is bounded."""
    text = "query Q($r:String! $f:Filter){GlobalSearch(query:$r filter:$f){Page{TotalCount}}}"
    with pytest.raises(GraphQLRequestError) as caught:
        await asker.ask(text, {})
    assert caught.value.errors[0] == {
        "message": "must be defined",
        "path": ["variable", "r"],
        "extensions": {"code": VALIDATION},
    }
    with pytest.raises(GraphQLRequestError, match="String cannot represent a non string value: 5"):
        await asker.ask(text, {"r": 5})
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(GraphQLRequestError, match="nested too deeply"):
        await asker.ask(text, {"r": "a", "f": {"Os": nested}})


async def test_the_schema_answers_introspection(asker: Asker) -> None:
    """The query of common tools, that of zli beside a query, and types by variable."""
    whole = await asker.ask(get_introspection_query())
    assert whole.data["__schema"]["queryType"] == {"name": "Query", "kind": "OBJECT"}
    mixed = await asker.ask(
        "query Q($n:String!){a:__schema{queryType{fields{name}}} ...F __type(name:$n){name}}"
        " fragment F on Query{__typename StarredRepos{Page{TotalCount}}}",
        {"n": "CVE"},
    )
    assert list(mixed.data) == ["a", "__typename", "StarredRepos", "__type"]
    assert len(mixed.data["a"]["queryType"]["fields"]) == 15
    assert mixed.data["__typename"] == "Query"
    assert mixed.data["__type"] == {"name": "CVE"}
