"""The supervisor: starts the other processes, replaces those that die, and stops all in order.

It has imported what the others need and has one thread, so that a child is a fork: it starts in milliseconds, and the
code is in memory once. The supervisor itself only waits, so that it has no reason to die. If it is killed (kill -9),
the others see the end of a pipe that it holds, and leave in the same order as otherwise.

When another server has ended the lease of the owner, every process is refused by the catalog. Then all of them stop in
the same order, and start again as those of a new owner.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from zot.processes.channel import READY, ChannelReceiver, ChannelSender
from zot.processes.child import FATAL_STATUS, LEASE_ENDED_STATUS, Handover, ProcessSpec, run
from zot.processes.sd_notify import notify
from zot.server.heartbeats import HUNG_S, HUNG_STARTING_S, PERIOD_S, Silence
from zot.server.plan import ServerPlan
from zot.server.running_state import RunningState
from zot.server.stop_schedule import GRACE_S

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_RESTART_DELAYS_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_STABLE_S = 10.0
# A stop waits so long for processes that are being replaced: without them, layouts are not written.
_REPLACED_WITHIN_S = 8.0
# A late process starts after so long at the latest: the others may be recovering the catalog.
_LATE_S = 2.0
_CLOSED = -1


Groups = Sequence[Sequence[ProcessSpec]]
"""Groups of processes start together, and stop one group after the other, the last one first."""


@dataclass
class _Child:
    """A process that has to run, and its state."""

    spec: ProcessSpec
    group: int
    pid: int | None = None
    channel: ChannelReceiver | None = None
    silence: Silence | None = None
    ready: bool = False
    started_s: float = 0.0
    failures: int = 0
    restart_s: float = 0.0
    stopping: bool = False


class Supervisor:
    """Keeps the processes of a server running until a signal stops it."""

    def __init__(
        self,
        plan: ServerPlan,
        state: RunningState,
        groups: Groups,
        ready: Callable[[], None],
        renew: Callable[[], tuple[ServerPlan, Groups]],
    ) -> None:
        """`ready` is called once, when all processes do their work.

        `renew` returns plan and processes of a new owner, when no process of the last one runs any more.
        """
        self._state = state
        self._reports: dict[bytes, bytes] = {}
        self._ready = ready
        self._renew = renew
        self._arrange(plan, groups)
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._wakeup_held = os.pipe()
        self._stop_signals = 0
        self._failed = False
        self._lease_ended = False
        self._announced = False
        self._served = False
        """Whether all processes but the late ones were ready once: from then on clients count on them."""
        self._ticked_s = time.monotonic()

    def _arrange(self, plan: ServerPlan, groups: Groups) -> None:
        self._plan = plan
        self._groups = [[_Child(spec, number) for spec in group] for number, group in enumerate(groups)]
        # A pipe a group, whose end tells its processes to leave. The other end is held by the supervisor and all later
        # groups, so that also without a supervisor each group goes when those that need it are gone.
        self._lifelines = [os.pipe() for _ in groups]
        self._children = [child for group in self._groups for child in group]

    def run(self) -> int:
        """Serve until a signal says to stop, or a child fails for good; return the exit status."""
        for descriptor in (self._wakeup, self._wakeup_held):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wakeup_held, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        # All children share the memory of these objects for as long as no reference count in it changes. Their garbage,
        # some 2,000 objects of the imports, is not worth looking for while the first clients wait.
        gc.freeze()
        while not self._stops():
            for child in self._children:
                if child.spec.late:
                    child.restart_s = time.monotonic() + _LATE_S
                else:
                    self._start(child)
            while not (self._stops() or self._lease_ended):
                self._wait(self._next_restart_s())
                self._reap()
                if not (self._failed or self._lease_ended):
                    self._restart()
                    self._end_hung()
            if self._stops():
                notify("STOPPING=1")
            self._stop_all()
            if not self._stops():
                self._begin_again()
        return 1 if self._failed else 0

    def _stops(self) -> bool:
        """Return whether the server is to stop for good."""
        return bool(self._stop_signals) or self._failed

    def _begin_again(self) -> None:
        """Get processes of a new owner, after those of the last one have ended."""
        for read, _ in self._lifelines:
            os.close(read)
        self._arrange(*self._renew())
        self._lease_ended = False

    # --- starting ---

    def _start(self, child: _Child) -> None:
        receiving, sending = os.pipe()
        replaces = self._announced or (self._served and child.started_s > 0)
        child.started_s, child.ready = time.monotonic(), False
        child.silence = Silence(self._plan.heartbeats, child.spec.name)
        child.pid = os.fork()
        if child.pid == 0:
            os.close(receiving)
            self._become(child, sending, replaces=replaces)
        os.close(sending)
        child.channel = ChannelReceiver(receiving)
        self._selector.register(receiving, selectors.EVENT_READ, (child, child.channel))

    def _become(self, child: _Child, sending: int, *, replaces: bool) -> NoReturn:
        """Be the child: never return into the supervisor's code."""
        status = 1
        try:
            for _, held in self._lifelines[child.group :]:
                if held != _CLOSED:
                    os.close(held)
            for key in self._selector.get_map().values():
                if key.data is not None:
                    os.close(key.fd)  # the supervisor's end of another process's channel
            self._selector.close()
            # Until the server is ready, a late process finds changes of files by itself, and logs them.
            reports = {} if child.spec.late and not self._announced else self._reports
            lifeline = self._lifelines[child.group][0]
            handover = Handover(lifeline, ChannelSender(sending), self._state, reports, replaces)
            status = run(self._plan, child.spec, handover)
        except BaseException:  # noqa: BLE001 (nothing above reports it)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _wait(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                os.read(self._wakeup, 4096)
                continue
            child, channel = key.data
            for kind, content in channel.receive():
                if kind != READY:
                    self._reports[kind] = content
                elif child.channel is channel:
                    child.ready = True
            if channel.ended:
                self._selector.unregister(key.fd)
                channel.close()
        if all(child.ready or child.spec.late for child in self._children):
            self._served = True
            for child in self._children:
                if not child.started_s:
                    child.restart_s = 0.0
        if not (self._announced or self._stop_signals) and all(child.ready for child in self._children):
            self._announced = True
            self._ready()

    # --- replacing ---

    def _reap(self) -> None:
        for child in self._children:
            if child.pid is None:
                continue
            pid, ending = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            child.pid = None
            status = os.waitstatus_to_exitcode(ending)
            if status == FATAL_STATUS:
                self._failed = True
            elif status == LEASE_ENDED_STATUS:
                self._lease_ended = child.stopping = True
                _log("another server has ended the lease of this one: it starts again as a new owner", pid)
            elif not child.stopping:
                self._replace(child, pid, status)

    def _replace(self, child: _Child, pid: int, status: int) -> None:
        now_s = time.monotonic()
        child.failures = 0 if now_s - child.started_s > _STABLE_S else child.failures + 1
        child.restart_s = now_s + _RESTART_DELAYS_S[min(child.failures, len(_RESTART_DELAYS_S) - 1)]
        how = f"died of signal {-status}" if status < 0 else f"ended with status {status}"
        _log(f"process {child.spec.name} {how}; it is replaced", pid)

    def _next_restart_s(self) -> float:
        now_s = time.monotonic()
        due = [child.restart_s - now_s for child in self._children if child.pid is None and not child.stopping]
        return max(0.0, min([PERIOD_S, *due]))

    def _restart(self) -> None:
        now_s = time.monotonic()
        for child in self._children:
            if child.pid is None and not child.stopping and child.restart_s <= now_s:
                self._start(child)

    def _end_hung(self) -> None:
        """Kill processes that have not responded for too long; they are replaced as if they had died."""
        now_s = time.monotonic()
        elapsed_s = now_s - self._ticked_s
        if elapsed_s < PERIOD_S / 2:
            return
        self._ticked_s = now_s
        for child in self._children:
            if child.pid is None or child.silence is None:
                continue
            limit_s = HUNG_S if child.ready else HUNG_STARTING_S
            if child.silence.after(elapsed_s) > limit_s:
                _log(f"process {child.spec.name} has not responded for {limit_s:.0f} s; it is killed", child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.silence = None  # once is enough

    # --- stopping ---

    def _stop(self, *_: object) -> None:
        self._stop_signals += 1

    def _stop_all(self) -> None:
        """Stop in the order of need: when the writer stops, no process needs it any more."""
        stop = self._plan.stop
        stop.begin()
        if self._announced and self._stop_signals:
            sys.stderr.write(f"{stop.announcement()}\n")
            sys.stderr.flush()
        workers, *others = reversed(self._groups)
        served = any(child.ready for child in workers)
        for group, until_s in ((workers, stop.requests_s), *((group, stop.exports_s) for group in others)):
            if served and group is not workers:
                self._wait_until_ready(stop.left_s(until_s) / 2)
            for child in group:
                child.stopping = True
            self._end_lifeline(group[0].group)
            self._wait_for(group, time.monotonic() + stop.left_s(until_s) + GRACE_S)

    def _end_lifeline(self, group: int) -> None:
        """Tell a group's processes to leave. Processes forked later must not close this descriptor again."""
        read, held = self._lifelines[group]
        self._lifelines[group] = (read, _CLOSED)
        os.close(held)

    def _wait_until_ready(self, limit_s: float) -> None:
        """Replace processes that died and are needed for the last export, for up to `limit_s`."""
        needed = [child for child in self._children if not child.stopping]
        signals, deadline_s = self._stop_signals, time.monotonic() + min(limit_s, _REPLACED_WITHIN_S)
        while not self._failed and signals == self._stop_signals and time.monotonic() < deadline_s:
            self._restart()
            if all(child.pid is not None and child.ready for child in needed):
                return
            self._wait(min(self._next_restart_s(), max(0.0, deadline_s - time.monotonic())))
            self._reap()

    def _wait_for(self, children: Sequence[_Child], deadline_s: float) -> None:
        """Wait until processes have ended, and kill them at the deadline, or when another signal says to stop."""
        signals = self._stop_signals
        while any(child.pid is not None for child in children):
            # Another signal stops it at once.
            if time.monotonic() >= deadline_s or self._stop_signals > signals:
                for child in children:
                    if child.pid is not None:
                        os.kill(child.pid, signal.SIGKILL)
                deadline_s = float("inf")
                signals = self._stop_signals
            self._wait(min(max(0.0, deadline_s - time.monotonic()), 3600.0))
            self._reap()


def _log(message: str, pid: int) -> None:
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": "error",
        "module": "supervisor",
        "message": message,
        "pid": pid,
    }
    os.write(2, msgspec.json.encode(line) + b"\n")
