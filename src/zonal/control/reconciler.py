"""The driver of the reconcilers: runs them until the real state matches the records, and retries what fails.

A *reconciler* owns one kind of resource: `converge(key)` reads the records, observes the real state, and carries out what is missing. The
driver calls it after a change of a record that concerns the key, after a nudge, after the back-off of a failed call, and periodically. A
nudge carries no data, because `converge` observes everything again. So a lost nudge costs time, a repeated one costs nothing, and a
restarted region continues by nudging every key once.

One key has one convergence at a time; different keys run concurrently, up to `at_a_time` of each reconciler. An error is journalled as
`reconcile.failed` (again only when the reason changes or half a minute has passed), and the key is tried again after a pause that doubles,
with jitter, so that many failures do not retry at the same time.

>>> driver = Driver(store, [Lamps(store)], clock=clock)
>>> async with driver:
...     with store.transaction() as tx:
...         tx.put(Lamp(id="lamp-1", lit=True))
...     await driver.idle()  # The lamp is lit now.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from types import TracebackType
from typing import NamedTuple, Protocol

from zonal.foundation.clock import Clock
from zonal.foundation.errors import ZonalError, describe
from zonal.records.store import Record, Store, Watcher

_log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
RESYNC_SECONDS = 60.0
REPEAT_JOURNAL_SECONDS = 30.0
SHUTDOWN_SECONDS = 5.0


class Reconciler(Protocol):
    """Makes one kind of resource match its records. `kinds` are the record types whose changes concern it."""

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> Sequence[type[Record]]: ...

    def key_of(self, kind: str, id: str) -> str | Iterable[str] | None:
        """The key or keys that a change of this record concerns, or None. The record may be deleted already."""

    async def converge(self, key: str) -> float | None:
        """Make the resource match its records. After an error it is called again after a pause; it may be cancelled.

        Returns the real seconds after which it has to be called again although no record changes, or None.
        """


class KeyPhase(Enum):
    """The state of a key in the driver."""

    QUEUED = "queued"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    RESTING = "resting"


class ReconcileFailure(NamedTuple):
    """A key whose last convergence failed, for `zonal status`."""

    reconciler: str
    key: str
    why: str
    attempts: int


class Driver:
    """Runs reconcilers from `async with` to its end. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        reconcilers: Iterable[Reconciler],
        *,
        clock: Clock,
        at_a_time: int = 16,
        resync_seconds: float = RESYNC_SECONDS,
        source: random.Random | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = source or random.Random()
        self._resync_seconds = resync_seconds
        self._lanes = {each.name: _ReconcilerQueue(each, at_a_time) for each in reconcilers}
        self._unwatch: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._resync: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._closing = False

    async def __aenter__(self) -> Driver:
        for lane in self._lanes.values():
            self._unwatch.append(self._store.watch(lane.reconciler.kinds, self._watcher(lane)))
        self.nudge_all()
        self._resync = asyncio.create_task(self._resync_now_and_then(), name="driver resync")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Cancel the running convergences and wait for their end; each may be repeated, so a cancelled one is completed later."""
        self._closing = True
        for end in self._unwatch:
            end()
        self._unwatch.clear()
        for lane in self._lanes.values():
            lane.cancel_timers()
        tasks = [*self._tasks, *([self._resync] if self._resync else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=SHUTDOWN_SECONDS)

    def nudge(self, reconciler: str, key: str) -> None:
        """Converge this key soon. A key that backs off is tried at once, because its obstacle may be gone."""
        if not self._closing:
            self._lanes[reconciler].nudge(self, key)

    def nudge_all(self) -> None:
        """Converge every key that a record concerns."""
        for lane in self._lanes.values():
            for key in lane.known_keys(self._store):
                self.nudge(lane.reconciler.name, key)

    def retry_all(self) -> None:
        """Try every failed key again at once, after a change outside the records. A failure is reported again only if it recurs."""
        for lane in self._lanes.values():
            for work in lane.works.values():
                work.outdated = True
                work.run_outdated = work.state is KeyPhase.RUNNING
        self.nudge_all()

    @property
    def is_idle(self) -> bool:
        """Whether no key runs, is queued, or backs off."""
        return all(work.state is KeyPhase.RESTING for lane in self._lanes.values() for work in lane.works.values())

    async def idle(self, within: float = 60.0) -> None:
        """Wait until no key runs, is queued, or backs off. Raises `TimeoutError` with the keys that still do."""
        try:
            async with asyncio.timeout(within):
                while not self.is_idle:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            busy = [f"{lane.reconciler.name} {work.key} ({work.state.value}: {work.why or 'no failure'})" for lane, work in self._works()]
            raise TimeoutError(f"not idle after {within:g} s: {', '.join(busy)}") from None

    def failures(self) -> list[ReconcileFailure]:
        """Every key whose last convergence failed, and why; not those that `retry_all` has queued since."""
        failed = [(lane, work) for lane, work in self._works() if work.failures and not work.outdated]
        return [ReconcileFailure(lane.reconciler.name, work.key, work.why, work.failures) for lane, work in failed]

    def _watcher(self, lane: _ReconcilerQueue) -> Watcher:
        def watch(kind: str, id: str) -> None:
            for key in keys(lane.reconciler, kind, id):
                self.nudge(lane.reconciler.name, key)

        return watch

    def _works(self) -> list[tuple[_ReconcilerQueue, _KeyState]]:
        return [(lane, work) for lane in self._lanes.values() for work in lane.works.values() if work.state is not KeyPhase.RESTING]

    def begin(self, lane: _ReconcilerQueue, work: _KeyState) -> None:
        """Run a queued key; its queue has capacity."""
        if self._closing:
            return
        work.state = KeyPhase.RUNNING
        lane.running += 1
        task = asyncio.create_task(self._run(lane, work), name=f"{lane.reconciler.name} {work.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: _ReconcilerQueue, work: _KeyState) -> None:
        work.again = work.run_outdated = False
        failure: str | None = None
        later: float | None = None
        try:
            later = await lane.reconciler.converge(work.key)
        except asyncio.CancelledError:
            if self._closing:
                raise
            failure = "it was cancelled"
        except Exception as error:
            failure = reason(error)
            _log.info("%s %s failed", lane.reconciler.name, work.key, exc_info=not isinstance(error, ZonalError))
        finally:
            lane.running -= 1
        if failure is None:
            self._succeeded(lane, work, later)
        else:
            self._failed(lane, work, failure)
        lane.start_queued(self)
        self._changed.set()

    def _succeeded(self, lane: _ReconcilerQueue, work: _KeyState, later: float | None) -> None:
        if work.failures:
            self._note("reconcile.healed", lane, work, attempts=work.failures + 1)
        work.failures, work.why = 0, ""
        work.state = KeyPhase.RESTING
        if work.again:
            lane.nudge(self, work.key)
        elif later is not None:
            work.timer = asyncio.get_running_loop().call_later(later, lane.nudge, self, work.key)
        else:
            lane.works.pop(work.key)

    def _failed(self, lane: _ReconcilerQueue, work: _KeyState, why: str) -> None:
        work.failures += 1
        work.outdated = work.run_outdated
        now = self._clock.monotonic()
        if why != work.why or now - work.journalled > REPEAT_JOURNAL_SECONDS:
            work.journalled = now
            self._note("reconcile.failed", lane, work, why=why, attempts=work.failures)
        work.why = why
        work.state = KeyPhase.BACKING_OFF
        work.timer = asyncio.get_running_loop().call_later(pause_seconds(work.failures, self._random), lane.nudge, self, work.key)

    def _note(self, event: str, lane: _ReconcilerQueue, work: _KeyState, **fields: object) -> None:
        try:
            with self._store.transaction() as tx:
                tx.note(event, work.key, reconciler=lane.reconciler.name, **fields)
        except ZonalError:
            _log.warning("could not journal %s of %s", event, work.key, exc_info=True)

    async def _resync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._resync_seconds * self._random.uniform(0.8, 1.2))
            self.nudge_all()


def pause_seconds(failures: int, source: random.Random) -> float:
    """The pause after so many failures in a row: doubling up to a bound, with a jitter of half of it."""
    pause = min(FIRST_PAUSE_SECONDS * float(2 ** min(failures - 1, 16)), LONGEST_PAUSE_SECONDS)
    return pause * source.uniform(0.5, 1.5)


def reason(error: BaseException) -> str:
    """An error as the journal records it; of an exception group, its first leaf."""
    return describe(error) or "no reason given"


class _KeyState:
    """The driver's state of one key. A resting key without a timer is dropped."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.state = KeyPhase.QUEUED
        self.again = False
        self.failures = 0
        self.outdated = False
        """Whether `retry_all` was called since `why` was recorded."""
        self.run_outdated = False
        """Whether `retry_all` was called since the present run began."""
        self.why = ""
        self.journalled = float("-inf")
        self.timer: asyncio.TimerHandle | None = None


class _ReconcilerQueue:
    """One reconciler with its keys: at most `at_a_time` of them run at the same time."""

    def __init__(self, reconciler: Reconciler, at_a_time: int) -> None:
        self.reconciler = reconciler
        self.at_a_time = at_a_time
        self.running = 0
        self.works: dict[str, _KeyState] = {}

    def known_keys(self, store: Store) -> list[str]:
        found: dict[str, None] = {}
        for kind in self.reconciler.kinds:
            for record in store.select(kind):
                found |= dict.fromkeys(keys(self.reconciler, kind.kind, record.id))
        return list(found)

    def nudge(self, driver: Driver, key: str) -> None:
        work = self.works.setdefault(key, _KeyState(key))
        if work.timer is not None:
            work.timer.cancel()
            work.timer = None
        if work.state is KeyPhase.RUNNING:
            work.again = True
        else:
            work.state = KeyPhase.QUEUED
            self.start_queued(driver)

    def start_queued(self, driver: Driver) -> None:
        for work in list(self.works.values()):
            if self.running >= self.at_a_time:
                return
            if work.state is KeyPhase.QUEUED:
                driver.begin(self, work)

    def cancel_timers(self) -> None:
        for work in self.works.values():
            if work.timer is not None:
                work.timer.cancel()


def keys(reconciler: Reconciler, kind: str, id: str) -> tuple[str, ...]:
    """The keys that a change of a record concerns."""
    found = reconciler.key_of(kind, id)
    if found is None:
        return ()
    return (found,) if isinstance(found, str) else tuple(found)
