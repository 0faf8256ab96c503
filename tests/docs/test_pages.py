"""Rules for all pages: each is linked from the index, and agrees with this project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from zot.config.errors import ConfigurationError
from zot.config.load import load
from zot.config.supported import refuse_unbuilt
from zot.server.extensions import BUILT

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "README.md", ROOT / "packaging" / "index.md", EXAMPLES / "README.md", *sorted(DOCS.rglob("*.md"))]

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_ROW = re.compile(r"^\| (`config-[^|]*|`scale-[^|]*) \|", re.MULTILINE)


def test_the_index_links_every_page() -> None:
    """`docs/README.md` has a link to each page below `docs`, and README.md has one to the index."""
    links = {(DOCS / link).resolve() for link in _LINK.findall((DOCS / "README.md").read_text())}
    assert [page for page in sorted(DOCS.rglob("*.md")) if page.name != "README.md" and page not in links] == []
    assert "](docs/README.md)" in (ROOT / "README.md").read_text()


def test_links_work_on_the_page_of_a_package_index() -> None:
    """The description in the metadata is a file of its own, without links into the checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    links = _LINK.findall((ROOT / project["readme"]).read_text())
    assert [link for link in links if "://" not in link] == []


def test_the_extra_all_has_every_other() -> None:
    """The extra `all` has every other extra, and the description has a row for each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert extras.pop("all") == [f"zot-registry[{','.join(sorted(extras))}]"]
    page = (ROOT / project["readme"]).read_text()
    assert [extra for extra in (*extras, "all") if f"| `{extra}` |" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_no_index_and_one_data_directory(page: Path) -> None:
    """No page installs from an index where the package is not published; data are in /var/lib/registry."""
    text = page.read_text()
    assert not re.search(r"pip install [^\n]*zot-registry", text)
    assert "/var/lib/zot" not in text


def _refused(path: Path) -> bool:
    try:
        refuse_unbuilt(load(path).config, BUILT)
    except ConfigurationError:
        return True
    return False


def test_examples_that_this_build_refuses_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The overview lists exactly these as for later builds."""
    monkeypatch.chdir(EXAMPLES)
    section = (EXAMPLES / "README.md").read_text().partition("## For later builds\n")[2]
    marked = {name for row in _ROW.findall(section) for name in re.findall(r"`([^`]+)`", row)}
    found = (path for path in Path().glob("**/config-*.*") if "credentials.json" not in path.name)
    assert {str(path) for path in found if _refused(path)} == marked
