"""Checks what a start opens, before it does: for `zot serve` and `zot verify`.

Nothing is made or changed, so that it may run while a server does, and as another user.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from zot.catalog.interface import CatalogError
from zot.config.auth import AuthConfig
from zot.config.errors import ConfigProblem, ConfigurationError, ConfigWarning, Finding
from zot.config.model import Config
from zot.server.drivers import catalog_engine
from zot.server.plan import ServerPlan
from zot.server.tls import TlsError, TlsFiles, validity_warning
from zot.storage.build import space_warnings
from zot.storage.owner import user_name


def preflight(config: Config, plan: ServerPlan) -> Iterator[Finding]:
    """Yield the problems that would end a start, and warnings of what would go wrong after it."""
    yield from _certificate(config)
    yield from _log_files(config)
    yield from _authentication(config)
    yield from _zui(config)
    for root in plan.roots:
        yield from _directory(Path(root), Path(root, ".zot"))
    state = plan.state
    for directory in dict.fromkeys((state.catalog, state.runtime)):
        if directory != Path(plan.roots[0], ".zot"):
            yield from _directory(directory, directory)
    yield from _own_files(plan)
    yield from map(ConfigWarning, space_warnings(config.storage))


def reachable_servers(config: Config, plan: ServerPlan) -> Iterator[Finding]:
    """Yield problems with the servers that a start needs. It waits for them, up to some seconds."""
    yield from _catalog_server(plan)
    yield from _session_server(config.http.auth)


def _catalog_server(plan: ServerPlan) -> Iterator[Finding]:
    try:
        yield from map(ConfigWarning, catalog_engine(plan).check())
    except ConfigurationError as error:
        yield from error.problems
    except CatalogError as error:
        yield ConfigProblem(f"storage.cacheDriver: {error}", prefix="")


def _session_server(auth: AuthConfig) -> Iterator[Finding]:
    if not auth.has_basic or auth.session_driver_name != "redis":
        return
    from zot.accounts.sessions.interface import SessionsUnavailableError  # noqa: PLC0415 - with Redis alone
    from zot.accounts.sessions.redis import PLACE, RedisSessions  # noqa: PLC0415 - with Redis alone

    async def ask() -> None:
        await (await RedisSessions.open(auth.session_driver or {})).close()

    try:
        asyncio.run(ask())
    except ConfigurationError as error:
        yield from (ConfigProblem(each.text, each.key or PLACE, each.expected, prefix="") for each in error.problems)
    except SessionsUnavailableError as error:
        yield ConfigProblem(f"{PLACE}: {error}", prefix="")


def _certificate(config: Config) -> Iterator[Finding]:
    files = TlsFiles.of(config.http)
    if files is None:
        return
    try:
        warning = validity_warning(files.read())
    except TlsError as error:
        yield ConfigProblem(str(error), prefix="")
        return
    if warning:
        yield ConfigWarning(warning, "http.tls.cert")


def _log_files(config: Config) -> Iterator[Finding]:
    for key, name in (("log.output", config.log.output), ("log.audit", config.log.audit)):
        if not name:
            continue
        path = Path(name)
        if path.is_dir():
            why = "Is a directory"
        elif path.exists():
            why = "" if os.access(path, os.W_OK) else permission_denied(path)
        elif not path.parent.is_dir():
            why = "Not a directory" if path.parent.exists() else "No such file or directory"
        else:
            why = "" if os.access(path.parent, os.W_OK | os.X_OK) else permission_denied(path.parent)
        if why:
            yield ConfigProblem(f"{key} {name!r}: {why}", prefix="")


def _authentication(config: Config) -> Iterator[Finding]:
    auth = config.http.auth
    if auth == AuthConfig() and config.http.access_control is None:
        return
    # Imported here: the libraries of logins are needed where there are users alone.
    from zot.accounts.memory import MemoryAccounts  # noqa: PLC0415
    from zot.accounts.sessions.memory import MemorySessions  # noqa: PLC0415
    from zot.auth.build import AuthParts  # noqa: PLC0415
    from zot.auth.check import check  # noqa: PLC0415
    from zot.foundation.threads import ThreadPool  # noqa: PLC0415

    pool = ThreadPool("preflight", 1, 1)  # nothing runs in it
    try:
        yield from check(config, AuthParts(pool, pool, MemoryAccounts(), MemorySessions()))
    except ConfigurationError as error:
        yield from error.problems
    except ValueError as error:
        yield ConfigProblem(str(error))
    finally:
        pool.close()


def _zui(config: Config) -> Iterator[Finding]:
    ui = config.extensions.ui
    if ui is None or not ui.enable or not ui.path:
        return
    from zot.extensions.ui.zui_build import ZuiBuildError, check_build  # noqa: PLC0415 - with a build alone

    try:
        check_build(Path(ui.path))
    except ZuiBuildError as error:
        yield ConfigProblem(f"extensions.ui.path {ui.path!r}: {error}", prefix="")


def _directory(path: Path, own: Path) -> Iterator[Finding]:
    """Check that a directory can be made or used, and what is directly in `own`, which is the server's alone."""
    there = next(each for each in (path, *path.parents) if os.path.exists(each))  # noqa: PTH110 - not: cannot be seen
    if not there.is_dir():
        yield ConfigProblem(f"{path}: {there} is not a directory", prefix="")
    elif not os.access(there, os.W_OK | os.X_OK | (os.R_OK if there == path else 0)):
        yield ConfigProblem(f"{path}: {permission_denied(there)}", prefix="")
    else:
        yield from _foreign_files(path, own)


def _foreign_files(path: Path, own: Path) -> Iterator[Finding]:
    foreign = next((each for each in _within(own) if not _usable(each)), None)
    if foreign is not None:
        owner = user_name(path.stat().st_uid)
        yield ConfigProblem(permission_denied(foreign), expected=f"chown -R {owner} {own}", prefix="")


def _within(directory: Path) -> Iterator[Path]:
    """Yield a directory, if it exists, and its entries."""
    if directory.is_dir():
        yield directory
        yield from directory.iterdir()


def _usable(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:  # a running server has just removed it
        return True
    return stat.S_ISSOCK(mode) or os.access(path, os.R_OK | os.W_OK | (os.X_OK if stat.S_ISDIR(mode) else 0))


def _own_files(plan: ServerPlan) -> Iterator[Finding]:
    """Check that nothing else lies where a file of the server has to be."""
    state = plan.state
    for path in (state.statistics_database, state.accounts_database, state.catalog_database, state.control_socket):
        if path.is_dir():
            yield ConfigProblem(f"{path} is a directory, and in the way of a file of this server: move it", prefix="")
    metrics = state.metrics
    if metrics.exists() and not metrics.is_dir():
        yield ConfigProblem(f"{metrics} is a file, and in the way of a directory of this server: move it", prefix="")


def problems(findings: Iterable[Finding]) -> list[ConfigProblem]:
    """Return the findings that end a start."""
    return [each for each in findings if isinstance(each, ConfigProblem)]


def permission_denied(path: Path) -> str:
    """Return why this user cannot use a path: to whom it belongs."""
    return f"Permission denied: {path} belongs to {user_name(path.stat().st_uid)}, this is {user_name(os.geteuid())}"
