"""A process that is the writer of many catalogs, so that each test has one of its own without starting a process.

Each line on its input names a directory to serve (`serve DIRECTORY SOCKET BOOT`) or to stop serving (`stop DIRECTORY`);
it answers `stopped` to the latter. It ends with its input.
"""

import asyncio
import sys
from pathlib import Path

from zot.catalog.sqlite.server import serve_writer


async def main() -> None:
    """Serve what the lines ask for."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    serving: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
    async for line in lines:
        match line.decode().split():
            case ["serve", directory, socket, boot]:
                stop = asyncio.Event()
                task = asyncio.create_task(serve_writer(Path(directory), Path(socket), boot, stop))
                serving[directory] = stop, task
            case ["stop", directory]:
                stop, task = serving.pop(directory)
                stop.set()
                await task
                sys.stdout.write("stopped\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
