"""The pictures of the tutorial are those that its script takes."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TUTORIAL = ROOT / "docs" / "tutorial"
LIMIT_BYTES = 600_000

_PICTURE = re.compile(r"!\[[^\]]+\]\(pictures/([a-z-]+)\.webp\)")


def test_the_tutorial_shows_each_picture_that_the_script_takes() -> None:
    """In the order in which it takes them, each with a text for those who do not see it; `make pictures` takes them."""
    shown = _PICTURE.findall((TUTORIAL / "browse-the-registry.md").read_text())
    assert tuple(shown) == runpy.run_path(str(ROOT / "scripts" / "tutorial_pictures.py"))["NAMES"]
    assert sorted(shown) == sorted(path.stem for path in (TUTORIAL / "pictures").iterdir())


def test_pictures_are_small() -> None:
    """All together are smaller than a page with them should load."""
    assert sum(path.stat().st_size for path in (TUTORIAL / "pictures").iterdir()) < LIMIT_BYTES
