"""The configuration and certificates that the processes of a server run by: the last valid ones.

The files they come from may be half-written, or gone, when a process is replaced. So the supervisor keeps what the
other processes run by, as they report it, and hands it to each process that it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zot.auth.cel import compile_condition
from zot.config.load import load
from zot.config.model import Config
from zot.config.parse import read_content
from zot.config.reload_diff import changes
from zot.config.secret_files import secret_paths
from zot.config.watch import Signature, signatures
from zot.server.plan import ServerPlan
from zot.server.tls import Pem, TlsFiles

CONFIG, CERTIFICATE = b"C", b"P"
"""Kinds of reports."""

StateReport = Callable[[bytes, bytes], None]
"""Reports to the supervisor what a process runs by from now on: a kind, and a `StateSnapshot` as bytes. It blocks."""


class StateSnapshot(msgspec.Struct, frozen=True):
    """Files as they were when they were found valid."""

    content: dict[str, bytes]
    seen: dict[str, Signature]

    def read(self, path: Path) -> bytes:
        """Return the content of a file. Raises FileNotFoundError."""
        try:
            return self.content[str(path)]
        except KeyError:
            raise FileNotFoundError(f"{path} was not read") from None

    def signatures(self) -> dict[Path, Signature]:
        """Return the signatures of the files, for a watch that starts from them."""
        return {Path(path): signature for path, signature in self.seen.items()}


class StateReader:
    """Reads files and remembers their content."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def read(self, path: Path) -> bytes:
        """Return the content of a file. Raises OSError."""
        content = self._content[str(path)] = read_content(path)
        return content

    def report(self, seen: Mapping[Path, Signature]) -> bytes:
        """Return a snapshot of the files read, as bytes for a report; it contains secrets."""
        return msgspec.msgpack.encode(StateSnapshot(self._content, {str(path): each for path, each in seen.items()}))


@dataclass(frozen=True, slots=True)
class RunningState:
    """The configuration, the certificate if there is HTTPS, and the signatures of their files."""

    config: Config
    config_seen: Mapping[Path, Signature]
    pem: Pem | None
    pem_seen: Mapping[Path, Signature]

    def updated(self, plan: ServerPlan, reports: Mapping[bytes, bytes]) -> RunningState:
        """Return this state with what the processes of the server have reported since, by kind."""
        config, config_seen, pem, pem_seen = self.config, self.config_seen, self.pem, self.pem_seen
        if CONFIG in reports and plan.config is not None:
            snapshot = msgspec.msgpack.decode(reports[CONFIG], type=StateSnapshot)
            loaded = load(Path(plan.config), compile_condition, overrides=plan.overrides, read=snapshot.read).config
            config, config_seen = changes(config, loaded).config, snapshot.signatures()
        files = TlsFiles.of(config.http)
        if CERTIFICATE in reports and files is not None:
            snapshot = msgspec.msgpack.decode(reports[CERTIFICATE], type=StateSnapshot)
            pem, pem_seen = files.read(snapshot.read), snapshot.signatures()
        return RunningState(config, config_seen, pem, pem_seen)


def unreported(_kind: bytes, _content: bytes) -> None:
    """Report nothing: a single process has no supervisor."""


def config_files(file: Path | None, config: Config) -> list[Path]:
    """Return the files that a configuration was read from: none for the embedded default."""
    return [] if file is None else [file, *secret_paths(config.http.auth)]


def first_state(config: Config, plan: ServerPlan, seen: Mapping[Path, Signature] | None = None) -> RunningState:
    """Return the state that a server starts with; `seen` has earlier signatures of files. Raises TlsError."""
    files = TlsFiles.of(config.http)
    watched: Iterable[Path] = () if files is None else files.watched
    pem_seen = signatures(watched)
    pem = None if files is None else files.read()
    file = Path(plan.config) if plan.config is not None else None
    return RunningState(config, signatures(config_files(file, config)) | dict(seen or {}), pem, pem_seen)
