"""The declaration of `extensions.scrub`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zot.config.model import Config
from zot.extensions.declaration import Extension

if TYPE_CHECKING:
    from zot.maintenance.build import MaintenanceParts
    from zot.maintenance.scheduler import Task


def _jobs(config: Config, parts: MaintenanceParts) -> Sequence[Task]:
    from zot.maintenance.priority_slots import Priority  # noqa: PLC0415 (of use to a server alone)
    from zot.maintenance.scheduler import Task  # noqa: PLC0415
    from zot.maintenance.scrub import Scrubber  # noqa: PLC0415

    scrub = config.extensions.scrub
    if scrub is None or not scrub.enable:
        return []
    scrubber = Scrubber(parts.registry, parts.layouts, parts.hash_pool)
    return [Task("ScrubGenerator", scrubber.run, scrub.interval_s, Priority.LOW)]


EXTENSION = Extension("scrub", frozenset({"extensions.scrub"}), jobs=_jobs)
