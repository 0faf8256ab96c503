"""A process that the supervisor forked: it runs one role until the supervisor stops it, or is gone."""

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

from zot.catalog.interface import LeaseEndedError
from zot.processes.channel import READY, ChannelSender
from zot.server.heartbeats import PERIOD_S
from zot.server.plan import ServerPlan
from zot.server.running_state import RunningState, StateReport

FATAL_STATUS = 78
"""A child exits with it (EX_CONFIG of sysexits.h) when it would fail the same way again: the server stops."""

LEASE_ENDED_STATUS = 75
"""A child exits with it (EX_TEMPFAIL of sysexits.h) when the owner's lease has ended: the server starts again."""


class FatalStartError(Exception):
    """Why a process cannot do its work: a server that starts ends, one that runs starts the process again."""


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What a role works with."""

    plan: ServerPlan
    slot: int
    listener: socket.socket | None
    stop: asyncio.Event
    """Set when the role has to finish its work and return."""
    ready: Callable[[], None]
    """The role calls it once it does its work."""
    state: RunningState
    """The configuration and certificates that the other processes run by."""
    report: StateReport
    """The role calls it when it runs by another state than `state`."""
    replaces: bool
    """Whether clients counted on the server before: then the role waits for a dependency that is down."""


Role = Callable[[ProcessContext], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process that the supervisor keeps running."""

    name: str
    role: Role
    slot: int = 0
    listener: socket.socket | None = None
    late: bool = False
    """Whether its start leaves the processor to the others until they are ready."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What the supervisor hands to a process."""

    lifeline: int
    """A pipe. Its end tells the process to leave: the supervisor closed it, or is gone."""
    channel: ChannelSender
    """To the supervisor."""
    state: RunningState
    """What the server started with."""
    reports: Mapping[bytes, bytes]
    """The last report of each kind by its processes since."""
    replaces: bool


def run(plan: ServerPlan, spec: ProcessSpec, handover: Handover) -> int:
    """Run a role in this process and return the exit status."""
    _show_name(spec.name)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A terminal or an init system may signal all processes at once, but only the supervisor knows the order to stop in.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(plan, spec)) as runner:
            runner.run(_run(plan, spec, handover))
    except FatalStartError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1 if handover.replaces else FATAL_STATUS
    except BaseExceptionGroup as group:
        if not lease_has_ended(group):
            raise
        return LEASE_ENDED_STATUS
    return 0


def lease_has_ended(group: BaseExceptionGroup) -> bool:
    """Return whether tasks failed because the lease of the server's owner has ended."""
    return group.subgroup(LeaseEndedError) is not None


def _show_name(name: str) -> None:
    """Show in `ps` and `top` which of the server's processes this is, where the kernel can."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"zot {name}", encoding="ascii")


def _loop_factory(plan: ServerPlan, spec: ProcessSpec) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop for TLS; plain HTTP needs the standard loop's sendfile."""
    if spec.listener is None or not plan.tls:
        return None
    import uvloop  # noqa: PLC0415 (only where it is used)

    return uvloop.new_event_loop


async def _run(plan: ServerPlan, spec: ProcessSpec, handover: Handover) -> None:
    loop = asyncio.get_running_loop()
    stop, began = asyncio.Event(), False

    def begin() -> None:
        nonlocal began
        began = True
        _report_ready(handover.channel)

    def leave() -> None:
        loop.remove_reader(handover.lifeline)
        stop.set()
        if not began:  # it may wait for something that never comes, and has nothing to finish
            role.cancel()

    context = ProcessContext(
        plan=plan,
        slot=spec.slot,
        listener=spec.listener,
        stop=stop,
        ready=begin,
        state=handover.state.updated(plan, handover.reports),
        report=handover.channel.send,
        replaces=handover.replaces,
    )
    role = asyncio.ensure_future(spec.role(context))
    beats = asyncio.ensure_future(_beat(plan, spec.name))
    loop.add_reader(handover.lifeline, leave)
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


def _report_ready(channel: ChannelSender) -> None:
    # The collector need not look again at objects that live as long as the process.
    gc.collect()
    gc.freeze()
    channel.send(READY)
