"""Import rules beyond the layers that import-linter checks (pyproject.toml)."""

import ast
import sys
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

# A third-party library (or a part of one) and the modules that may import it.
FENCES = {
    "aiobotocore": ["zot.catalog.dynamodb*", "zot.accounts.dynamodb*", "zot.storage.object_store*", "zot.auth.aws*"],
    "aiohttp.web": ["zot.api*", "zot.processes*", "zot.server*", "zot.extensions.*.routes*", "zot.testing"],
    "apsw": [
        "zot.catalog.sqlite*",
        "zot.foundation.sqlite_*",
        "zot.accounts.sqlite*",
        "zot.statistics.sqlite",
        "zot.extensions.layers*",
        "zot.extensions.search.index*",
    ],
    "asyncpg": ["zot.databases.postgres*"],
    "backports": ["zot.extensions.layers.decompression"],
    "compression": ["zot.extensions.layers.decompression"],
    "bonsai": ["zot.auth.*ldap*"],
    "cel_expr_python": ["zot.auth.cel"],
    "graphql": ["zot.extensions.search*"],
    "jinja2": ["zot.extensions.ui*"],
    "markdown_it": ["zot.extensions.ui.markdown"],
    "nats": ["zot.extensions.events*"],
    "obstore": ["zot.storage.object_store*"],
    "pydantic": ["zot.config*"],
    "redis": ["zot.*.redis*"],
    "sqlite3": [],
}

# The drivers of an interface. Beside their own package only the modules that assemble a process may import them.
DRIVERS = {
    "zot.catalog": ["sqlite", "postgres", "redis", "dynamodb", "memory"],
    "zot.storage": ["filesystem", "object_store", "memory"],
    "zot.accounts": ["sqlite", "files", "postgres", "redis", "dynamodb", "memory"],
    "zot.replicas": ["postgres", "redis", "memory"],
    "zot.statistics": ["sqlite", "postgres", "redis"],
}
# A driver that is above another one: layouts are objects of the same object store.
ABOVE = {"zot.storage": ["zot.layout.object_store*"]}
ASSEMBLERS = ["zot.accounts.*_engine", "zot.server.drivers", "zot.server.preflight", "zot.server.store"]


@cache
def imports() -> dict[str, list[str]]:
    """Map each module of the product to the full names it imports: `from a import b` counts as `a.b`."""
    return {module_name(path): list(_imported(ast.parse(path.read_bytes()))) for path in SOURCE.rglob("*.py")}


def module_name(path: Path) -> str:
    """Return `zot.oci.digest` for src/zot/oci/digest.py, `zot.oci` for src/zot/oci/__init__.py."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are refused by ruff (TID252)"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(package: str) -> list[str]:
    """Return the modules that import `package` or something in it."""
    return [
        module
        for module, names in imports().items()
        if any(name == package or name.startswith(f"{package}.") for name in names)
    ]


@pytest.mark.parametrize("library", FENCES)
def test_a_library_stays_behind_its_fence(library: str) -> None:
    """Only the modules in FENCES import a library, so that it can be replaced in one place."""
    outside = [
        module for module in importers(library) if not any(fnmatch(module, allowed) for allowed in FENCES[library])
    ]
    assert outside == []


@pytest.mark.parametrize("package", DRIVERS)
def test_only_the_assemblers_know_drivers(package: str) -> None:
    """Use cases know an interface; only the modules that assemble a process know its driver."""
    outside = [
        f"{module} imports {package}.{driver}"
        for driver in DRIVERS[package]
        for module in importers(f"{package}.{driver}")
        if not any(fnmatch(module, allowed) for allowed in [f"{package}*", *ABOVE.get(package, []), *ASSEMBLERS])
    ]
    assert outside == []


@pytest.mark.parametrize("client", ["zot.zb", "zot.zli"])
def test_clients_import_values_alone(client: str) -> None:
    """The command-line clients work with any registry: of the product they import the OCI values only."""
    foreign = [
        f"{module} imports {name}"
        for module, names in imports().items()
        if module == client or module.startswith(f"{client}.")
        for name in names
        if name.startswith("zot.") and not name.startswith((f"{client}.", "zot.oci.", "zot.__version__"))
    ]
    assert foreign == []


def test_values_do_no_io() -> None:
    """The OCI values use no file, socket, process, thread, event loop or clock."""
    impure = {
        "aiohttp",
        "asyncio",
        "http",
        "io",
        "os",
        "pathlib",
        "random",
        "socket",
        "subprocess",
        "threading",
        "time",
    }
    found = [
        f"{module} imports {name}"
        for module, names in imports().items()
        if module.startswith("zot.oci")
        for name in names
        if name.split(".")[0] in impure
    ]
    assert found == []


def test_an_extension_sees_others_through_their_interface() -> None:
    """An extension imports another extension's `interface` module, never its insides."""
    found = []
    for module, names in imports().items():
        if not module.startswith("zot.extensions."):
            continue
        own = module.split(".")[2]
        for name in names:
            parts = name.split(".")
            if (
                parts[:2] == ["zot", "extensions"]
                and len(parts) > 3
                and parts[2] not in {own, "declaration"}
                and parts[3] != "interface"
            ):
                found.append(f"{module} imports {name}")
    assert found == []


def test_the_foundation_knows_nothing_of_registries() -> None:
    """What every package stands on stands on the standard library, and on SQLite for the files that it opens."""
    found = [
        f"{module} imports {name}"
        for module, names in imports().items()
        if module.startswith("zot.foundation")
        for name in names
        if not name.startswith("zot.foundation.") and name.split(".")[0] not in {"apsw", *sys.stdlib_module_names}
    ]
    assert found == []


def modules_of(path: Path, known: Collection[str]) -> Iterator[str]:
    """Yield which of the known modules a module imports when it is run, in functions too, but for types alone."""
    tree = ast.parse(path.read_bytes())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)


def test_no_import_circle() -> None:
    """Modules import each other in no circle, also not in one that an import within a function hides."""
    paths = {module_name(path): path for path in SOURCE.rglob("*.py")}
    imported = {module: set(modules_of(path, paths.keys())) for module, path in paths.items()}
    settled: set[str] = set()

    def follow(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " > ".join((*trail[trail.index(module) :], module))
        if module not in settled:
            for each in sorted(imported.get(module, ())):
                follow(each, (*trail, module))
            settled.add(module)

    for module in sorted(imported):
        follow(module, ())
