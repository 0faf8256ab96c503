"""The keys of layouts in an object store, and the layouts among the keys of a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from zot.oci.digest import Digest
from zot.oci.names import LAYOUT_NAMES, InvalidNameError, Repository, parse_repository
from zot.registry.unimported import Unserved
from zot.storage.layout_paths import LayoutPaths

_PATHS = LayoutPaths("")
_INDEX, _OCI_LAYOUT = "index.json", "oci-layout"
# Prefixes of what programs write for themselves.
_OF_PROGRAMS = (".", "_")


def index_key(repository: str) -> str:
    """Return the key of the list of a layout's manifests."""
    return f"{repository}/{_INDEX}"


def oci_layout_key(repository: str) -> str:
    """Return the key of the object that marks an image layout."""
    return f"{repository}/{_OCI_LAYOUT}"


def content_key(repository: Repository, digest: Digest) -> str:
    """Return the key of content."""
    return _PATHS.content(repository, digest).removeprefix("/")


def content_prefix(repository: Repository) -> str:
    """Return the prefix of all content of a repository, which no other repository's content has."""
    return f"{repository}/blobs/"


def enclosing(path: str) -> Iterator[str]:
    """Iterate over the paths that have this one where a layout has its own files, the longest first."""
    components = path.split("/")
    for number in range(len(components) - 1, 0, -1):
        if components[number] in LAYOUT_NAMES:
            yield "/".join(components[:number])


@dataclass(slots=True)
class _Directory:
    """A prefix whose keys are being read."""

    path: str
    found: set[str] = field(default_factory=set)
    """Which of `index.json` and `oci-layout` were read."""
    within: list[str] = field(default_factory=list)
    """Layouts where this one would have its own files."""


class LayoutKeys:
    """Finds the layouts among keys that come in byte order. Memory does not grow with their number."""

    def __init__(self, location: str) -> None:
        """Start before the first key; `location` is what the keys are relative to, for operators."""
        self._location = location
        self._open: list[_Directory] = []

    def feed(self, key: str) -> Iterator[Repository | Unserved]:
        """Iterate over the layouts of which all is read with this key, but for their content.

        As on a file system: a layout that lies within another one, or whose name no repository can have, is not
        served; what programs have for themselves is skipped.
        """
        path, _, name = key.rpartition("/")
        if not path or name not in {_INDEX, _OCI_LAYOUT}:
            return
        # The keys of a prefix come one after the other.
        while self._open and not key.startswith(f"{self._open[-1].path}/"):
            yield from self._close()
        for each in (*reversed(list(enclosing(path))), path):
            if not self._open or len(self._open[-1].path) < len(each):
                self._open.append(_Directory(each))
        self._open[-1].found.add(name)

    def finish(self) -> Iterator[Repository | Unserved]:
        """Iterate over the layouts that are left after the last key."""
        while self._open:
            yield from self._close()

    def _close(self) -> Iterator[Repository | Unserved]:
        closed = self._open.pop()
        is_layout = closed.found == {_INDEX, _OCI_LAYOUT}
        for each in closed.within:
            if is_layout:
                yield Unserved(f"{self._location}/{each}", f"it lies within the layout {closed.path}")
            else:
                yield from self._found(each)
        if is_layout:
            yield from self._found(closed.path)

    def _found(self, path: str) -> Iterator[Repository | Unserved]:
        outer = set(enclosing(path))
        for directory in reversed(self._open):
            if directory.path in outer:
                directory.within.append(path)
                return
        try:
            yield parse_repository(path)
        except InvalidNameError as error:
            parent, _, name = path.rpartition("/")
            if not name.startswith(_OF_PROGRAMS) and (not parent or _is_repository(parent)):
                yield Unserved(f"{self._location}/{path}", str(error))


def _is_repository(path: str) -> bool:
    try:
        parse_repository(path)
    except InvalidNameError:
        return False
    return True
