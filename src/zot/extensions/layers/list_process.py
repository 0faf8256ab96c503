"""The process that lists one layer: its bytes come by standard input, and the list goes to standard output.

It opens no file and no connection, and the system ends it if it takes more processor time or memory than it may.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from zot.extensions.layers.list_frames import FilesListed, ListEnded, write_frame
from zot.extensions.layers.tar_list import TarList

PROCESSOR_S = 300
MEMORY_BYTES = 1 << 30
_NICE = 10
_FILES = 500
_READ_BYTES = 1 << 16


def main() -> None:
    """List the layer on standard input."""
    _bound()
    run(sys.stdin.buffer, sys.stdout.buffer)


def run(layer: BinaryIO, output: BinaryIO) -> None:
    """List a layer, and write frames."""
    made = TarList(iter(partial(layer.read, _READ_BYTES), b""))
    for files in _batches(made):
        write_frame(output, files)
    write_frame(output, ListEnded(made.is_archive, made.compression, made.size, made.note))


def _batches(made: TarList) -> Iterator[FilesListed]:
    batch = []
    for file in made.files():
        batch.append(file)
        if len(batch) == _FILES:
            yield FilesListed(batch)
            batch = []
    if batch:
        yield FilesListed(batch)


def _bound() -> None:
    """Give requests the processor, and let the system end this process where the bounds of the list do not."""
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    for kind, limit in (
        (resource.RLIMIT_CPU, PROCESSOR_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        bounded = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (bounded, hard))


if __name__ == "__main__":
    main()
