"""`scheduler`: background work."""

from __future__ import annotations

from zot.config.section import Section, zot_key


class SchedulerConfig(Section):
    """How much background work is done at once."""

    num_workers: int = zot_key("numWorkers", 0, doc="Tasks that run at once; 0: four a core.")
