"""The one writer: carries commands out, a batch in one commit, each as if it were alone.

A batch takes what has arrived, up to `BATCH_LIMIT` commands, for as long as the disk's last sync took (2 to 20 ms): to
leave commands for another batch, and another sync, would cost them more than it saves those that wait for this one.
Nothing is answered before the commit.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from zot.catalog.blob_commands import PutBlob
from zot.catalog.clock import Clock, Source
from zot.catalog.command import REMEMBERED_S, Command, OwnedCommand, RepositoryCommand
from zot.catalog.commands import handlers_in
from zot.catalog.interface import (
    CatalogError,
    CatalogFullError,
    CatalogUnavailableError,
    CatalogUnusableError,
    LeaseEndedError,
)
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import (
    PutManifest,
)
from zot.catalog.sqlite import directory as place
from zot.catalog.sqlite.codec import decode_outcome, encode
from zot.catalog.sqlite.connection import DAMAGED, translated
from zot.catalog.sqlite.database import Database
from zot.catalog.sqlite.disk_reserve import DiskReserve
from zot.catalog.sqlite.handlers import blobs, change_log, claims, layouts, owners, tags, uploads
from zot.catalog.sqlite.handlers import manifests as manifest_handlers
from zot.catalog.sqlite.quota_totals import QuotaTotals
from zot.catalog.sqlite.recovery import SUSPECT, held_boot, last_ns, open_at_start, open_later, reopen
from zot.catalog.sqlite.repair import Repair
from zot.catalog.sqlite.revision import WriterRevision
from zot.catalog.sqlite.scope import CatalogScope, RepositoryScope
from zot.catalog.upload_commands import CreateUploadRow, LeaseUpload
from zot.foundation.sqlite_file import DAMAGE

BATCH_LIMIT = 256
SHORTEST_BATCH_S = 0.002
LONGEST_BATCH_S = 0.02

_HANDLERS = handlers_in(blobs, claims, manifest_handlers, tags, uploads, layouts, owners, change_log)

# Faults of the command itself; any other error of SQLite concerns the whole batch.
_OF_COMMAND = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)

# Two statements: SQLite scans the whole table for one with OR.
_FORGET_EARLIER = "DELETE FROM remembered WHERE at_ns <= ?"
_FORGET_LATER = "DELETE FROM remembered WHERE at_ns > ?"

_REPAIR_RETRY_S = 5.0

# What takes room for good. All others free some, or go with what is there already.
_GROWING = (PutManifest, PutBlob, ImportLayout, CreateUploadRow, LeaseUpload)
_HOLD_RETRY_S = 5.0
_NO_ROOM = "too little room is free on the catalog's disk: only deletes are carried out"

_logger = logging.getLogger(__name__)


class Writer:
    """The database, opened for writing under a lock. It is called by one thread at a time."""

    def __init__(
        self,
        directory: Path,
        boot: str,
        source: Source = time.time_ns,
        vfs: str | None = None,
        *,
        syncs: bool = True,
        begun: bool = False,
    ) -> None:
        """Open the catalog in `directory` for a start of the store, as `recovery.begin` does; `boot` is its owner id.

        With `begun` a start has done that already: the catalog has to hold `boot`, and nothing is made. Without
        `syncs` no commit waits for the disk (`storage.commit: false`).

        Raises CatalogUnusableError if it cannot be opened, is in use, or was written by a newer program, and
        CatalogUnavailableError if it is not the one that was begun.
        """
        self._vfs, self._syncs = vfs, syncs
        self._totals = QuotaTotals()
        self._source = source
        self._reserve = DiskReserve(directory)
        self._hold_after_s = 0.0
        self._batch_s = SHORTEST_BATCH_S
        self._free_bytes: int | None = None
        """What is left of the disk's space for the batch; None: not asked yet."""
        self._repair: Repair | None = None
        self._no_repair_before_s = 0.0
        self._path = place.existing(directory) if begun else place.prepare(directory)
        self._suspect = str(self._path.with_name(SUSPECT))
        self._lock = place.lock(directory, create=not begun)
        try:
            self._database: Database | None
            if begun:
                self._database = open_later(self._path, boot, vfs, syncs=syncs)
            else:
                self._database = open_at_start(self._path, boot, vfs, source, syncs=syncs)
            self.boot = held_boot(self._database.connection)
            self._clock = Clock(source, last_ns(self._database))
            self._revision = WriterRevision(directory)
        except (apsw.Error, OSError) as error:
            if isinstance(error, DAMAGE):
                Path(self._suspect).touch()
            self._lock.close()
            raise CatalogUnusableError(f"{self._path} cannot be opened: {error}") from error
        except BaseException:
            self._lock.close()
            raise

    def run(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Carry out the first of the commands in one commit; return the outcome or CatalogError of each of these.

        How many it was is the length of the answer: at least one, if any were given. They are in the database when
        it returns, synced to the disk if one of them is durable.
        """
        if not self._is_whole():
            return [CatalogUnavailableError(DAMAGED)] * len(commands)
        try:
            if self._database is None:
                self._database = reopen(self._path, self.boot, self._vfs, syncs=self._syncs)
            return self._commit_with_room(self._database, commands)
        except apsw.Error as error:
            self._give_up(error)
            return [translated(error)] * len(commands)
        except CatalogUnavailableError as error:
            _logger.error("the catalog's writer changes nothing: %s", error)  # noqa: TRY400 (it passes)
            return [error] * len(commands)
        finally:
            self._revision.count()

    def tend(self, *, idle: bool) -> None:
        """Maintain the log; to be called when a batch is answered, and at least once a second in pauses."""
        if idle and not self._is_whole():  # else its batch has just looked
            return
        if self._database is None:
            return
        if idle:
            self._hold_reserve()
        try:
            self._database.wal.tend(idle=idle)
        except apsw.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Empty the log, if no reader is in the way, and close database and lock."""
        if self._repair is not None:
            self._repair.join()
        try:
            if self._database is not None:
                self._database.wal.empty()
        except apsw.Error as error:
            _logger.warning("the catalog's log was left as it is: %s", error)
        finally:
            self._close_database()
            self._revision.close()
            self._lock.close()

    def _is_whole(self) -> bool:
        """Tell whether no damage was met; else close the database and have a thread repair it.

        Nothing is added to a damaged database: it could not be exported, and would have to be found again.
        """
        if self._repair is None:
            if not os.path.exists(self._suspect):  # noqa: PTH110 (a third of Path.exists, in each batch)
                return True
            self._close_database()
            self._totals.forget()
            if time.monotonic() < self._no_repair_before_s:
                return False
            self._repair = Repair(self._path, self.boot, self._lock)
        if self._repair.is_alive():
            return False
        error, self._repair = self._repair.error, None
        if error is not None:
            _logger.error("the damaged catalog cannot be mended yet: %s", error)
            self._no_repair_before_s = time.monotonic() + _REPAIR_RETRY_S
            return False
        self._revision.replace()
        return True

    def _give_up(self, error: apsw.Error) -> None:
        """Undo an unfinished batch; close the database if it cannot be trusted."""
        _logger.error("the catalog's writer failed: %s", error)
        self._totals.forget()
        if isinstance(error, DAMAGE):
            Path(self._suspect).touch()
        try:
            if self._database is not None and not isinstance(error, apsw.IOError):
                self._database.roll_back()
                return
        except apsw.Error:
            _logger.exception("and could not go back")
        self._close_database()

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _hold_reserve(self) -> None:
        if not self._reserve.is_held and time.monotonic() >= self._hold_after_s:
            self._reserve.hold()
            self._hold_after_s = time.monotonic() + _HOLD_RETRY_S

    def _commit_with_room(self, database: Database, commands: Sequence[Command[Any]]) -> list[Any]:
        """Commit a batch. On a full disk, what frees room gets the log's, and then the reserve's. Raises apsw.Error."""
        try:
            return self._commit(database, commands)
        except apsw.FullError as error:
            if all(isinstance(command, _GROWING) for command in commands):
                raise
            database.roll_back()
            self._totals.forget()
            _logger.warning("no room for the catalog's database: %s", error)
        with suppress(apsw.BusyError, apsw.FullError):
            database.wal.empty()
        try:
            return self._commit(database, commands)
        except apsw.FullError:
            if not self._reserve.release():
                raise
            database.roll_back()
            self._totals.forget()
        with suppress(apsw.BusyError, apsw.FullError):
            database.wal.empty()
        return self._commit(database, commands)

    def _has_room_for(self, command: Command[Any], database: Database) -> bool:
        """Tell whether a command may be carried out that takes room: the log is to be copied into the database, too."""
        if not isinstance(command, _GROWING):
            return True
        if isinstance(command, PutManifest | PutBlob):
            size = len(command.content)
        elif isinstance(command, ImportLayout):
            size = sum(len(each.content) for each in command.manifests)
        else:
            size = 0
        # A disk too small for a reserve, or one that is being filled, has what `minFreeBytes` says.
        if self._reserve.was_released:
            return False
        if self._free_bytes is None:
            try:
                self._free_bytes = self._reserve.free_bytes() - database.wal.uncopied_bytes
            except OSError:
                return True  # the commit says what is wrong
        if self._free_bytes < 2 * size:
            return False
        self._free_bytes -= 2 * size
        return True

    def _commit(self, database: Database, commands: Sequence[Command[Any]]) -> list[Any]:
        """Commit a batch. Hardly any command fails midway: only then it is done again, each in a savepoint."""
        try:
            return self._commit_by(self._carry_out, database, commands)
        except Exception as error:
            if isinstance(error, apsw.Error) and not isinstance(error, _OF_COMMAND):
                raise
            _logger.debug("a batch is carried out again: %r", error)
        database.roll_back()
        self._totals.forget()
        return self._commit_by(self._attempt, database, commands)

    def _commit_by(
        self, carry_out: Callable[[Database, Command[Any]], Any], database: Database, commands: Sequence[Command[Any]]
    ) -> list[Any]:
        durable = any(command.durable for command in commands)
        database.begin(durable=durable)
        if any(command.remembered for command in commands):
            self._forget_outcomes(database)
        self._free_bytes = None
        until_s = time.monotonic() + self._batch_s
        outcomes: list[Any] = []
        for command in commands:
            try:
                has_room = self._has_room_for(command, database)
                done = carry_out(database, command) if has_room else CatalogFullError(_NO_ROOM)
            except LeaseEndedError as error:
                done = error  # and nothing was changed
            outcomes.append(done)
            if time.monotonic() > until_s:
                break
        began_s = time.monotonic()
        database.execute("COMMIT")
        if durable:
            self._batch_s = min(max(SHORTEST_BATCH_S, time.monotonic() - began_s), LONGEST_BATCH_S)
        return outcomes

    def _forget_outcomes(self, database: Database) -> None:
        """Delete outcomes that are too old, and those of a time that the system's clock has since gone back from.

        The cost grows with what is deleted, not with what is remembered.
        """
        wall_ns = self._source()
        database.execute(_FORGET_EARLIER, wall_ns - REMEMBERED_S * 10**9)
        database.execute(_FORGET_LATER, wall_ns + REMEMBERED_S * 10**9)

    def _attempt(self, database: Database, command: Command[Any]) -> Any:
        """Carry out a command, wholly or not at all: one command's fault must not fail the others."""
        database.execute("SAVEPOINT command")
        try:
            outcome = self._carry_out(database, command)
        except LeaseEndedError as error:
            outcome = error
        except Exception as error:
            if isinstance(error, apsw.Error) and not isinstance(error, _OF_COMMAND):
                raise
            repository = command.repository if isinstance(command, RepositoryCommand) else "the catalog"
            _logger.exception("%s on %s failed", type(command).__name__, repository)
            database.execute("ROLLBACK TO command")
            self._totals.forget()
            outcome = CatalogError(f"{type(command).__name__} failed: {error}")
        database.execute("RELEASE command")
        return outcome

    def _carry_out(self, database: Database, command: Command[Any]) -> Any:
        now_ns = self._clock.now_ns()
        # Not the catalog's time, which stands still for as long as the system's was ahead before.
        wall_ns = self._source()
        if command.remembered:
            for (known,) in database.execute("SELECT outcome FROM remembered WHERE command = ?", command.id):
                return decode_outcome(type(command), known)
        if isinstance(command, OwnedCommand):
            owners.require_alive(database.cursor, command.owner)
        handler = _HANDLERS[type(command)]
        if isinstance(command, RepositoryCommand):
            scope = RepositoryScope(database.cursor, command, now_ns, self._totals)
            outcome = handler(scope, command)
            scope.settle()
        else:
            outcome = handler(CatalogScope(database.cursor, now_ns), command)
        if command.remembered:
            database.execute("INSERT INTO remembered VALUES (?, ?, ?)", command.id, wall_ns, encode(outcome))
        return outcome
