"""Looking: every node, from every other zone, again and again; and remembering what was seen.

For each node and each other zone a task asks the node over the network from that zone's monitoring host. What it saw is kept as the
latest `Look`, with how many in a row gave the same answer. A healthy node is asked every interval; one that has just refused is asked
again at once, so that a dead engine is certain within a twentieth of a second; one that is silent is asked again as soon as the look has
timed out.
The monitoring hosts also knock at each other, so that one that is itself cut off is known even where there is nothing else to hear.

Nothing is decided here. Whoever is interested is told that something about a deployment has changed, without data.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from msgspec.structs import replace

from zonal.control.failover import Look
from zonal.engines.node import Answer, Monitors, Node, Sighting
from zonal.foundation.clock import Clock

_log = logging.getLogger(__name__)

QUICK_SECONDS = 0.05
"""The pause before a look that may confirm a first refusal, and between looks at a node that is starting."""
QUICK_LOOKS = 40
"""After so many quick looks in a row a node that is still starting is asked at the ordinary pace."""
GRACE_SECONDS = 5.0
"""How long a node that was just started may be silent or refuse without being judged for it."""
LONGEST_SECONDS = 60.0
"""Nobody asks for how much longer than this a leader has been without its standby."""
KNOCK_PORT = 9


class Pace:
    """How often to look, and how long to wait for an answer, in seconds."""

    def __init__(self, *, interval: float, timeout: float) -> None:
        self.interval = interval
        self.timeout = timeout


class Health:
    """The looks at all watched deployments. `changed` is called with a deployment's id when something about it has changed.

    `beacons` are the addresses of the monitoring hosts by zone.
    """

    def __init__(
        self,
        monitors: Monitors,
        *,
        zones: Iterable[str],
        pace: Pace,
        clock: Clock,
        changed: Callable[[str], None],
        beacons: Mapping[str, str] | None = None,
    ) -> None:
        self._monitors = monitors
        self._zones = tuple(zones)
        self._pace = pace
        self._clock = clock
        self._changed = changed
        self._beacons = dict(beacons or {})
        self._watched: dict[str, dict[str, _Watched]] = {}
        self._knocks: dict[tuple[str, str], bool] = {}
        self._knockers: list[asyncio.Task[None]] = []

    def watch(self, deployment: str, nodes: Mapping[str, Node]) -> None:
        """Look at exactly these nodes of a deployment from now on. A node that is watched already goes on being so."""
        watched = self._watched.setdefault(deployment, {})
        for name in [name for name, each in watched.items() if nodes.get(name) is not each.node]:
            watched.pop(name).stop()
        for name, node in nodes.items():
            if name not in watched:
                watched[name] = _Watched(node)
                watched[name].tasks = [self._begin(deployment, watched[name], zone) for zone in self._zones if zone != node.host.zone]
        if not watched:
            self._watched.pop(deployment)
        self._begin_knocking()

    def looks(self, deployment: str, node: str) -> tuple[Look, ...]:
        """The latest look from each zone."""
        watched = self._watched.get(deployment, {}).get(node)
        return tuple(watched.looks.values()) if watched else ()

    def hearing(self) -> frozenset[str]:
        """The zones whose monitoring host's latest look at, or knock on, something in another zone was answered."""
        heard = {zone for (zone, _), answered in self._knocks.items() if answered}
        for watched in (each for nodes in self._watched.values() for each in nodes.values()):
            heard |= {
                zone for zone, look in watched.looks.items() if look.sighting.answer is not Answer.SILENT and look.sighting.detail != _GRACE
            }
        return frozenset(heard)

    def expect(self, deployment: str, node: str) -> None:
        """The node is about to be started: forget what was seen, and be patient with it for a while. It is not detached yet, either."""
        for name, watched in self._watched.get(deployment, {}).items():
            if name == node:
                watched.looks.clear()
                watched.patient_until = self._clock.monotonic() + GRACE_SECONDS
                watched.wake()
            watched.looks = {zone: replace(look, detached_seconds=0.0) for zone, look in watched.looks.items()}

    def forget(self, deployment: str, node: str) -> None:
        """The node is not what it was: what was seen of it says nothing any more."""
        watched = self._watched.get(deployment, {}).get(node)
        if watched:
            watched.looks.clear()
            watched.patient_until = 0.0

    async def look_now(self, deployment: str, node: str) -> tuple[Sighting, ...]:
        """Look at a watched node from every other zone at once, now; the sightings are remembered too."""
        watched = self._watched.get(deployment, {}).get(node)
        if watched is None:
            return ()
        zones = [zone for zone in self._zones if zone != watched.node.host.zone]
        return tuple(await asyncio.gather(*(self._look(deployment, watched, zone) for zone in zones)))

    async def close(self) -> None:
        """Stop looking."""
        tasks = [task for nodes in self._watched.values() for each in nodes.values() for task in each.tasks] + self._knockers
        self._watched.clear()
        self._knockers = []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, deployment: str, watched: _Watched, zone: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._keep_looking(deployment, watched, zone), name=f"look at {watched.node.spec.name} from {zone}")

    async def _keep_looking(self, deployment: str, watched: _Watched, zone: str) -> None:
        while True:
            begun = self._clock.monotonic()
            await self._look(deployment, watched, zone)
            pause = begun + self._pause(watched.looks.get(zone)) - self._clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.01)):
                    await watched.woken.wait()

    def _pause(self, look: Look | None) -> float:
        """How long from the beginning of a look to the beginning of the next."""
        if look is None:
            return QUICK_SECONDS
        if look.sighting.answer in (Answer.REFUSED, Answer.STARTING) and look.in_a_row <= QUICK_LOOKS:
            return min(QUICK_SECONDS, self._pace.interval)
        return self._pace.interval

    async def _look(self, deployment: str, watched: _Watched, zone: str) -> Sighting:
        try:
            sighting = await watched.node.look(self._monitors, zone, within=timedelta(seconds=self._pace.timeout))
        except Exception as error:  # A look must not end the looking; what it could not tell is silence.
            _log.warning("a look at %s from %s failed", watched.node.spec.name, zone, exc_info=True)
            sighting = Sighting(watched.node.spec.name, zone, self._clock.monotonic(), Answer.SILENT, str(error))
        before = watched.looks.get(zone)
        if before is not None and before.sighting.monotonic > sighting.monotonic:
            return sighting  # It was overtaken by a later one.
        watched.looks[zone] = after = following(before, watched.judged(sighting, self._clock.monotonic()))
        if before is None or is_news(before, after):
            self._changed(deployment)
        if before is not None and before.answer is Answer.SERVING and after.answer is not Answer.SERVING:
            watched.wake()  # The other zones need not wait for their turn to confirm it or not.
        return sighting

    def _begin_knocking(self) -> None:
        if self._knockers or not self._beacons:
            return
        pairs = [(here, there) for here in self._beacons for there in self._beacons if here != there]
        self._knockers = [asyncio.create_task(self._keep_knocking(*pair), name=f"knock from {pair[0]} at {pair[1]}") for pair in pairs]

    async def _keep_knocking(self, here: str, there: str) -> None:
        """Ask one monitoring host from another; a refusal is an answer, since somebody must have sent it."""
        within = self._pace.timeout
        knocking = functools.partial(knock, self._beacons[there], within)
        while True:
            if self._watched:
                try:
                    answered = await self._monitors.look(here, knocking, within=timedelta(seconds=within))
                except (TimeoutError, OSError):
                    answered = False
                self._heard(here, there, answered)
            await asyncio.sleep(2 * self._pace.interval)

    def _heard(self, here: str, there: str, answered: bool) -> None:
        before = self.hearing()
        self._knocks[here, there] = answered
        if self.hearing() != before:
            for deployment in list(self._watched):
                self._changed(deployment)


def knock(address: str, within: float) -> bool:
    """Whether anything at this address answers, if only to refuse. Blocks; for a monitoring host's thread."""
    try:
        socket.create_connection((address, KNOCK_PORT), timeout=within).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


_GRACE = "has just been started"


class _Watched:
    """One node with the tasks that look at it and what they saw."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.looks: dict[str, Look] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.patient_until = 0.0
        self.woken = asyncio.Event()

    def wake(self) -> None:
        """Have everybody look again now, however long the pause was to be."""
        self.woken.set()
        self.woken = asyncio.Event()

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()

    def judged(self, sighting: Sighting, now: float) -> Sighting:
        """The sighting, unless it would be held against a node that was only just started."""
        if sighting.answer in (Answer.SERVING, Answer.STARTING):
            self.patient_until = 0.0
        elif now < self.patient_until:
            return replace(sighting, answer=Answer.STARTING, detail=_GRACE)
        return sighting


def following(before: Look | None, sighting: Sighting) -> Look:
    """The look that comes after another one."""
    if before is None or before.sighting.answer is not sighting.answer:
        return Look(sighting, 1, 0.0, 0.0)
    elapsed = max(sighting.monotonic - before.sighting.monotonic, 0.0)
    confirms = not sighting.required or set(sighting.required) <= set(sighting.synchronous)
    waits = sighting.writable is not False and not (confirms and (sighting.streaming or sighting.required))
    detached = min(before.detached_seconds + elapsed, LONGEST_SECONDS) if sighting.answer is Answer.SERVING and waits else 0.0
    return Look(sighting, before.in_a_row + 1, before.answer_seconds + elapsed, detached)


def is_news(before: Look, after: Look) -> bool:
    """Whether the later look says anything that the earlier one did not. Trouble is news each time, since its counts matter."""
    old, new, old_detached = before.sighting, after.sighting, before.detached_seconds
    if new.answer is not Answer.SERVING or old.answer is not Answer.SERVING:
        return True
    if int(2 * old_detached) != int(2 * after.detached_seconds):
        return True
    return (old.writable, old.required, old.synchronous, old.streaming) != (new.writable, new.required, new.synchronous, new.streaming)
