"""What runs in a process that the supervisor forked: one role, until told to stop or left alone."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zot.processes.channel import READY, ChannelSender
from zot.server.heartbeats import PERIOD_S
from zot.server.plan import ServerPlan
from zot.server.running_state import RunningState, StateReport

FATAL_STATUS = 78
"""A child exits with it (EX_CONFIG of sysexits.h) when it would fail the same way again: the server stops."""


class FatalStartError(Exception):
    """The process cannot do its work, for this reason: a server that starts ends, one that runs tries again."""


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What a role is given."""

    plan: ServerPlan
    slot: int
    listener: socket.socket | None
    stop: asyncio.Event
    """Set when it is time to leave in good order."""
    ready: Callable[[], None]
    """To be called once the role does its work."""
    state: RunningState
    """What the other processes run by."""
    report: StateReport
    """To be called when the role runs by something else than `state`."""
    replaces: bool
    """Whether the server was ready before: what is down now is waited for, as the other processes do."""


Role = Callable[[ProcessContext], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What the supervisor wants to have running."""

    name: str
    role: Role
    slot: int = 0
    listener: socket.socket | None = None


@dataclass(frozen=True, slots=True)
class Handed:
    """What a process is given by its supervisor."""

    lifeline: int
    """A pipe, whose end tells the process to leave: the supervisor says so, or is gone."""
    channel: ChannelSender
    """To the supervisor."""
    state: RunningState
    """What the server started with."""
    reports: Mapping[bytes, bytes]
    """What its processes reported since, by kind."""
    replaces: bool


def run(plan: ServerPlan, place: ProcessSpec, handed: Handed) -> int:
    """Run a place's role in this process and return the exit status."""
    _show_name(place.name)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A terminal, or an init system, may signal all processes at once: only the supervisor knows the order to go in.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(plan, place)) as runner:
            runner.run(_run(plan, place, handed))
    except FatalStartError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1 if handed.replaces else FATAL_STATUS
    return 0


def _show_name(name: str) -> None:
    """Have `ps` and `top` show which of the server's processes this is, where the kernel has a place for it."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"zot {name}", encoding="ascii")


def _loop_factory(plan: ServerPlan, place: ProcessSpec) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """TLS is written by uvloop several times as fast; plain HTTP needs sendfile, which only the standard loop has."""
    if place.listener is None or not plan.tls:
        return None
    import uvloop  # noqa: PLC0415 (only where it is used)

    return uvloop.new_event_loop


async def _run(plan: ServerPlan, place: ProcessSpec, handed: Handed) -> None:
    loop = asyncio.get_running_loop()
    stop, began = asyncio.Event(), False

    def begin() -> None:
        nonlocal began
        began = True
        _say_ready(handed.channel)

    def leave() -> None:
        loop.remove_reader(handed.lifeline)
        stop.set()
        if not began:  # it may wait for what will never come, and has nothing to leave in good order
            role.cancel()

    context = ProcessContext(
        plan=plan,
        slot=place.slot,
        listener=place.listener,
        stop=stop,
        ready=begin,
        state=handed.state.updated(plan, handed.reports),
        report=handed.channel.send,
        replaces=handed.replaces,
    )
    role = asyncio.ensure_future(place.role(context))
    beats = asyncio.ensure_future(_beat(plan, place.name))
    loop.add_reader(handed.lifeline, leave)
    try:
        await role
    except asyncio.CancelledError:
        if began or not stop.is_set():
            raise
    finally:
        beats.cancel()


async def _beat(plan: ServerPlan, name: str) -> None:
    """Show that this process's event loop runs, until cancelled."""
    while True:
        plan.heartbeats.beat(name)
        await asyncio.sleep(PERIOD_S)


def _say_ready(channel: ChannelSender) -> None:
    # What was built to serve stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    channel.send(READY)
