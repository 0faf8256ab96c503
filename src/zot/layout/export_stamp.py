"""How a layout's `index.json` is known to be ours: what the catalog keeps as the export's `signature`."""

from __future__ import annotations

from typing import NamedTuple

from zot.catalog.interface import Catalog
from zot.layout.interface import FileSignature
from zot.oci.names import Repository

BY = ":index.json"
"""Who moved a tag that comes from a layout, in the tag log: no client, since a login has no colon (RFC 7617)."""


class ExportStamp(NamedTuple):
    """The file that an export, or an adoption, left in place."""

    signature: FileSignature
    shown_ns: int
    """The time of the last tag change that the file shows for sure."""
    whole: bool
    """Whether the files of all manifests that it lists are there for sure."""

    def __str__(self) -> str:
        """Return the text that the catalog keeps."""
        return ":".join(map(str, (*self.signature, self.shown_ns, int(self.whole))))


def parse_export_stamp(text: str | None) -> ExportStamp | None:
    """Return the mark that the catalog has kept, None if there is none."""
    try:
        size, inode, modified_ns, shown_ns, whole = map(int, (text or "").split(":"))
    except ValueError:
        return None
    return ExportStamp(FileSignature(size, inode, modified_ns), shown_ns, bool(whole))


async def last_change_ns(catalog: Catalog, repository: Repository) -> int:
    """Return the time of the repository's last tag change, 0 if there was none."""
    changes = await catalog.tag_log(repository, None, None, 1)
    return changes[0].at_ns if changes else 0
