"""Probes every node from every other zone, and keeps the history of the results.

For each node and each other zone a task probes the node over the network from that zone's monitoring host. The latest result is kept as a
`ProbeHistory`, with the number of equal results in a row. A healthy node is probed every interval. A node that has just refused is probed
again at once, so that a dead engine is confirmed within a twentieth of a second. A silent node is probed again as soon as its probe has
timed out. The monitoring hosts also ping each other, so that an isolated one is detected where no node answers either.

Nothing is decided here. A callback reports that something about a deployment has changed, without data.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from msgspec.structs import replace

from zonal.control.failover import LONGEST_ATTACH_SECONDS, ProbeHistory
from zonal.engines.node import Monitors, Node, ProbeResult, ProbeStatus
from zonal.foundation.clock import Clock

_log = logging.getLogger(__name__)

QUICK_SECONDS = 0.05
"""The pause before a probe that may confirm a first refusal, and between probes of a starting node."""
QUICK_PROBES = 40
"""After so many quick probes in a row a node that is still starting is probed at the ordinary interval."""
GRACE_SECONDS = 5.0
"""How long a started node may be silent or refuse before that counts."""
LONGEST_SECONDS = LONGEST_ATTACH_SECONDS
"""Cap for `detached_seconds`; larger values do not change any decision."""
FINE_SECONDS = 60.0
"""Up to here a change of `detached_seconds` by half a second is reported, beyond it a change by a fifth."""
PING_PORT = 9


class ProbeTiming:
    """The interval between probes and the time-out of one, in seconds."""

    def __init__(self, *, interval: float, timeout: float) -> None:
        self.interval = interval
        self.timeout = timeout


class HealthMonitor:
    """Probes all watched deployments. `changed` is called with a deployment's id after a result with news.

    `monitor_addresses` are the addresses of the monitoring hosts by zone.
    """

    def __init__(
        self,
        monitors: Monitors,
        *,
        zones: Iterable[str],
        pace: ProbeTiming,
        clock: Clock,
        changed: Callable[[str], None],
        monitor_addresses: Mapping[str, str] | None = None,
    ) -> None:
        self._monitors = monitors
        self._zones = tuple(zones)
        self._pace = pace
        self._clock = clock
        self._changed = changed
        self._monitor_addresses = dict(monitor_addresses or {})
        self._watched: dict[str, dict[str, _ProbedNode]] = {}
        self._pings: dict[tuple[str, str], bool] = {}
        self._ping_tasks: list[asyncio.Task[None]] = []

    def watch(self, deployment: str, nodes: Mapping[str, Node]) -> None:
        """Probe exactly these nodes of a deployment from now on. A node that is watched already stays watched."""
        watched = self._watched.setdefault(deployment, {})
        for name in [name for name, each in watched.items() if nodes.get(name) is not each.node]:
            watched.pop(name).stop()
        for name, node in nodes.items():
            if name not in watched:
                watched[name] = _ProbedNode(node)
                watched[name].tasks = [self._begin(deployment, watched[name], zone) for zone in self._zones if zone != node.host.zone]
        if not watched:
            self._watched.pop(deployment)
        self._begin_pings()

    def histories(self, deployment: str, node: str) -> tuple[ProbeHistory, ...]:
        """The latest history from each zone."""
        watched = self._watched.get(deployment, {}).get(node)
        return tuple(watched.histories.values()) if watched else ()

    def connected_zones(self) -> frozenset[str]:
        """The zones whose monitoring host got an answer from another zone to its latest probe or ping."""
        heard = {zone for (zone, _), answered in self._pings.items() if answered}
        for watched in (each for nodes in self._watched.values() for each in nodes.values()):
            heard |= {
                zone
                for zone, history in watched.histories.items()
                if history.latest.status is not ProbeStatus.SILENT and history.latest.detail != _GRACE
            }
        return frozenset(heard)

    def expect(self, deployment: str, node: str) -> None:
        """Reset a node's histories before its start, and begin its grace period. The deployment's `detached_seconds` start over."""
        for name, watched in self._watched.get(deployment, {}).items():
            if name == node:
                watched.histories.clear()
                watched.patient_until = self._clock.monotonic() + GRACE_SECONDS
                watched.wake()
            watched.histories = {zone: replace(history, detached_seconds=0.0) for zone, history in watched.histories.items()}

    def forget(self, deployment: str, node: str) -> None:
        """Discard a node's histories, because its role or its data have changed."""
        watched = self._watched.get(deployment, {}).get(node)
        if watched:
            watched.histories.clear()
            watched.patient_until = 0.0

    async def probe_now(self, deployment: str, node: str) -> tuple[ProbeResult, ...]:
        """Probe a watched node from every other zone now; the results enter its histories."""
        watched = self._watched.get(deployment, {}).get(node)
        if watched is None:
            return ()
        zones = [zone for zone in self._zones if zone != watched.node.host.zone]
        return tuple(await asyncio.gather(*(self._probe(deployment, watched, zone) for zone in zones)))

    async def close(self) -> None:
        """Stop probing."""
        tasks = [task for nodes in self._watched.values() for each in nodes.values() for task in each.tasks] + self._ping_tasks
        self._watched.clear()
        self._ping_tasks = []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, deployment: str, watched: _ProbedNode, zone: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._keep_probing(deployment, watched, zone), name=f"probe {watched.node.spec.name} from {zone}")

    async def _keep_probing(self, deployment: str, watched: _ProbedNode, zone: str) -> None:
        while True:
            begun = self._clock.monotonic()
            await self._probe(deployment, watched, zone)
            pause = begun + self._pause(watched.histories.get(zone)) - self._clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.01)):
                    await watched.woken.wait()

    def _pause(self, history: ProbeHistory | None) -> float:
        """Seconds from the beginning of a probe to the beginning of the next."""
        if history is None:
            return QUICK_SECONDS
        if history.latest.status in (ProbeStatus.REFUSED, ProbeStatus.STARTING) and history.in_a_row <= QUICK_PROBES:
            return min(QUICK_SECONDS, self._pace.interval)
        return self._pace.interval

    async def _probe(self, deployment: str, watched: _ProbedNode, zone: str) -> ProbeResult:
        try:
            result = await watched.node.probe(self._monitors, zone, within=timedelta(seconds=self._pace.timeout))
        except Exception as error:  # An error must not end the task; it counts as silence.
            _log.warning("a probe of %s from %s failed", watched.node.spec.name, zone, exc_info=True)
            result = ProbeResult(watched.node.spec.name, zone, self._clock.monotonic(), ProbeStatus.SILENT, str(error))
        before = watched.histories.get(zone)
        if before is not None and before.latest.monotonic > result.monotonic:
            return result  # A later probe has ended before it.
        watched.histories[zone] = after = next_history(before, watched.judged(result, self._clock.monotonic()))
        if before is None or is_news(before, after):
            self._changed(deployment)
        if before is not None and before.status is ProbeStatus.SERVING and after.status is not ProbeStatus.SERVING:
            watched.wake()  # The other zones confirm or refute it at once.
        return result

    def _begin_pings(self) -> None:
        if self._ping_tasks or not self._monitor_addresses:
            return
        pairs = [(here, there) for here in self._monitor_addresses for there in self._monitor_addresses if here != there]
        self._ping_tasks = [asyncio.create_task(self._keep_pinging(*pair), name=f"ping from {pair[0]} to {pair[1]}") for pair in pairs]

    async def _keep_pinging(self, here: str, there: str) -> None:
        """Ping one monitoring host from another; a refusal is an answer too."""
        within = self._pace.timeout
        ping = functools.partial(tcp_ping, self._monitor_addresses[there], within)
        while True:
            if self._watched:
                try:
                    answered = await self._monitors.probe(here, ping, within=timedelta(seconds=within))
                except (TimeoutError, OSError):
                    answered = False
                self._record_ping(here, there, answered)
            await asyncio.sleep(2 * self._pace.interval)

    def _record_ping(self, here: str, there: str, answered: bool) -> None:
        before = self.connected_zones()
        self._pings[here, there] = answered
        if self.connected_zones() != before:
            for deployment in list(self._watched):
                self._changed(deployment)


def tcp_ping(address: str, within: float) -> bool:
    """Whether anything at this address answers, also with a refusal. Blocking, for a monitoring host's thread."""
    try:
        socket.create_connection((address, PING_PORT), timeout=within).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


_GRACE = "has just been started"


class _ProbedNode:
    """One node with its probe tasks and their histories."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.histories: dict[str, ProbeHistory] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.patient_until = 0.0
        self.woken = asyncio.Event()

    def wake(self) -> None:
        """Probe from every zone now, without waiting for the end of the pause."""
        self.woken.set()
        self.woken = asyncio.Event()

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()

    def judged(self, result: ProbeResult, now: float) -> ProbeResult:
        """The result; silence and refusals of a node in its grace period become `starting`."""
        if result.status in (ProbeStatus.SERVING, ProbeStatus.STARTING):
            self.patient_until = 0.0
        elif now < self.patient_until:
            return replace(result, status=ProbeStatus.STARTING, detail=_GRACE)
        return result


def next_history(before: ProbeHistory | None, result: ProbeResult) -> ProbeHistory:
    """The history after one more result."""
    if before is None or before.latest.status is not result.status:
        return ProbeHistory(result, 1, 0.0, 0.0)
    elapsed = max(result.monotonic - before.latest.monotonic, 0.0)
    confirms = not result.required or set(result.required) <= set(result.synchronous)
    waits = result.writable is not False and not (confirms and (result.streaming or result.required))
    detached = min(before.detached_seconds + elapsed, LONGEST_SECONDS) if result.status is ProbeStatus.SERVING and waits else 0.0
    return ProbeHistory(result, before.in_a_row + 1, before.answer_seconds + elapsed, detached)


def is_news(before: ProbeHistory, after: ProbeHistory) -> bool:
    """Whether the later history differs in anything that a decision uses. Any result but `serving` is news, because it is counted."""
    old, new, old_detached = before.latest, after.latest, before.detached_seconds
    if new.status is not ProbeStatus.SERVING or old.status is not ProbeStatus.SERVING:
        return True
    if _detached_step(old_detached) != _detached_step(after.detached_seconds):
        return True
    return (old.writable, old.required, old.synchronous, old.streaming) != (new.writable, new.required, new.synchronous, new.streaming)


def _detached_step(seconds: float) -> int:
    """A number that changes whenever a new value of `detached_seconds` has to be reported."""
    return int(2 * seconds) if seconds < FINE_SECONDS else int(2 * FINE_SECONDS + math.log(seconds / FINE_SECONDS, 1.2))
