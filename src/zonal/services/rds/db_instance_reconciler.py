"""Reconciles DB instances with their deployments: the status, the endpoint's name, and the changes that wait for the maintenance window.

`_observe` reads the records, `plan` returns purely the missing steps, and each step is one transaction or one call that may be repeated.
`control.deployment_reconciler` reconciles the engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Phase
from zonal.control.failover import Redundancy
from zonal.foundation.clock import Clock
from zonal.foundation.errors import ZonalError
from zonal.records.store import Record, Store
from zonal.services.common.subnet_groups import IsLost
from zonal.services.ec2.model import NetworkInterface
from zonal.services.rds import events, lifecycle, placement
from zonal.services.rds.endpoints import Endpoints
from zonal.services.rds.model import WINDOWS, DbInstance, PendingChanges
from zonal.services.rds.modification import apply, take_back


class InstanceStep(Enum):
    """The steps. The values are for people who debug."""

    POINT = "set the endpoint's name to the leader"
    DROP = "remove the former identifier's name"
    EXPOSE = "make its public addresses reachable from this machine"
    TRIM = "delete the interfaces of removed nodes"
    FINISH = "end its status: the deployment matches the spec"
    APPLY = "apply pending changes: the maintenance window is open"
    TAKE_BACK = "take back a modification that failed"
    WITHDRAW = "withdraw its public addresses from this machine"
    REMOVE = "delete its record: the deployment is deleted"


class Observed(NamedTuple):
    """An instance with its deployment. `opens_in_seconds` is region time until the maintenance window, 0 while it is open; `left` are nodes
    in lost zones."""

    instance: DbInstance
    deployment_spec: DeploymentSpec | None
    deployment_status: DeploymentStatus | None
    opens_in_seconds: float
    left: frozenset[str] = frozenset()


class DbInstanceReconciler:
    """The reconciler of DB instances (`control.reconciler.Reconciler`)."""

    name = "db-instances"
    kinds: Sequence[type[Record]] = (DbInstance, DeploymentStatus, NetworkInterface)

    def __init__(self, store: Store, endpoints: Endpoints, *, clock: Clock, clock_speed: float, is_lost: IsLost) -> None:
        self._store = store
        self._endpoints = endpoints
        self._clock = clock
        self._clock_speed = clock_speed
        self._is_lost = is_lost

    def key_of(self, kind: str, id: str) -> str | None:
        if kind != NetworkInterface.kind:
            return id
        owners = (
            instance.id for instance in self._store.select(DbInstance) if any(each.interface_id == id for each in instance.interfaces)
        )
        return next(owners, None)

    async def converge(self, key: str) -> float | None:
        observed = self._observe(key)
        if observed is None:
            return None
        failures: list[ZonalError] = []
        for step in plan(observed):
            try:
                await self._run(step, observed)
            except ZonalError as error:
                if step is not InstanceStep.EXPOSE:
                    raise
                failures.append(error)  # The access from this machine must not block the steps that concern the region.
        if failures:
            raise failures[0]
        if observed.instance.pending == PendingChanges() or not observed.opens_in_seconds:
            return None
        return observed.opens_in_seconds / self._clock_speed

    def _observe(self, id: str) -> Observed | None:
        instance = self._store.get(DbInstance, id)
        if instance is None:
            return None
        opens = WINDOWS.seconds_until(instance.maintenance_window, self._clock.now())
        deployment_status = self._store.get(DeploymentStatus, id)
        left = (
            frozenset(member.name for member in deployment_status.members if self._is_lost(member.place.zone))
            if deployment_status
            else frozenset()
        )
        return Observed(instance, self._store.get(DeploymentSpec, id), deployment_status, opens, left)

    async def _run(self, step: InstanceStep, observed: Observed) -> None:
        instance, deployment_status = observed.instance, observed.deployment_status
        if step is InstanceStep.POINT and deployment_status is not None:
            self._endpoints.point(instance, deployment_status)
        elif step is InstanceStep.DROP:
            self._endpoints.forget(instance.former_identifier)
        elif step is InstanceStep.EXPOSE:
            await self._endpoints.expose(instance.id, placement.public_addresses(self._store, instance), instance.port)
        elif step is InstanceStep.WITHDRAW:
            await self._endpoints.withdraw(instance.id, placement.public_addresses(self._store, instance), instance.port)
        else:
            self._write(step, instance.id)

    def _write(self, step: InstanceStep, id: str) -> None:
        """Carry out a step that only changes records. The instance is read again, because it may have changed meanwhile."""
        with self._store.transaction() as tx:
            instance, deployment_status = tx.require(DbInstance, id), tx.get(DeploymentStatus, id)
            if step is InstanceStep.REMOVE:
                events.note(tx, instance.identifier, 3)
                placement.remove_interfaces(tx, instance)
                tx.delete(DbInstance, id)
                self._endpoints.forget(instance.identifier)
            elif step is InstanceStep.TRIM and deployment_status is not None:
                tx.put(placement.remove_interfaces(tx, instance, kept=_names(deployment_status, tx.get(DeploymentSpec, id))))
            elif step is InstanceStep.APPLY:
                tx.put(apply(tx, replace(instance, pending=PendingChanges()), instance.pending, self._clock.now(), self._is_lost))
            elif step is InstanceStep.TAKE_BACK and deployment_status is not None:
                tx.put(take_back(tx, instance, deployment_status))
            elif step is InstanceStep.FINISH:
                for number in finished_events(instance):
                    events.note(tx, instance.identifier, number)
                tx.put(finished(instance))


def plan(observed: Observed) -> tuple[InstanceStep, ...]:
    """The missing steps, in order."""
    instance, deployment_spec, deployment_status, opens_in_seconds, left = observed
    if instance.status == lifecycle.DELETING:
        return (InstanceStep.WITHDRAW, InstanceStep.REMOVE) if deployment_status is None or deployment_status.phase is Phase.DELETED else ()
    if deployment_spec is None or deployment_status is None:
        return ()
    steps = [InstanceStep.POINT] if deployment_status.announced else []
    steps += [InstanceStep.DROP] if instance.former_identifier else []
    steps += [InstanceStep.EXPOSE] if deployment_status.announced else []
    if {each.node for each in instance.interfaces} - _names(deployment_status, deployment_spec):
        steps.append(InstanceStep.TRIM)
    if deployment_status.failed_revision == deployment_spec.revision:
        steps.append(InstanceStep.TAKE_BACK)
    elif instance.status not in (lifecycle.AVAILABLE, lifecycle.STOPPED) and is_done(instance, deployment_spec, deployment_status, left):
        steps.append(InstanceStep.FINISH)
    elif instance.status == lifecycle.AVAILABLE and instance.pending != PendingChanges() and not opens_in_seconds:
        steps.append(InstanceStep.APPLY)
    return tuple(steps)


def is_done(instance: DbInstance, deployment_spec: DeploymentSpec, deployment_status: DeploymentStatus, left: frozenset[str]) -> bool:
    """Whether the deployment has reached the state that the instance's status waits for.

    A surplus node in a lost zone does not count.
    """
    if instance.status == lifecycle.STOPPING:
        return deployment_status.phase is Phase.STOPPED
    if (
        deployment_status.phase is not Phase.RUNNING
        or deployment_status.promoting
        or deployment_status.announced != deployment_status.leader
    ):
        return False
    done = (deployment_status.restarted, deployment_status.failed_over, deployment_status.password) == (
        deployment_spec.restart,
        deployment_spec.failover,
        deployment_spec.password,
    )
    waiting = left - {deployment_status.leader} if deployment_status.redundancy is Redundancy.SINGLE else frozenset()
    members = [member for member in deployment_status.members if member.name not in waiting]
    as_many = len(members) == len(deployment_spec.places) or instance.status == lifecycle.REBOOTING
    current = (
        all(member.revision == deployment_spec.revision for member in members)
        and deployment_status.settled_revision == deployment_spec.revision
    )
    becomes_redundant = instance.status == lifecycle.CREATING or instance.applying.multi_az is True
    redundant = deployment_status.redundancy in (Redundancy.SINGLE, Redundancy.SYNCHRONOUS)
    single = instance.applying.multi_az is not False or deployment_status.redundancy is Redundancy.SINGLE
    return done and as_many and current and single and (redundant or not becomes_redundant)


def finished(instance: DbInstance) -> DbInstance:
    """The instance at the end of its status, with the applied changes."""
    applied = instance.applying
    return replace(
        instance,
        status=lifecycle.LIFECYCLE.next(instance.status, "done"),
        instance_class=applied.instance_class or instance.instance_class,
        allocated_storage=applied.allocated_storage or instance.allocated_storage,
        storage_type=applied.storage_type or instance.storage_type,
        engine_version=applied.engine_version or instance.engine_version,
        multi_az=instance.multi_az if applied.multi_az is None else applied.multi_az,
        applying=PendingChanges(),
        former_identifier="",
        password_pending=0,
    )


def finished_events(instance: DbInstance) -> tuple[int, ...]:
    """The numbers of the events that report the end of its status."""
    applied = instance.applying
    by_status = {lifecycle.CREATING: (5,), lifecycle.STOPPING: (4, 87), lifecycle.STARTING: (6, 88)}
    numbers = by_status.get(instance.status, ())
    numbers += (16,) if instance.password_pending else ()
    numbers += (14,) if applied.instance_class else ()
    numbers += (17,) if applied.allocated_storage else ()
    numbers += (47,) if applied.engine_version else ()
    if applied.multi_az is not None:
        numbers += (25,) if applied.multi_az else (29,)
    return numbers


def _names(deployment_status: DeploymentStatus, deployment_spec: DeploymentSpec | None) -> set[str]:
    """The names of the nodes that exist or that the spec requires."""
    return {member.name for member in deployment_status.members} | {
        place.name for place in (deployment_spec.places if deployment_spec else ())
    }
