"""Ask object stores what a start has to know of them, in a process that ends before the server forks.

The client of an object store has threads, which do not outlive a fork: the process that starts all others has none.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from zot.config.driver_options import S3
from zot.storage.interface import StorageError

_ENDS_S = 60.0
_EPOCH = ".zot/epoch"
"""When a server last started on the store, in nanoseconds since the epoch, as a root has it."""
_EPOCH_BYTES = 64


class ProbedStore(msgspec.Struct, frozen=True):
    """What an object store answered."""

    store: str = ""
    """Its identity; empty if `problem` says why it cannot be used."""
    epoch_ns: int = 0
    """When a server started on it before this one; 0 for never."""
    problem: str = ""


class _Asked(msgspec.Struct, frozen=True):
    options: dict[str, Any]
    expected: str | None


class _Request(msgspec.Struct, frozen=True):
    stores: dict[str, _Asked]
    now_ns: int


def probe(stores: Mapping[str, S3], expected: Mapping[str, str], now_ns: int) -> dict[str, ProbedStore]:
    """Return what each object store answers, by root; write the time of this start to those that can be used.

    A store without an identity gets one, unless `expected` has one for it. It blocks, some seconds for stores that do
    not answer. Raises StorageError if they cannot be asked at all.
    """
    if not stores:
        return {}
    request = _Request({root: _Asked(_parameters(each), expected.get(root)) for root, each in stores.items()}, now_ns)
    command = [sys.executable, "-m", "zot.storage.probe"]
    try:
        # The request has secrets: it is no argument, which other users see.
        done = subprocess.run(  # noqa: S603
            command, input=msgspec.json.encode(request), capture_output=True, timeout=_ENDS_S, check=True
        )
        return msgspec.json.decode(done.stdout, type=dict[str, ProbedStore])
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise StorageError(f"cannot ask the object stores {', '.join(stores)}: {last}") from error
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
        raise StorageError(f"cannot ask the object stores {', '.join(stores)}: {error}") from error


def _parameters(options: S3) -> dict[str, Any]:
    """Return options as they were configured, with their secrets, which a dump masks."""
    given = {str(field.alias): getattr(options, name) for name, field in S3.model_fields.items()}
    secrets = {key: value.get_secret_value() for key, value in given.items() if hasattr(value, "get_secret_value")}
    return given | secrets


async def _answer(request: _Request) -> dict[str, ProbedStore]:
    asked = [_ask(each, request.now_ns) for each in request.stores.values()]
    return dict(zip(request.stores, await asyncio.gather(*asked), strict=True))


async def _ask(asked: _Asked, now_ns: int) -> ProbedStore:
    from zot.storage.object_store.identity import ObjectStoreIdentity  # noqa: PLC0415
    from zot.storage.object_store.interface import ObjectMissingError  # noqa: PLC0415
    from zot.storage.object_store.s3 import S3Objects  # noqa: PLC0415 - brings the library, in the other process alone

    options = S3.model_validate(asked.options, by_name=False)
    objects = S3Objects(options, options.prefix)
    try:
        store = await ObjectStoreIdentity(objects, asked.expected).establish()
        try:
            _, epoch = await objects.open(_EPOCH, _EPOCH_BYTES)
        except ObjectMissingError:
            epoch = b""
        await objects.write(_EPOCH, [str(now_ns).encode()])
        return ProbedStore(store, int(epoch) if epoch.isdigit() else 0)
    except StorageError as error:
        return ProbedStore(problem=f"{objects.location}: {error}")
    finally:
        await objects.close()


if __name__ == "__main__":
    answers = asyncio.run(_answer(msgspec.json.decode(sys.stdin.buffer.read(), type=_Request)))
    sys.stdout.write(json.dumps(msgspec.to_builtins(answers)))
    sys.stdout.flush()
    # Threads of the library that call into an interpreter that ends would abort it.
    os._exit(0)
