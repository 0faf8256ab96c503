"""The map of the source agrees with the source."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "zot"
MAP = ROOT / "docs" / "explanation" / "architecture.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_CODE = re.compile(r"`([\w./*-]+(?:\.py|/))`")


def named_paths(page: Path) -> set[str]:
    """Return what a page shows as code and looks like a Python file or a directory of the project."""
    found = {path for path in _CODE.findall(page.read_text()) if not path.startswith((".", "/", "-"))}
    return {path for path in found if path.endswith(".py") or path.partition("/")[0] in _top_level()}


def _top_level() -> set[str]:
    return {path.name for folder in (ROOT, SOURCE) for path in folder.iterdir() if path.is_dir()}


def test_the_map_names_every_package() -> None:
    """Each package below src/zot, at any depth, stands in the map with a path of its own."""
    packages = {f"{path.parent.relative_to(SOURCE).as_posix()}/" for path in SOURCE.rglob("__init__.py")} - {"./"}
    assert packages - named_paths(MAP) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    """A path is below src/zot, or below the checkout; a pattern matches at least one file."""
    missing = [path for path in named_paths(page) if not any(any(folder.glob(path)) for folder in (SOURCE, ROOT))]
    if page.parent.name in {"how-to", "tutorial"}:  # their files are the reader's own
        missing = [path for path in missing if "/" in path]
    assert missing == []


def test_the_map_has_the_layers_of_the_import_rules() -> None:
    """The list of layers in the map is that of import-linter in pyproject.toml, in its order."""
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [name for layer in contract["layers"] for name in re.findall(r"\w+", layer)]
    listed = re.search(r"^- Layers, from high to low: (.+?)\. A", MAP.read_text(), re.MULTILINE | re.DOTALL)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == [name for name in layers if name != "__main__"]
