"""The queries: pages, orders, filters and errors of zot, and what the index does not have."""

from __future__ import annotations

import json

import pytest

from extensions.search.graphql.harness import BUILT_NS, Asker, Rows, image
from zot.accounts.memory import MemoryAccounts
from zot.auth.decision import NO_CONTEXT
from zot.auth.policy import AccessPolicy
from zot.auth.principal import ANONYMOUS, Principal
from zot.config.access_control import AccessControlConfig
from zot.extensions.search.graphql.objects import Caller, Sources
from zot.extensions.search.graphql.readers import time_text
from zot.extensions.search.interface import (
    PAGE_LIMIT,
    ImageQuery,
    ImageSort,
    RepositoryQuery,
    RepositorySort,
    SearchUnavailableError,
)
from zot.foundation.threads import ThreadPool
from zot.oci.names import Repository

TOO_LONG = "max string size limit exceeded for %s parameter. max=256 current=300 request parameter has invalid value"
NO_REFERENCE_FORMAT = (
    "failed to parse search text, invalid format invalid image reference format, use [repo:tag] or [repo@digest]"
)
LIST = "{RepoListWithNewestImage(requestedPage:{%s}){Page{TotalCount ItemCount} Results{Name}}}"


async def message(asker: Asker, text: str) -> str:
    """Return the one error of a query, at its place."""
    answer = await asker.ask(text)
    assert answer.data is None
    assert [set(each) for each in answer.errors] == [{"message", "path", "locations"}]
    return str(answer.errors[0]["message"])


@pytest.mark.parametrize(
    ("page", "names", "items"),
    [
        ("", ["library/debian", "team/api", "team/web"], 3),
        ("limit:0 offset:0", ["library/debian", "team/api", "team/web"], 3),
        ("limit:2 offset:0", ["library/debian", "team/api"], 2),
        ("limit:2 offset:2", ["team/web"], 1),
        ("limit:2", ["library/debian", "team/api"], 2),
        ("offset:1 limit:null", [], 0),
        ("limit:0 offset:1", [], 0),
        ("limit:5 offset:500", [], 0),
    ],
)
async def test_a_page_has_the_limit_and_offset_of_zot(asker: Asker, page: str, names: list[str], items: int) -> None:
    """No limit at offset 0 is the whole list; no limit elsewhere is an empty page."""
    answer = (await asker.ask(LIST % page)).data["RepoListWithNewestImage"]
    assert [row["Name"] for row in answer["Results"]] == names
    assert answer["Page"] == {"TotalCount": 3, "ItemCount": items}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LIST % "limit:-1", "pagination limit has negative value"),
        (LIST % "offset:-1", "pagination offset has negative value"),
        (
            LIST % "sortBy:SEVERITY",
            "sorting repos by 'SEVERITY' is not supported the pagination sort criteria is not supported",
        ),
        (
            '{GlobalSearch(query:"" requestedPage:{limit:-1}){Page{TotalCount}}}',
            "requested page limit parameter can't be negative request parameter has invalid value",
        ),
        (
            '{GlobalSearch(query:"%s"){Page{TotalCount}}}' % ("x" * 300),
            TOO_LONG % "query",
        ),
        (
            '{GlobalSearch(query:"" filter:{Os:["%s"]}){Page{TotalCount}}}' % ("x" * 300),
            TOO_LONG % "os",
        ),
        (
            '{GlobalSearch(query:"a:b:c"){Page{TotalCount}}}',
            NO_REFERENCE_FORMAT,
        ),
        ('{GlobalSearch(query:"a@b"){Page{TotalCount}}}', "invalid search query"),
        ('{Image(image:"team/api"){Tag}}', "no reference provided"),
        ('{Image(image:"team/api:nope"){Tag}}', "can't find image: team/api:nope"),
        ('{Image(image:"nope:1"){Tag}}', "repo metadata not found for given repo name"),
        ('{Image(image:"UPPER:1"){Tag}}', "repo metadata not found for given repo name"),
        ('{ExpandedRepoInfo(repo:"nope"){Summary{Name}}}', "repo metadata not found for given repo name"),
        ('{BaseImageList(image:"team/api"){Results{Tag}}}', "no reference provided"),
        ('{BaseImageList(image:"team/api:nope"){Results{Tag}}}', "can't find image: team/api:nope"),
        ('{DerivedImageList(image:"nope:1"){Results{Tag}}}', "repository not found"),
        (
            '{Referrers(repo:"nope" digest:"sha256:%s"){Digest}}' % ("0" * 64),
            "repo metadata not found for given repo name",
        ),
        ('{CVEListForImage(image:"team/api:1.0"){Tag}}', "cve search is disabled"),
        ('{ImageListForCVE(id:"CVE-1"){Results{Tag}}}', "cve search is disabled"),
        ('{ImageListWithCVEFixed(id:"CVE-1" image:"team/api"){Results{Tag}}}', "cve search is disabled"),
        (
            '{CVEDiffListForImages(minuend:{Repo:"a" Tag:"1"} subtrahend:{Repo:"b" Tag:"1"}){CVEList{Id}}}',
            "cve search is disabled",
        ),
    ],
)
async def test_a_query_that_cannot_be_answered_says_what_zot_says(asker: Asker, text: str, expected: str) -> None:
    """With the place of the field, and `data` null."""
    assert await message(asker, text) == expected


async def test_one_failed_query_takes_all_with_it(asker: Asker) -> None:
    """No query may be null, so `data` is; each failed one has an error with its alias."""
    answer = await asker.ask('{a:Image(image:"nope:1"){Tag} b:StarredRepos{Page{TotalCount}} c:Image(image:"x"){Tag}}')
    assert answer.data is None
    assert [each["path"] for each in answer.errors] == [["a"], ["c"]]
    assert answer.errors[0]["locations"] == [{"line": 1, "column": 2}]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("  Team/API ", RepositoryQuery(text="team/api", sort=RepositorySort.RELEVANCE)),
        ("/api/", RepositoryQuery(text="api", sort=RepositorySort.RELEVANCE)),
        ("Team/api:V1", ImageQuery(repository=Repository("team/api"), tag_prefix="V1")),
        ("team/api:", ImageQuery(repository=Repository("team/api"))),
        (":1.0", ImageQuery(tag_contains="1.0")),
        ("SHA256:ABC", ImageQuery(digest="sha256:abc")),
    ],
)
async def test_the_text_of_a_search_has_the_forms_of_zot(
    asker: Asker, index: Rows, query: str, expected: RepositoryQuery | ImageQuery
) -> None:
    """A part of a name, `repo:tag`, `:tag` or a digest. Tags keep their case."""
    await asker.ask(f'{{GlobalSearch(query:"{query}"){{Page{{TotalCount}}}}}}')
    [asked] = index.queries
    assert type(asked)(**{name: getattr(asked, name) for name in asked.__struct_fields__ if name != "page"}) == expected


@pytest.mark.parametrize(
    ("criterion", "repositories", "images"),
    [
        ("", RepositorySort.PUSHED, ImageSort.NAME),
        ("RELEVANCE", RepositorySort.RELEVANCE, ImageSort.NAME),
        ("UPDATE_TIME", RepositorySort.PUSHED, ImageSort.UPDATED),
        ("ALPHABETIC_ASC", RepositorySort.NAME, ImageSort.NAME),
        ("ALPHABETIC_DSC", RepositorySort.NAME_DESCENDING, ImageSort.NAME_DESCENDING),
        ("DOWNLOADS", RepositorySort.DOWNLOADS, ImageSort.DOWNLOADS),
        ("STARS", RepositorySort.STARS, None),
    ],
)
async def test_lists_are_sorted_as_asked(
    asker: Asker, index: Rows, criterion: str, repositories: RepositorySort, images: ImageSort | None
) -> None:
    """Repositories by stars, too, which zot does not do."""
    page = f"requestedPage:{{sortBy:{criterion}}}" if criterion else "requestedPage:{}"
    await asker.ask(f"{{RepoListWithNewestImage({page}){{Page{{TotalCount}}}}}}")
    assert index.queries.pop().sort is repositories
    text = f'{{ImageList(repo:"" {page}){{Page{{TotalCount}}}}}}'
    if images is None:
        assert "not supported" in await message(asker, text)
    else:
        await asker.ask(text)
        assert index.queries.pop().sort is images


async def test_stars_and_bookmarks_are_those_of_the_caller(asker: Asker, index: Rows) -> None:
    """Counts are of all users; lists and filters are of the caller alone."""
    accounts = asker.sources.accounts
    assert accounts is not None
    await accounts.toggle_star("ada", Repository("team/api"))
    await accounts.toggle_star("bob", Repository("team/api"))
    await accounts.toggle_star("bob", Repository("team/web"))
    await accounts.toggle_bookmark("ada", Repository("team/web"))
    answer = await asker.ask(
        "{StarredRepos{Results{Name StarCount IsStarred IsBookmarked}}"
        " BookmarkedRepos{Results{Name StarCount IsStarred}}}"
    )
    assert answer.data == {
        "StarredRepos": {"Results": [{"Name": "team/api", "StarCount": 2, "IsStarred": True, "IsBookmarked": False}]},
        "BookmarkedRepos": {"Results": [{"Name": "team/web", "StarCount": 1, "IsStarred": False}]},
    }
    search = '{GlobalSearch(query:"" filter:{%s}){Repos{Name}}}'
    for limits, names in {
        "IsStarred:true": ["team/api"],
        "IsStarred:false": ["library/debian", "team/web"],
        "IsStarred:false IsBookmarked:true": ["team/web"],
        "IsStarred:true IsBookmarked:true": [],
        "IsStarred:null": ["library/debian", "team/api", "team/web"],
    }.items():
        found = (await asker.ask(search % limits)).data["GlobalSearch"]["Repos"]
        assert [row["Name"] for row in found] == names
    await asker.ask("{RepoListWithNewestImage(requestedPage:{sortBy:STARS}){Page{TotalCount}}}")
    asked = index.queries.pop()
    assert isinstance(asked, RepositoryQuery)
    assert asked.stars == {"team/api": 2, "team/web": 1}


async def test_an_anonymous_caller_has_no_marks(index: Rows, pool: ThreadPool) -> None:
    """Also where a user has an empty name, or where there are no users."""
    for accounts in (MemoryAccounts(), None):
        if accounts is not None:
            await accounts.toggle_star("", Repository("team/api"))
        sources = Sources(index, allow_nothing(), accounts)  # type: ignore[arg-type]
        asker = Asker(sources, Caller(ANONYMOUS, NO_CONTEXT, None), pool)
        assert (await asker.ask("{StarredRepos{Page{TotalCount}}}")).data["StarredRepos"]["Page"]["TotalCount"] == 0


def allow_nothing() -> AccessPolicy:
    """Return a policy by which ada may read below team, and delete one tag there."""
    return AccessPolicy(
        AccessControlConfig.model_validate(
            {
                "repositories": {
                    "team/**": {
                        "policies": [
                            {"users": ["ada"], "actions": ["read"]},
                            {
                                "users": ["ada"],
                                "actions": ["delete"],
                                "conditions": [{"expression": "req.tag == '1.1'"}],
                            },
                        ]
                    }
                }
            }
        )
    )


@pytest.fixture
def limited(index: Rows, pool: ThreadPool) -> Asker:
    """Return what executes the queries of ada, who may read below team alone."""
    sources = Sources(index, allow_nothing(), MemoryAccounts())  # type: ignore[arg-type]
    visible = frozenset([Repository("team/api"), Repository("team/web")])
    return Asker(sources, Caller(Principal("ada", "htpasswd"), NO_CONTEXT, visible), pool)


@pytest.mark.parametrize(
    "text",
    [
        '{Image(image:"%s:12"){Tag Digest Manifests{Digest}}}',
        '{ExpandedRepoInfo(repo:"%s"){Images{Tag} Summary{Name}}}',
        '{ImageList(repo:"%s"){Page{TotalCount} Results{Tag}}}',
        '{Referrers(repo:"%s" digest:"sha256:' + "0" * 64 + '"){Digest}}',
        '{BaseImageList(image:"%s:12"){Page{TotalCount} Results{Tag}}}',
        '{DerivedImageList(image:"%s:12"){Page{TotalCount} Results{Tag}}}',
        '{GlobalSearch(query:"%s:1"){Page{TotalCount} Images{Tag}}}',
        '{GlobalSearch(query:"%s"){Page{TotalCount} Repos{Name}}}',
    ],
)
async def test_a_hidden_repository_is_as_a_missing_one(limited: Asker, text: str) -> None:
    """A caller that may not read cannot tell whether there is such a repository."""
    hidden = [piece async for piece in limited.pieces(text % "library/debian")]
    missing = [piece async for piece in limited.pieces(text % "library/ubuntu")]
    assert hidden == missing
    assert "errors" not in json.loads(b"".join(hidden))


async def test_what_may_be_read_and_is_missing_is_an_error(limited: Asker) -> None:
    """Who may read everything there may learn what is there."""
    assert await message(limited, '{Image(image:"team/nope:1"){Tag}}') == "repo metadata not found for given repo name"


async def test_the_right_to_delete_is_told_for_each_tag(limited: Asker) -> None:
    """By ExpandedRepoInfo; other queries do not tell."""
    answer = await limited.ask(
        '{ExpandedRepoInfo(repo:"team/api"){Images{Tag IsDeletable} Summary{Name Rank}}'
        ' ImageList(repo:"team/web"){Results{IsDeletable}}}'
    )
    assert answer.data == {
        "ExpandedRepoInfo": {
            "Images": [
                {"Tag": "1.0", "IsDeletable": False},
                {"Tag": "1.1", "IsDeletable": True},
                {"Tag": "latest", "IsDeletable": False},
            ],
            "Summary": {"Name": "team/api", "Rank": 0},
        },
        "ImageList": {"Results": [{"IsDeletable": None}]},
    }


async def test_a_search_for_a_digest_shows_the_manifests_that_have_it(asker: Asker, index: Rows) -> None:
    """The digest of the index, of one manifest, or of a layer of all."""
    row = index.images_rows[0]
    text = '{ImageListForDigest(id:"%s"){Results{Manifests{Digest}}}}'
    for digest, count in ((row.digest, 2), (row.manifests[1].digest, 1), (row.manifests[0].layers[0].digest, 2)):
        answer = await asker.ask(text % digest)
        assert len(answer.data["ImageListForDigest"]["Results"][0]["Manifests"]) == count


async def test_long_lists_are_fetched_and_sent_in_steps(asker: Asker, index: Rows) -> None:
    """All rows are sent, and never more than a page of the index is held."""
    count = PAGE_LIMIT * 2 + 10
    index.images_rows[:] = [image("team/api", f"v{number}", number) for number in range(count)]
    pieces = [piece async for piece in asker.pieces('{ImageList(repo:""){Page{TotalCount ItemCount} Results{Tag}}}')]
    answer = json.loads(b"".join(pieces))["data"]["ImageList"]
    assert answer["Page"] == {"TotalCount": count, "ItemCount": count}
    assert [row["Tag"] for row in answer["Results"]] == [f"v{number}" for number in range(count)]
    assert [(each.page.offset, each.page.limit) for each in index.queries] == [
        (0, PAGE_LIMIT),
        (PAGE_LIMIT, PAGE_LIMIT),
        (PAGE_LIMIT * 2, 10),
    ]
    assert max(map(len, pieces)) < 10_000


async def test_counts_alone_fetch_no_rows(asker: Asker, index: Rows) -> None:
    """A client that asks how many there are does not make the index read them."""
    answer = await asker.ask('{ImageList(repo:""){Page{TotalCount ItemCount}}}')
    assert answer.data["ImageList"]["Page"] == {"TotalCount": 5, "ItemCount": 5}
    assert index.queries[0].page.limit == 0


async def test_an_index_that_cannot_answer_is_no_error_of_the_query(asker: Asker, index: Rows) -> None:
    """It passes: the request is to be repeated, and is not answered in part."""

    async def unavailable(*_: object) -> None:
        raise SearchUnavailableError

    index.images = unavailable  # type: ignore[method-assign,assignment]
    with pytest.raises(SearchUnavailableError):
        await asker.ask('{StarredRepos{Page{TotalCount}} ImageList(repo:""){Page{TotalCount}}}')


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00Z"),
        (BUILT_NS, "2026-01-01T09:00:00Z"),
        (BUILT_NS + 120_000_000, "2026-01-01T09:00:00.12Z"),
        (BUILT_NS + 1, "2026-01-01T09:00:00.000000001Z"),
        (-62_135_596_800_000_000_000, "0001-01-01T00:00:00Z"),
        (10**21, None),
    ],
)
def test_times_are_written_as_go_writes_them(ns: int | None, text: str | None) -> None:
    """RFC 3339 without trailing zeros; what has no such form is unknown."""
    assert time_text(ns) == text
