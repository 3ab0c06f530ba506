"""A simulation with faults: zones, hosts and engines that hold lists of writes, in virtual time.

An engine is the essence of a replicated database: a durable list of writes, a role, whom it requires, whom it follows. What it has
written survives everything; whether it may tell its client so depends on those that it requires. Faults are those of the real
fabric: a zone is cut (`network`) or cut and killed (`power`), an engine dies or hangs, a host loses its plug.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from zonal.control.deployment_reconciler import DeploymentReconciler
from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, DeploymentStatus, Member, Placement
from zonal.control.owners import NameTarget, Owner, Owners
from zonal.control.reconciler import Driver
from zonal.engines.node import EngineFailed, HostUnreachable, LogFile, NodeSpec, Origin, ProbeResult, ProbeStatus, Rejoined
from zonal.engines.options import EngineSecrets
from zonal.engines.postgres.options import PostgresOptions, PostgresSecrets
from zonal.engines.registry import POSTGRES
from zonal.foundation.clock import RegionClock
from zonal.foundation.identifiers import arn
from zonal.foundation.settings import Settings
from zonal.records.store import Store

T = TypeVar("T")
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
A, B, C = ZONES
CATCH_UP_SECONDS = 0.4


class Simulation:
    """Everything that outlives a region: zones, hosts, engines, the store."""

    def __init__(self) -> None:
        self.store = Store(":memory:")
        self.clock = RegionClock()
        self.faults: dict[str, str] = {}
        self.engines: dict[str, Engine] = {}
        self.name: str = ""
        self.settings = Settings()
        self.wrap: Callable[[Any], Any] = lambda node: node

    def cut(self, zone: str) -> bool:
        return zone in self.faults

    def fail(self, zone: str, kind: str) -> None:
        self.faults[zone] = kind
        if kind == "power":
            for engine in self.engines.values():
                if engine.host.zone == zone:
                    engine.host.lose_power()

    def recover(self, zone: str) -> None:
        self.faults.pop(zone, None)

    def joined(self, one: str, other: str) -> bool:
        return one == other or not (self.cut(one) or self.cut(other))

    def settle(self) -> None:
        """Replicas catch up, once they have been connected for a while: what they missed takes time to come over."""
        for engine in self.engines.values():
            leader = engine.connected_to()
            if leader is None:
                engine.connected_at = None
                continue
            if engine.log == leader.log:
                engine.connected_at = float("-inf")  # It has missed nothing.
            engine.connected_at = engine.connected_at or self.clock.monotonic()
            if self.clock.monotonic() - engine.connected_at >= CATCH_UP_SECONDS:
                engine.log += leader.log[len(engine.log) :]
                engine.timeline = leader.timeline

    def writable_and_reachable(self) -> list[Engine]:
        """The engines that take writes and whose zones are not lost. More than one is a primary too many."""
        return [engine for engine in self.engines.values() if engine.answers and engine.is_leader and not self.cut(engine.host.zone)]

    def able_to_acknowledge(self) -> list[Engine]:
        self.settle()
        return [engine for engine in self.engines.values() if engine.can_acknowledge()]


class FakeOwner:
    """An owner whose resources are named by their kind and id; its names lead nowhere."""

    def __init__(self, kind: str) -> None:
        self.service, _, self.type = kind.partition(":")

    def arn(self, id: str) -> str:
        return arn(self.service, f"{self.type}:{id}")

    def describe(self, id: str) -> str:
        return f"{self.type} {id}"

    def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> tuple[NameTarget, ...]:
        return ()


class Region:
    """What dies with `kill -9` and is built anew on the same world."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.deployments = DeploymentReconciler(
            simulation.store,
            self,
            Monitors(simulation),
            self,
            Owners({"test:thing": FakeOwner("test:thing")}),
            zones=ZONES,
            settings=simulation.settings,
            clock=simulation.clock,
            monitor_addresses={},
        )
        self.deployments.health._monitor_addresses = {zone: zone for zone in ZONES}
        self._revisions: dict[str, tuple[Any, EngineAsOf]] = {}
        self.driver = Driver(simulation.store, [self.deployments], clock=simulation.clock)
        self.deployments.nudged_by(lambda id: self.driver.nudge("deployments", id))

    async def __aenter__(self) -> Region:
        await self.driver.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.driver.__aexit__(None, None, None)
        await self.deployments.close()

    def node(self, spec: DeploymentSpec, member: Member) -> Any:
        engine = self.simulation.engines.get(member.name)
        if engine is None:
            engine = self.simulation.engines[member.name] = Engine(self.simulation, member)
            engine.wrapped = self.simulation.wrap(engine)
        identity = engine.wrapped, member.engine_version, member.revision, member.memory_bytes
        known = self._revisions.get(member.name)
        if known is None or known[0] != identity:
            known = self._revisions[member.name] = identity, EngineAsOf(engine.wrapped, member)
            engine.prepared[0] = member
        return known[1]

    def ordered_settings(self, spec: DeploymentSpec) -> dict[str, int]:
        return {"max_connections": connections(spec.memory_bytes)}

    def secrets(self, spec: DeploymentSpec) -> EngineSecrets:
        return POSTGRES.secrets_from(self.simulation.store.require(DeploymentSecrets, spec.id).members)

    async def forget(self, deployment: str, name: str) -> None:
        self.simulation.engines.pop(name, None)

    async def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> None:
        self.simulation.name = status.leader


class Monitors:
    """Monitoring hosts; a knock is known by the address, which here is the zone's name."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    async def probe(self, zone: str, work: Callable[[], T], *, within: timedelta) -> T:
        assert isinstance(work, functools.partial), "only knocks go through here: a fake node is looked at directly"
        if not self.simulation.joined(zone, work.args[0]):
            await asyncio.sleep(within.total_seconds())
            raise TimeoutError
        return True  # type: ignore[return-value]


class FakeHost:
    def __init__(self, simulation: Simulation, place: Placement) -> None:
        self.simulation = simulation
        self.name = place.host
        self.zone = place.zone
        self.directory = Path("/nowhere")
        self.management_address = place.management_address
        self.is_on = False
        self.engine: Engine

    def check(self, *, on: bool = True) -> None:
        if self.simulation.cut(self.zone):
            raise HostUnreachable(f"{self.name} cannot be reached: zone {self.zone} is lost")
        if on and not self.is_on:
            raise HostUnreachable(f"{self.name} is powered off")

    @property
    def is_reachable(self) -> bool:
        return not self.simulation.cut(self.zone)

    async def power_on(self) -> None:
        self.check(on=False)
        await asyncio.sleep(0.05)
        self.check(on=False)
        self.is_on = True

    async def power_off(self) -> None:
        self.check(on=False)
        self.lose_power()

    def lose_power(self) -> None:
        self.is_on = False
        self.engine.running = self.engine.hung = False


def connections(memory_bytes: int) -> int:
    """What an engine's one ordered setting is by default."""
    return memory_bytes >> 20


def password_of(secrets: EngineSecrets) -> str:
    """What a node keeps of the customer's password."""
    assert isinstance(secrets, PostgresSecrets)
    return secrets.master


class EngineAsOf:
    """An engine that is started as a member has it: its version, revision and memory."""

    def __init__(self, engine: Any, member: Member) -> None:
        self._engine = engine
        self._member = member

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def start(self) -> None:
        assert self._engine.prepared[0] is self._member, "its host was prepared for something else meanwhile"
        await self._engine.start()


class Engine:
    """An engine with its data; also the `Node` that control acts on."""

    def __init__(self, simulation: Simulation, member: Member) -> None:
        self.simulation = simulation
        self.wrapped: Any = self
        place = member.place
        self.spec = NodeSpec(place.name, Path("/nowhere"), member.engine_version, 5432, PostgresOptions("master"), ())
        self.host = FakeHost(simulation, place)
        self.host.engine = self
        self.has_data = False
        self.log: list[int] = []
        self.timeline = 1
        self.origin: str | None = None
        self.is_leader = False
        self.required: tuple[str, ...] = ()
        self.cannot_rewind = ""
        self.running = False
        self.hung = False
        self.ready_at = 0.0
        self.restart_seconds = 0.2
        self.prepared = [member]
        self.runs = member
        self.max_connections = self.least_connections = connections(member.memory_bytes)
        self.refuses: Callable[[Member], bool] = lambda _: False
        self.connected_at: float | None = None
        self.password = ""
        self.calls: list[str] = []

    @property
    def answers(self) -> bool:
        return self.running and not self.hung and self.simulation.clock.monotonic() >= self.ready_at

    def connected_to(self) -> Engine | None:
        """The leader that this replica streams from now, if it does."""
        leader = self.simulation.engines.get(self.origin or "")
        if self.is_leader or not self.answers or leader is None or not leader.answers or not leader.is_leader:
            return None
        joined = self.simulation.joined(self.host.zone, leader.host.zone)
        if not joined or not leader.begins_with(self.log):
            return None
        self.least_connections = leader.max_connections
        assert self.max_connections >= leader.max_connections, f"{self.spec.name} is smaller than its leader, so replay stops"
        return leader

    def begins_with(self, log: list[int]) -> bool:
        """Whether the log is how this one begins. Every write is another number, so the last one tells."""
        return not log or (len(log) <= len(self.log) and self.log[len(log) - 1] == log[-1])

    def can_acknowledge(self) -> bool:
        replicas = [engine for engine in self.simulation.engines.values() if engine.connected_to() is self]
        confirming = {engine.spec.name for engine in replicas if engine.log == self.log}
        return self.answers and self.is_leader and set(self.required) <= confirming

    def write(self, value: int) -> bool:
        """A client's write; True when it is acknowledged. One that is not acknowledged may have been written all the same."""
        self.simulation.settle()
        if not (self.answers and self.is_leader):
            return False
        self.log.append(value)
        self.simulation.settle()
        return self.can_acknowledge()

    async def create(self, secrets: EngineSecrets) -> None:
        await self._act("create", 0.5)
        if not self.has_data:
            self.has_data, self.is_leader, self.log, self.timeline = True, True, [], 1
            self.password = password_of(secrets)

    async def clone(self, origin: Origin, secrets: EngineSecrets) -> None:
        await self._copy("clone", origin, 0.6)

    async def rejoin(self, origin: Origin, secrets: EngineSecrets) -> Rejoined:
        assert not self.running, "a running engine cannot be rewound"
        await self._copy("rejoin", origin, 0.3)
        return Rejoined("cloned", self.cannot_rewind) if self.cannot_rewind else Rejoined("rewound")

    async def _copy(self, what: str, origin: Origin, seconds: float) -> None:
        await self._act(what, 0.0)
        self.has_data = False
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            leader = self.simulation.engines.get(origin.node)
            self.host.check()
            if leader is None or not leader.answers or not leader.is_leader or not self.simulation.joined(self.host.zone, leader.host.zone):
                raise EngineFailed(f"{what} of {self.spec.name}: {origin.node} does not answer")
        self.least_connections = leader.max_connections
        self.log, self.timeline, self.required = list(leader.log), leader.timeline, leader.required
        self.has_data, self.is_leader, self.origin = True, False, origin.node

    async def start(self) -> None:
        await self._act("start", 0.05)
        if not self.has_data:
            raise EngineFailed(f"{self.spec.name} has no data to start with")
        self.runs = self.prepared[0]
        if self.refuses(self.runs):
            return
        if not self.running:
            spec = connections(self.runs.memory_bytes)
            self.max_connections = spec if self.is_leader else max(spec, self.least_connections)
            self.running, self.hung, self.ready_at = True, False, self.simulation.clock.monotonic() + self.restart_seconds

    async def stop(self, *, within: timedelta) -> None:
        self.host.check()
        self.simulation.settle()
        await self._act("stop", 0.1)
        self.running = self.hung = False

    async def kill(self) -> None:
        await self._act("kill", 0.01)
        self.running = self.hung = False

    async def promote(self) -> None:
        await self._act("promote", 0.1)
        if not self.answers:
            raise EngineFailed(f"{self.spec.name} does not run, so it cannot be promoted")
        if not self.is_leader:
            self.is_leader, self.timeline = True, self.timeline + 1

    async def require(self, replicas: tuple[str, ...]) -> None:
        await self._act("require", 0.02)
        if not self.answers:
            raise EngineFailed(f"{self.spec.name} does not answer")
        self.required = replicas

    async def release_log(self) -> None:
        await self._act("release_log", 0.01)

    async def follow(self, origin: Origin, secrets: EngineSecrets) -> None:
        await self._act("follow", 0.01)
        self.origin = origin.node

    async def change_password(self, secrets: EngineSecrets) -> None:
        await self._act("change_password", 0.02)
        self.password = password_of(secrets)

    async def probe(self, monitors: Monitors, zone: str, *, within: timedelta) -> ProbeResult:
        def result(probe_status: ProbeStatus, **more: Any) -> ProbeResult:
            return ProbeResult(self.spec.name, zone, self.simulation.clock.monotonic(), probe_status, **more)

        reachable = self.simulation.joined(zone, self.host.zone) and self.host.is_on
        if not reachable or self.hung:
            await asyncio.sleep(within.total_seconds())
            return result(ProbeStatus.SILENT)
        await asyncio.sleep(0.003)
        if not self.running:
            return result(ProbeStatus.REFUSED)
        if not self.answers:
            return result(ProbeStatus.STARTING)
        self.simulation.settle()
        streaming = tuple(engine.spec.name for engine in self.simulation.engines.values() if engine.connected_to() is self)
        confirming = tuple(name for name in streaming if name in self.required)
        known: dict[str, Any] = {"ordered_settings": (("max_connections", self.max_connections),)}
        known |= {"writable": self.is_leader, "position": len(self.log), "timeline": self.timeline, "required": self.required}
        return result(ProbeStatus.SERVING, streaming=streaming, synchronous=confirming, **known)

    async def is_running(self) -> bool:
        self.host.check()
        return self.running

    async def failure(self) -> str:
        return f"FATAL: revision {self.runs.revision} does not start"

    async def logs(self) -> list[LogFile]:
        return []

    async def destroy(self) -> None:
        await self._act("destroy", 0.05)
        self.running = self.has_data = False

    async def _act(self, what: str, seconds: float) -> None:
        self.host.check()
        self.calls.append(what)
        await asyncio.sleep(seconds)
        self.host.check()


def place(number: int, zone: str) -> Placement:
    return Placement(f"orders_{number}", f"db-orders-{number}", zone, f"172.31.0.{number}", f"100.64.0.{number}")


def spec(*zones: str, **more: Any) -> DeploymentSpec:
    places = tuple(place(number, zone) for number, zone in enumerate(zones, start=1))
    fields = {
        "owner": Owner("test:thing", "orders"),
        "engine": "postgres",
        "engine_version": "18.1",
        "port": 5432,
        "vpc_id": "vpc-1",
        "options": {"master_user": "master"},
    }
    return DeploymentSpec(id="d-1", places=places, **(fields | more))  # type: ignore[arg-type]


def want(simulation: Simulation, deployment: DeploymentSpec) -> None:
    with simulation.store.transaction() as tx:
        tx.put(deployment)
        if tx.get(DeploymentSecrets, deployment.id) is None:
            members = POSTGRES.stored_secrets(operator="o", replication="r", master="m", certificate=b"c", private_key=b"k")
            tx.put(DeploymentSecrets(id=deployment.id, members=members))


async def until(history: Callable[[], Any], within: float = 60.0, every: float = 0.02) -> Any:
    """Wait in virtual time for a true value."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not (value := history()):
        assert loop.time() < deadline, f"still {value!r} after {within:g} s"
        await asyncio.sleep(every)
    return value
