"""The blobs that are pushed and pulled: files made before a run and removed after it."""

import hashlib
import mmap
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zot.oci.digest import CANONICAL, Digest, digest_of, finished

MIB = 1 << 20
SMALL, MEDIUM, LARGE, HUGE = MIB, 10 * MIB, 100 * MIB, 1024 * MIB
USUAL_SIZES = (SMALL, MEDIUM, LARGE)
LABELS = {SMALL: "1MB", MEDIUM: "10MB", LARGE: "100MB", HUGE: "1GB"}

# The random first page makes each run's blobs new to the registry; the rest is a hole, which costs no disk.
_RANDOM_PAGE_BYTES = 4096
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Blob:
    """Content on disk, ready to be pushed."""

    path: Path
    size: int
    digest: Digest

    async def chunks(self) -> AsyncIterator[memoryview]:
        """Give the content piece by piece, straight from the page cache: nothing is read into a buffer first."""
        with self.path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        # Neither is closed by hand: the transport may still hold the last pieces when this generator has ended.
        for start in range(0, self.size, _CHUNK_BYTES):
            yield content[start : start + _CHUNK_BYTES]


@contextmanager
def prepared(sizes: Iterable[int], directory: Path, shrink: int = 1) -> Iterator[dict[int, Blob]]:
    """Make one blob for each nominal size, below `directory`; all are gone when the context ends.

    `shrink` divides the real sizes (never below one page), for a trial run. Raises OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zb-", dir=directory) as folder:
        yield {size: _make(Path(folder, f"{size}.blob"), max(size // shrink, _RANDOM_PAGE_BYTES)) for size in sizes}


def _make(path: Path, size: int) -> Blob:
    with path.open("wb") as file:
        file.write(os.urandom(_RANDOM_PAGE_BYTES))
        file.truncate(size)
    with path.open("rb") as file:
        digest = finished(hashlib.file_digest(file, CANONICAL), CANONICAL)
    return Blob(path, size, digest)


IMAGE_CONFIG = b"""{
\t"created": "2011-01-01T01:01:01Z",
\t"author": "ZotUser",
\t"architecture": "amd64",
\t"os": "linux",
\t"rootfs": {
\t\t"type": "layers",
\t\t"diff_ids": []
\t}
}"""
IMAGE_CONFIG_DIGEST = digest_of(IMAGE_CONFIG)
