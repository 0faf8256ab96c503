"""What runs in a process that the supervisor started: one role, until told to stop or left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module

from zot.processes.plan import VARIABLE, Plan
from zot.processes.supervisor import FATAL_STATUS

ROLES = {
    "writer": "zot.processes.writer",
    "worker": "zot.processes.worker",
    "jobs": "zot.processes.jobs",
}


class Fatal(Exception):
    """The process would fail the same way again: the whole server stops, saying this."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a role is given."""

    plan: Plan
    slot: int
    listener: socket.socket | None
    stop: asyncio.Event
    """Set when it is time to leave in good order."""
    ready: Callable[[], None]
    """To be called once the role does its work."""


Role = Callable[[Context], Awaitable[None]]


def main() -> int:
    """Run the role that the environment names. Exit status 78: do not start it again."""
    plan = Plan.decode(os.environ[VARIABLE])
    role: Role = import_module(ROLES[os.environ["ZOT_ROLE"]]).run
    try:
        run(plan, role)
    except Fatal as error:
        sys.stderr.write(f"Error: {error}\n")
        return FATAL_STATUS
    return 0


def run(plan: Plan, role: Role) -> None:
    """Run a role in an event loop: uvloop's for TLS, whose records it writes several times as fast."""
    if plan.tls and os.environ["ZOT_ROLE"] == "worker":
        import uvloop  # noqa: PLC0415 (only where it is used)

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    else:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_run(plan, role))


async def _run(plan: Plan, role: Role) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The other end is the supervisor's: its end means that the supervisor is gone, however it went.
    lifeline = int(os.environ["ZOT_LIFELINE"])
    loop.add_reader(lifeline, _orphaned, lifeline, stop)
    listener = os.environ["ZOT_LISTENER"]
    await role(
        Context(
            plan=plan,
            slot=int(os.environ["ZOT_SLOT"]),
            listener=socket.socket(fileno=int(listener)) if listener else None,
            stop=stop,
            ready=lambda: _say_ready(int(os.environ["ZOT_READY"])),
        )
    )


def _orphaned(lifeline: int, stop: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(lifeline)
    stop.set()


def _say_ready(descriptor: int) -> None:
    os.write(descriptor, b"1")
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
