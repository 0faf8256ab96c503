"""Calls that the product never makes, even where a linter rule is switched off."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

MODULES = {"dill", "marshal", "pickle", "shelve"}
CALLS = {"asyncio.to_thread", "eval", "exec", "os.popen", "os.system", "to_thread"}
# storage/disk.py alone changes files of a store, so that it records every change (the crash tests rely on that). The
# lock of a root is separate: it does not concern content.
STORE_PARTS = ("admin", "layout", "maintenance", "migration", "registry", "storage")
# The record of what was imported from zot is beside the catalog, in no store.
DOORS = {"migration/import_zot_metadata.py", "storage/disk.py", "storage/lock.py"}
FILE_CALLS = {
    "open",
    *(f"os.{name}" for name in ("fsync", "ftruncate", "link", "makedirs", "mkdir", "open", "pwrite", "remove")),
    *(f"os.{name}" for name in ("rename", "replace", "rmdir", "symlink", "truncate", "unlink", "utime", "write")),
}


def offences(source: str) -> Iterator[str]:
    """Yield each forbidden import and call of a module, with its line.

    Forbidden are modules that load code from data, calls that run text as code or through a shell, and the default
    executor of an event loop, whose queue is unbounded: blocking work goes to a named pool.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = {alias.name for alias in names} & MODULES
            case ast.ImportFrom(module=str(module), names=names):
                found = ({module} & MODULES) | ({f"{module}.{alias.name}" for alias in names} & CALLS)
            case ast.Call(func=function, args=arguments, keywords=keywords):
                called = ast.unparse(function)
                found = {called} & CALLS
                executors = [*arguments[:1], *(word.value for word in keywords if word.arg == "executor")]
                if called.endswith(".run_in_executor") and "None" in map(ast.unparse, executors):
                    found.add("run_in_executor(None")
                if any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in keywords):
                    found.add("shell=")
            case _:
                continue
        yield from (f"line {node.lineno}: {name}" for name in found)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_makes_a_forbidden_call(path: Path) -> None:
    """No module of the product unpickles, evaluates, uses a shell or the default executor."""
    assert list(offences(path.read_text())) == []


@pytest.mark.parametrize(
    "path",
    sorted(
        path
        for part in STORE_PARTS
        for path in (SOURCE / "zot" / part).rglob("*.py")
        if path.relative_to(SOURCE / "zot").as_posix() not in DOORS
    ),
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_the_disk_module_is_the_only_door_to_the_file_system(path: Path) -> None:
    """No other module of the store opens, writes, renames or removes a file."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = [(call.lineno, ast.unparse(call.func)) for call in calls]
    assert [
        f"line {line}: {name}"
        for line, name in names
        if name in FILE_CALLS or name.startswith("shutil.") or name.endswith((".write_bytes", ".write_text"))
    ] == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from marshal import loads",
        "from asyncio import to_thread",
        "async def f(): await asyncio.to_thread(g)",
        "loop.run_in_executor(None, g)",
        "loop.run_in_executor(executor=None, func=g)",
        "asyncio.get_running_loop().run_in_executor(None, g)",
        "eval(text)",
        "os.system(line)",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=ask)",
    ],
)
def test_the_check_sees_what_it_forbids(code: str) -> None:
    """Each kind of forbidden call is found."""
    assert list(offences(code)) != []
