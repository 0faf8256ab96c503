"""The addresses of pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.extensions.ui.addresses import (
    ExploreAddress,
    ImageAddress,
    ImageView,
    Links,
    LoginAddress,
    NoPageError,
    RepositoryAddress,
    RepositoryView,
    parse_address,
    parse_query,
)
from zot.oci.digest import parse_digest
from zot.oci.names import Reference, Repository, parse_repository, parse_tag

_DIGEST = parse_digest(f"sha256:{'0' * 64}")
_COMPONENTS = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True) | st.sampled_from(
    ["tag", "digest", "history", "untagged"]
)
_REPOSITORIES = st.lists(_COMPONENTS, min_size=1, max_size=4).map("/".join).map(parse_repository)
_TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True).map(parse_tag)


@given(_REPOSITORIES, st.sampled_from(RepositoryView))
def test_the_address_of_a_repository_is_read_as_it_was_written(name: Repository, view: RepositoryView) -> None:
    written = Links.repository(name, "" if view is RepositoryView.TAGS else view)
    assert parse_address(written) == RepositoryAddress(name, view)


@given(_REPOSITORIES, _TAGS | st.just(_DIGEST), st.sampled_from(ImageView))
def test_the_address_of_an_image_is_read_as_it_was_written(
    name: Repository, reference: Reference, view: ImageView
) -> None:
    written = Links.image(name, reference, view="" if view is ImageView.SUMMARY else view)
    assert parse_address(written) == ImageAddress(name, reference, view)


@pytest.mark.parametrize("path", ["/", "/home", "/explore"])
def test_the_first_page_has_the_addresses_of_zui(path: str) -> None:
    assert parse_address(path) == ExploreAddress()


def test_the_login_has_the_address_of_zui() -> None:
    assert parse_address("/login") == LoginAddress()


def test_a_bookmark_of_zui_still_names_its_image() -> None:
    assert parse_address("/image/team%2Fapp/tag/1.0") == ImageAddress(
        parse_repository("team/app"), parse_tag("1.0"), ImageView.SUMMARY
    )


def test_a_name_with_plain_slashes_is_understood() -> None:
    assert parse_address("/image/team/app") == RepositoryAddress(parse_repository("team/app"), RepositoryView.TAGS)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/image/",
        "/image/UPPER",
        "/image/a%FF",
        "/image/a/tag/-x",
        "/image/a/tag/1/other",
        "/image/a%2F..%2Fb",
        "/image/a/digest/sha256:short",
    ],
)
def test_an_address_that_names_no_page_is_refused(path: str) -> None:
    with pytest.raises(NoPageError):
        parse_address(path)


def test_a_query_of_too_many_fields_is_refused() -> None:
    with pytest.raises(NoPageError):
        parse_query("&".join(f"a{each}=1" for each in range(100)))


def test_a_text_of_a_reader_is_encoded_in_a_link() -> None:
    written = Links.explore({"search": 'a"><script>&b=c', "os": ""})
    assert written == "/explore?search=a%22%3E%3Cscript%3E%26b%3Dc"
    assert parse_query(written.partition("?")[2]) == {"search": 'a"><script>&b=c'}
