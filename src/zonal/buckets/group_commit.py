"""Changes of one SQLite file, in order, many in one durable transaction (group commit).

What waits when a commit has ended is the next batch. A batch is worked off on the event loop's thread, where each change takes some tens
of microseconds, in a savepoint of its own, so that one that raises (a condition that does not hold) undoes itself only. Only the COMMIT,
which waits for the disk, goes to a thread. What was turned down: a thread that runs the changes as well. Each of their statements gives the
interpreter up and has to wait for it again, for up to 5 ms where the loop is busy, which made small writes four times as slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from zonal.buckets.blobs import DiskFull
from zonal.records.store import StoreUnavailable

T = TypeVar("T")


class QueuedChange(NamedTuple):
    """A change that waits for its turn. `then` is called once it is durable, whether or not anybody still waits for it."""

    work: Callable[[], Any]
    then: Callable[[], None]
    future: asyncio.Future[Any]


class GroupCommit:
    """The one writer of a database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._waiting: list[QueuedChange] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-commit")

    async def run(self, work: Callable[[], T], then: Callable[[], None]) -> T:
        """Run `work`, which changes the database, and return what it returned once that is durable and `then` was called.

        What it raises is raised here, and nothing of it happened. Raises `StoreUnavailable` where it could not be made durable.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(QueuedChange(work, then, future))
        if self._task is None:
            self._task = loop.create_task(self._commit_waiting(), name="catalog commits")
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Commit what waits, and end."""
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
            self._database.execute("BEGIN IMMEDIATE")
            outcomes = [self._outcome(each.work, alone=len(batch) == 1) for each in batch]
            if self._database.in_transaction:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._database.execute, "COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # The next BEGIN says what is wrong; those who wait here are answered now.
                    self._database.execute("ROLLBACK")
            outcomes = [(None, _explained(error))] * len(batch)
        for each, (result, failure) in zip(batch, outcomes, strict=True):
            if failure is None:
                each.then()
                each.future.set_result(result)
            else:
                each.future.set_exception(failure)

    def _outcome(self, work: Callable[[], Any], *, alone: bool) -> tuple[Any, Exception | None]:
        """A change, undone where it raises: back to a savepoint of its own, or all where it is alone. SQLite's failures end the batch."""
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
    return (DiskFull if is_full else StoreUnavailable)(f"the buckets' catalog could not commit: {error}")
