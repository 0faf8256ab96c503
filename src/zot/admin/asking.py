"""Asks the background process of a running server, for a process that answers HTTP requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Protocol

from zot.admin.requests import AdminRequest, Noted, OperationProgress, Row

ANSWER_S = 5.0
"""How long a visitor waits for the background process."""


class Ask(Protocol):
    """Sends a request of administration to the process that works in the background (`ask_server`)."""

    def __call__(self, request: AdminRequest[Any], /) -> AsyncGenerator[Any, None]:
        """Yield rows, `OperationProgress` and `Noted`. Raises ConnectionError if no process answers, AdminError."""


class NotAnsweredError(Exception):
    """The background process does not answer, or not in time. It passes: a process that died is replaced."""


async def ask_for_rows(
    ask: Ask,
    request: AdminRequest[Row],
    *,
    limit_s: float = ANSWER_S,
    enough: Callable[[list[Row]], bool] = lambda _: False,
) -> list[Row]:
    """Return the rows of an answer, up to those that are `enough`.

    Raises NotAnsweredError without an answer within `limit_s`, AdminError if the request cannot be carried out.
    """
    rows: list[Row] = []
    try:
        async with asyncio.timeout(limit_s), aclosing(ask(request)) as answer:
            async for each in answer:
                if not isinstance(each, OperationProgress | Noted):
                    rows.append(each)
                    if enough(rows):
                        break
    except TimeoutError as error:
        raise NotAnsweredError(f"the background process has not answered within {limit_s:g} s") from error
    except OSError as error:
        raise NotAnsweredError("the background process does not answer") from error
    return rows
