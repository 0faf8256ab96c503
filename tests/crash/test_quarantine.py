"""A server dies while it moves a damaged blob to the quarantine: its bytes, maybe all that is left, are kept."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

from crash.conftest import Figure
from crash.expected import Step
from crash.power import cuts, fingerprint
from crash.scenarios import APP, LARGE, Scenario, push_blob
from crash.stage import Stage
from crash.store import Store, digest_of
from crash.trace import Change
from zot.registry.blob_deletion import quarantine_damaged
from zot.registry.damage import BAD_DIGEST, FoundBy

DIGEST = digest_of(LARGE)
DAMAGED = b"damaged" + LARGE[7:]
# States of the disk at one moment.
_STATES = 8
NAME = DIGEST.removeprefix("sha256:")


def content(root: Path) -> Path:
    """Return the blob's file in its layout."""
    return root / APP / "blobs" / "sha256" / NAME


def quarantined(root: Path) -> Path:
    """Return the blob's file in the quarantine."""
    return root / ".zot" / "quarantine" / APP / f"sha256-{NAME}"


async def damage(store: Store) -> None:
    """Change bytes behind the server's back."""
    content(store.root).write_bytes(DAMAGED)


async def quarantine(store: Store) -> None:
    """Do what a scrub does that finds the damage."""
    row = await store.catalog.blob(APP, DIGEST)
    if row is not None:
        await quarantine_damaged(store.registry, APP, DIGEST, row, BAD_DIGEST, FoundBy.SCRUB)


QUARANTINE = Scenario("quarantine", [push_blob(LARGE), Step("damage", {}, damage)], [Step("scrub", {}, quarantine)])


async def check(stage: Stage) -> None:
    """After a start has finished what was begun, the blob is absent, its bytes are kept, and a push heals it."""
    store = Store(stage.config, stage.pools)
    await store.finish_removals()
    await quarantine(store)
    assert quarantined(stage.root).read_bytes() == DAMAGED
    assert not content(stage.root).exists()
    assert await store.catalog.blob(APP, DIGEST) is None
    await store.push_blob(APP, LARGE)
    assert content(stage.root).read_bytes() == LARGE
    assert quarantined(stage.root).read_bytes() == DAMAGED
    await store.close()


async def test_a_kill_in_a_quarantine_loses_no_bytes(stage: Stage, figure: Figure) -> None:
    """The server is killed at each change; the next start, another owner, finishes the quarantine that was begun."""
    changes = sum(isinstance(event, Change) for event in (await stage.play(QUARANTINE)).events)
    assert changes > 5
    for die_at in range(changes):
        await stage.play(QUARANTINE, die_at=die_at)
        figure("processes killed in a quarantine", 1)
        await check(stage)


async def test_a_power_loss_in_a_quarantine_loses_no_bytes(stage: Stage, seed: int, figure: Figure) -> None:
    """The power fails at each moment, and takes what was not synced: the damaged bytes are at one of their places."""
    trace = await stage.play(QUARANTINE)
    chance = random.Random(seed)
    states = [tree for _, cut in cuts(trace) for tree, _ in islice(cut.states(chance), _STATES)]
    for tree in {fingerprint(tree): tree for tree in states}.values():
        stage.materialise(tree)
        figure("power losses in a quarantine", 1)
        await check(stage)
