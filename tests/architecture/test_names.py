"""Names of classes follow one style over the whole product."""

import ast
import builtins
from collections import defaultdict
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "zot"

# An exception that carries a response, not a failure.
NOT_ERRORS = {"ErrorResponse"}
# Exceptions derived from it are named after the codes of the distribution specification.
NAMED_BY_CODE = "RegistryError"


@cache
def classes() -> list[tuple[str, str, list[str]]]:
    """Return module, name and the names of the bases of each class of the product."""
    return [
        (path.relative_to(SOURCE).as_posix(), node.name, [ast.unparse(base).rpartition(".")[2] for base in node.bases])
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]


def ancestors(name: str, bases: dict[str, list[str]]) -> set[str]:
    """Return the names of all classes that a class is derived from."""
    return {name}.union(*(ancestors(base, bases) for base in bases.get(name, [])))


def test_the_name_of_a_public_class_is_unique() -> None:
    """A reader who meets a class's name knows which class it is, without its module."""
    modules = defaultdict(list)
    for module, name, _ in classes():
        if not name.startswith("_"):
            modules[name].append(module)
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}


def test_an_exception_ends_in_error_unless_it_is_named_by_a_code() -> None:
    """Exceptions end in `Error`, apart from those that stand for a code of the specification."""
    bases = {name: found for _, name, found in classes()}
    exceptions = {
        name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
    }
    odd = [
        f"{module}: {name}"
        for module, name, _ in classes()
        if ancestors(name, bases) & exceptions
        and NAMED_BY_CODE not in ancestors(name, bases)
        and not name.endswith("Error")
        and name not in NOT_ERRORS
    ]
    assert odd == []
