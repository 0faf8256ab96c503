"""The export stamp, by which a layout's `index.json` is recognised as our own.

The catalog keeps it as the `signature` of the last export.
"""

from __future__ import annotations

from typing import NamedTuple

from zot.catalog.interface import Catalog
from zot.layout.interface import FileSignature
from zot.oci.names import Repository

BY = ":index.json"
"""The author of imported tag changes in the tag log. No client has it: a login has no colon (RFC 7617)."""


class ExportStamp(NamedTuple):
    """The `index.json` that an export wrote, or that an import read."""

    signature: FileSignature
    shown_ns: int
    """The time of the last tag change that the file is known to show."""
    whole: bool
    """Whether all manifests that it lists are known to have files."""

    def __str__(self) -> str:
        """Return the text that the catalog keeps."""
        return ":".join(map(str, (*self.signature, self.shown_ns, int(self.whole))))


def parse_export_stamp(text: str | None) -> ExportStamp | None:
    """Return the stamp of a text that the catalog kept, or None if there is none."""
    try:
        size, version, modified_ns, shown_ns, whole = map(int, (text or "").split(":"))
    except ValueError:
        return None
    return ExportStamp(FileSignature(size, version, modified_ns), shown_ns, bool(whole))


async def last_change_ns(catalog: Catalog, repository: Repository) -> int:
    """Return the time of the repository's last tag change, or 0 if there is none."""
    changes = await catalog.tag_log(repository, None, None, 1)
    return changes[0].at_ns if changes else 0
