"""The logs of a process of the server."""

from __future__ import annotations

from typing import Literal, cast

from zot.logs.setup import Logs
from zot.server.plan import ServerPlan


def open_logs(plan: ServerPlan, *, waits: bool = False) -> Logs:
    """Open the logs that the configuration names. Raises OSError if a file cannot be opened, unless `waits`.

    With `waits` lines are held until the file can be opened: so does a process whose log was good at its start.
    """
    form = cast("Literal['text', 'json'] | None", plan.log_format)
    return Logs(plan.log_level, plan.log_output, plan.log_audit, form, waits=waits)
