"""A catalog of a schema without owners: what happens to its claims, pending deletes and uploads."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from contract.catalog.examples import APP, digest
from zot.catalog.blob_commands import ClaimBlob, ClaimOutcome, ForgetBlob, PublishBlob, PublishOutcome
from zot.catalog.owner_commands import TakePendingDelete
from zot.catalog.rows import PendingDelete
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.driver import open_in_thread
from zot.catalog.sqlite.salvage import salvage
from zot.catalog.sqlite.schema import MIGRATIONS

SCHEMA = 5
"""The last schema without owners."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The directory of a catalog of that schema, with a claim, a pending delete and an upload."""
    with closing(apsw.Connection(str(tmp_path / DATABASE))) as database:
        for script in MIGRATIONS[:SCHEMA]:
            database.execute(script)
        database.pragma("user_version", SCHEMA)
        database.execute("INSERT INTO repository (name, adopted) VALUES (?, 1)", (APP,))
        database.execute("INSERT INTO claim (repository, digest, token) VALUES (?, ?, 'push')", (APP, digest("blob")))
        database.execute(
            "INSERT INTO blob (repository, digest, size, doom, referenced) VALUES (?, ?, 6, 'before-1', 0)",
            (APP, digest("doomed")),
        )
        database.execute(
            "INSERT INTO upload (session, repository, principal, received, algorithm, prefix, boot, updated_ns, owner)"
            " VALUES ('s', ?, 'alice', 5, 'sha256', ?, 'before', 1, 'user alice')",
            (APP, digest("prefix")),
        )
    return tmp_path


async def test_what_an_older_version_left_is_completed(old: Path) -> None:
    """Its claim is void, its pending delete is taken over, and its upload goes on, without the recorded digest."""
    catalog = open_in_thread(old, "new")
    lost = PublishBlob(repository=APP, digest=digest("blob"), token="push", size=4)
    assert await catalog.do(lost) is PublishOutcome.CLAIM_LOST
    doomed = digest("doomed")
    assert await catalog.doomed(10) == [PendingDelete(APP, doomed, "before-1", "", abandoned=True)]
    take = TakePendingDelete(repository=APP, digest=doomed, token="before-1", new_token="mine", owner="new")
    assert await catalog.do(take)
    await catalog.do(ForgetBlob(repository=APP, digest=doomed, token="mine"))
    claim = ClaimBlob(repository=APP, digest=doomed, token="push", owner="new")
    assert await catalog.do(claim) is ClaimOutcome.CLAIMED
    row = await catalog.upload("s")
    assert row is not None
    assert (row.offset, row.client, row.recorded_by) == (5, "user alice", "before")
    await catalog.close()


async def test_a_damaged_older_catalog_keeps_its_uploads_and_pending_deletes(old: Path) -> None:
    """They are found in a catalog that is rebuilt from it, under the names of the present schema."""
    assert salvage(old / DATABASE, old / "made", "new") is not None
    (old / "made").rename(old / DATABASE)
    catalog = open_in_thread(old, "newer")
    assert await catalog.doomed(10) == [PendingDelete(APP, digest("doomed"), "before-1", "", abandoned=True)]
    row = await catalog.upload("s")
    assert row is not None
    assert (row.offset, row.client) == (5, "user alice")
    await catalog.close()
