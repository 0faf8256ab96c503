"""What a start imports late, or without looking for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from importlib import import_module

import pytest

from zot.foundation.imports import LazyModule, uncollected


def test_a_module_is_imported_when_it_is_used() -> None:
    """The names of the stand-in are those of the module, which is imported for the first of them."""
    program = (
        "import sys; from zot.foundation.imports import LazyModule; module = LazyModule('colorsys');"
        "assert 'colorsys' not in sys.modules; import_ = module.rgb_to_hsv;"
        "import colorsys; assert import_ is colorsys.rgb_to_hsv"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_module_that_does_not_exist_is_an_import_error() -> None:
    """As with a plain import, only later."""
    with pytest.raises(ModuleNotFoundError):
        LazyModule("zot.no_such_module").name  # noqa: B018


def test_what_was_imported_is_not_looked_at_by_the_collection() -> None:
    """The first collection after a start does not visit all that the start imported: nothing of it is garbage."""
    program = (
        "import gc; from zot.foundation.imports import uncollected\n"
        "with uncollected(): made = [[] for _ in range(10_000)]\n"
        "assert len(gc.get_objects()) < 10_000 <= gc.get_freeze_count()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_collection_goes_on_after_imports() -> None:
    """It is suspended in the block alone, an exception included; where it was off, it stays off."""
    with pytest.raises(ModuleNotFoundError), uncollected():
        import_module("zot.no_such_module")
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
