"""Group commit: changes of one SQLite file, in order, many in one durable transaction.

The changes that are waiting when a commit ends form the next batch. The batch runs on the event loop's thread, where each change takes tens
of microseconds, in a savepoint of its own, so that a change that raises (for example on a failed precondition) is rolled back alone. Only
COMMIT, which waits for the disk, runs in another thread. Turned down: running the changes in that thread as well. Each SQL statement
releases the interpreter's lock and has to acquire it again, for up to 5 ms while the loop is busy; small writes were four times as slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from zonal.buckets.blobs import DiskFull
from zonal.foundation.disk_reserve import WalReserve
from zonal.records.store import StoreUnavailable

T = TypeVar("T")


class QueuedChange(NamedTuple):
    """A waiting change. `then` is called when it is durable, even if the caller has been cancelled."""

    work: Callable[[], Any]
    then: Callable[[], None]
    future: asyncio.Future[Any]


class GroupCommit:
    """The one writer of a database."""

    def __init__(self, database: sqlite3.Connection, reserve: WalReserve) -> None:
        self._database = database
        self._reserve = reserve
        self._waiting: list[QueuedChange] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-commit")

    async def run(self, work: Callable[[], T], then: Callable[[], None]) -> T:
        """Run `work`, which changes the database, and return its result when the change is durable and `then` has been called.

        An exception of `work` is raised here and its change is rolled back. Raises `StoreUnavailable` if the commit fails.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(QueuedChange(work, then, future))
        if self._task is None:
            self._task = loop.create_task(self._commit_waiting(), name="catalog commits")
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Commit the waiting changes and close the database."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown()
        self._database.close()

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        finally:
            self._task = None

    async def _commit(self, batch: list[QueuedChange]) -> None:
        try:
            self._reserve.maintain(self._database)
            self._database.execute("BEGIN IMMEDIATE")
            outcomes = [self._outcome(each.work, alone=len(batch) == 1) for each in batch]
            if self._database.in_transaction:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._database.execute, "COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # The next BEGIN reports a remaining error; the waiting callers get theirs now.
                    self._database.execute("ROLLBACK")
            outcomes = [(None, _explained(error))] * len(batch)
        for each, (result, failure) in zip(batch, outcomes, strict=True):
            if failure is None:
                each.then()
                each.future.set_result(result)
            else:
                each.future.set_exception(failure)

    def _outcome(self, work: Callable[[], Any], *, alone: bool) -> tuple[Any, Exception | None]:
        """Run a change; if it raises, roll back to its savepoint, or the transaction if it is alone. SQLite's errors end the batch."""
        if not alone:
            self._database.execute("SAVEPOINT one")
        try:
            result = work()
        except sqlite3.Error:
            raise
        except Exception as error:
            self._database.execute("ROLLBACK" if alone else "ROLLBACK TO one")
            outcome: tuple[Any, Exception | None] = None, error
        else:
            outcome = result, None
        if not alone:
            self._database.execute("RELEASE one")
        return outcome


def _explained(error: sqlite3.Error) -> StoreUnavailable:
    is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return (DiskFull if is_full else StoreUnavailable)(f"the S3 catalog cannot commit: {error}")
