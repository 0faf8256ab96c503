"""The supervisor: starts the other processes, replaces those that die, and stops all in order.

It imports almost nothing and does nothing else, so that it does not die itself. If it does, by kill -9, the others
see the end of the pipe that it holds and leave.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from zot.processes.notify import notify
from zot.processes.plan import VARIABLE, Plan

FATAL_STATUS = 78
"""A child exits with it (EX_CONFIG of sysexits.h) when it would fail the same way again: the server stops."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_RESTART_DELAYS_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_STABLE_S = 10.0
# After what the workers may take for draining, the others get this long.
_GRACE_S = 10.0


@dataclass
class Child:
    """A place for a process, and the one that has it now."""

    role: str
    slot: int
    descriptors: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    started_s: float = 0.0
    failures: int = 0
    restart_s: float = 0.0
    stopping: bool = field(default=False)

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"{self.role}-{self.slot}" if self.role == "worker" else self.role


class Supervisor:
    """Runs a plan until it is told to stop."""

    def __init__(self, plan: Plan, sockets: Sequence[socket.socket], locks: Sequence[int]) -> None:
        """Take the plan, a listening socket a worker, and the descriptors of the roots' locks, which all inherit."""
        self._plan = plan
        self._locks = tuple(locks)
        self._children = [
            Child("writer", 0),
            *(Child("worker", slot, (each.fileno(),)) for slot, each in enumerate(sockets)),
            Child("jobs", 0),
        ]
        self._selector = selectors.DefaultSelector()
        self._lifeline, self._lifeline_held = os.pipe()
        self._wakeup, wakeup_held = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(wakeup_held, False)
        signal.set_wakeup_fd(wakeup_held, warn_on_full_buffer=False)
        self._stop_signals = 0
        self._status = 0
        self._announced = False

    def run(self) -> int:
        """Serve until a signal says to stop, or a child fails for good; return the exit status."""
        for number in _STOP_SIGNALS:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        for child in self._children:
            self._start(child)
        while not self._stop_signals and not self._status:
            self._wait(self._next_restart_s())
            self._reap()
            self._restart()
        notify("STOPPING=1")
        self._stop_all()
        return self._status

    # --- starting ---

    def _start(self, child: Child) -> None:
        ready, ready_held = os.pipe()
        inherited = (*self._locks, *child.descriptors, self._lifeline, ready_held)
        environment = {
            **os.environ,
            VARIABLE: self._plan.encode(),
            "ZOT_ROLE": child.role,
            "ZOT_SLOT": str(child.slot),
            "ZOT_LISTENER": str(child.descriptors[0]) if child.descriptors else "",
            "ZOT_LIFELINE": str(self._lifeline),
            "ZOT_READY": str(ready_held),
        }
        child.process = subprocess.Popen(
            [sys.executable, "-m", "zot.processes.child"], env=environment, pass_fds=inherited, start_new_session=True
        )
        os.close(ready_held)
        child.started_s = time.monotonic()
        child.ready = False
        self._selector.register(ready, selectors.EVENT_READ, child)

    def _wait(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                os.read(self._wakeup, 4096)
                continue
            child: Child = key.data
            child.ready = bool(os.read(key.fd, 1)) or child.ready
            self._selector.unregister(key.fd)
            os.close(key.fd)
        if not self._announced and all(child.ready for child in self._children):
            self._announced = True
            notify("READY=1")

    # --- replacing ---

    def _reap(self) -> None:
        for child in self._children:
            process = child.process
            if process is None or process.poll() is None:
                continue
            child.process = None
            if child.stopping:
                continue
            if process.returncode == FATAL_STATUS:
                self._status = 1
                return
            lived_s = time.monotonic() - child.started_s
            child.failures = 0 if lived_s > _STABLE_S else child.failures + 1
            delay_s = _RESTART_DELAYS_S[min(child.failures, len(_RESTART_DELAYS_S) - 1)]
            child.restart_s = time.monotonic() + delay_s
            self._say(f"process {child.name} (pid {process.pid}) {_ending(process.returncode)}; it is replaced")

    def _next_restart_s(self) -> float | None:
        due = [child.restart_s for child in self._children if child.process is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _restart(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and child.restart_s <= now:
                self._start(child)

    # --- stopping ---

    def _stop(self, *_: object) -> None:
        self._stop_signals += 1

    def _stop_all(self) -> None:
        """Stop in the order in which they need each other: nobody asks the writer when it goes."""
        drain_s = self._plan.drain_s + _GRACE_S
        for role in ("worker", "jobs", "writer"):
            children = [child for child in self._children if child.role == role and child.process is not None]
            for child in children:
                child.stopping = True
                self._signal(child, signal.SIGTERM)
            self._wait_for(children, time.monotonic() + drain_s)

    def _wait_for(self, children: Sequence[Child], deadline_s: float) -> None:
        signals = self._stop_signals
        while any(child.process is not None for child in children):
            left_s: float | None = deadline_s - time.monotonic()
            if time.monotonic() >= deadline_s or self._stop_signals > signals:  # told twice: at once
                for child in children:
                    self._signal(child, signal.SIGKILL)
                left_s = None
            self._wait(left_s)
            self._reap()

    @staticmethod
    def _signal(child: Child, number: int) -> None:
        if child.process is not None and child.process.poll() is None:
            child.process.send_signal(number)

    @staticmethod
    def _say(message: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f'{{"time":"{stamp}","level":"error","module":"supervisor","message":"{message}"}}\n'
        os.write(2, line.encode())


def _ending(status: int) -> str:
    return f"died of signal {-status}" if status < 0 else f"ended with status {status}"


def main() -> int:
    """Run the plan of the environment on the descriptors that were left open for it."""
    plan = Plan.decode(os.environ[VARIABLE])
    sockets = [socket.socket(fileno=int(each)) for each in os.environ["ZOT_LISTENERS"].split(",")]
    locks = [int(each) for each in os.environ["ZOT_LOCKS"].split(",") if each]
    return Supervisor(plan, sockets, locks).run()


if __name__ == "__main__":
    sys.exit(main())
