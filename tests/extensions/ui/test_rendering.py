"""How values are shown, and that nothing of a client becomes HTML."""

import gzip

import pytest

from zot.extensions.search.interface import ImagePage, IndexStatus, RepositoryPage
from zot.extensions.ui.rendering import ASSETS_PATH, Renderer, age, cut, is_link, iso_time, short_digest

_HOUR_NS = 3600 * 10**9


@pytest.mark.parametrize(
    ("passed_s", "shown"),
    [(0, "just now"), (60, "1 minute ago"), (7200, "2 hours ago"), (86400 * 40, "1 month ago"), (-3600, "1969-12-31")],
)
def test_an_age_is_shown_in_its_largest_unit(passed_s: int, shown: str) -> None:
    now_s = 0.0 if passed_s < 0 else 10.0**9
    at_s = -3600 if passed_s < 0 else now_s - passed_s
    if passed_s < 0:
        now_s = -7200.0
    assert age(int(at_s * 10**9), now_s) == shown


@pytest.mark.parametrize("at_ns", [10**30, -(10**30)])
def test_a_time_that_no_calendar_has_is_no_error(at_ns: int) -> None:
    assert age(at_ns) == "unknown"
    assert iso_time(at_ns) == ""


@pytest.mark.parametrize("text", ["javascript:alert(1)", "data:text/html,x", "//host/x", "https:", "http://[", "x y"])
def test_what_is_no_web_page_is_no_link(text: str) -> None:
    assert not is_link(text)


def test_a_web_page_is_a_link() -> None:
    assert is_link("https://example.org/project")


def test_a_text_is_cut_to_its_limit() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"


def test_a_short_digest_is_twelve_characters_of_the_hash() -> None:
    assert short_digest(f"sha256:{'ab' * 32}") == "abababababab"


def test_text_of_clients_is_escaped() -> None:
    hostile = '"><script>alert(1)</script>'
    common = {
        "user": {"name": hostile, "may_log_in": True, "has_preferences": False, "is_admin": False},
        "path": hostile,
        "index": None,
    }
    page = Renderer().render("problem.html", {**common, "title": hostile, "text": hostile, "asks": True})
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("complete", [True, False])
def test_a_registry_is_empty_only_by_a_complete_index(*, complete: bool) -> None:
    values = {
        "user": {"name": "", "may_log_in": False, "has_preferences": False, "is_admin": False},
        "path": "/",
        "index": IndexStatus(complete, importing=False, done=0, total=29, behind=0, repositories=0, images=0),
        "search_text": "",
        "narrowed": False,
        "result": RepositoryPage(0, ()),
        "images": ImagePage(0, ()),
        "recent": (),
        "star_counts": {},
        "facets": [],
        "columns": [],
        "first_push": [],
    }
    page = Renderer().render("explore.html", values)
    assert ("This registry is empty" in page) is complete
    assert ("0 of 29 repositories" in page) is not complete
    assert "Nothing matches" not in page


def test_assets_are_named_by_their_content() -> None:
    renderer = Renderer()
    assert {each.removeprefix(ASSETS_PATH).split(".")[0] for each in renderer.assets} == {"style", "script"}
    assert all(gzip.decompress(each.compressed) == each.content for each in renderer.assets.values())


def test_a_first_visit_is_within_its_budget() -> None:
    by_kind = {each.path.rpartition(".")[2]: len(each.compressed) for each in Renderer().assets.values()}
    assert by_kind["js"] <= 20 * 1024
    assert sum(by_kind.values()) <= 45 * 1024
