"""A writer as a process: `writer_program.py DIRECTORY SOCKET BOOT`, until SIGTERM."""

import asyncio
import signal
import sys
from pathlib import Path

from zot.catalog.sqlite.server import serve_writer


async def main(directory: Path, socket: Path, boot: str) -> None:
    """Serve until asked to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve_writer(directory, socket, boot, stop)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
