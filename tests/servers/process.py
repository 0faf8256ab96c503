"""A server program that a test starts, stops, kills, freezes and restarts."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0
# A server ends with the test run that started it, even if that is killed.
ORPHANS_DIE = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Process:
    """One server process, in a separate process group, with its output in a file.

    As a context manager it is started on entry and ended on exit, in whatever state the test left it.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the server; nothing starts yet. `start` calls `ready` until it returns True."""
        self.command = [str(word) for word in command]
        self.log = log
        self.ready = ready
        self.env = {**os.environ, **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError, with the end of its output, if it never is."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                ORPHANS_DIE + self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.env,
                start_new_session=True,
            )
        give_up = time.monotonic() + START_LIMIT_S
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.kill()
                raise RuntimeError(f"{self.command[0]} did not start:\n{self.output()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit code; kill it if it does not end. Idempotent."""
        if not self.process:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it and its children at once (SIGKILL), as a crash would. Idempotent."""
        if self.process:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def freeze(self) -> None:
        """Suspend it (SIGSTOP): its connections stay open, and it answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it after `freeze`."""
        self._signal(signal.SIGCONT)

    def output(self) -> str:
        """Return its output so far."""
        return self.log.read_text(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        self.stop()
        self.kill()


def free_port() -> int:
    """Return a TCP port of the loopback address that no process listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def accepts(port: int) -> bool:
    """Return whether a process accepts connections on this port of the loopback address."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
