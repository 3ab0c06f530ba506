"""Maps each kind of step to the method that carries it out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from zonal.control.deployment_plan import Step, StepKind
from zonal.control.failover_steps import FailoverSteps
from zonal.control.health import HealthMonitor
from zonal.control.lifecycle_steps import LifecycleSteps
from zonal.control.owners import Owners
from zonal.control.step_context import Announcer, DeploymentAccess, NodeProvider
from zonal.records.store import Store


class StepTable:
    """Carries out steps for the deployments of one region."""

    def __init__(self, store: Store, nodes: NodeProvider, health: HealthMonitor, announcer: Announcer, owners: Owners) -> None:
        self._store = store
        self._nodes = nodes
        self._owners = owners
        life = LifecycleSteps(store, nodes, health, announcer)
        succession = FailoverSteps(store, nodes, health, announcer)
        self._do: dict[StepKind, Callable[[DeploymentAccess, Step], Awaitable[None]]] = {
            StepKind.BEGIN: life.begin,
            StepKind.LAY_OUT: life.lay_out,
            StepKind.OPEN: life.open,
            StepKind.ANNOUNCE: life.announce,
            StepKind.RESUME: life.resume,
            StepKind.STOP: life.stop,
            StepKind.START: life.start,
            StepKind.DESTROY: life.destroy,
            StepKind.FORGET: life.forget,
            StepKind.ADD_STANDBY: life.add_standby,
            StepKind.LEAVE_STANDBY: life.leave_standby,
            StepKind.RESTART: life.restart,
            StepKind.REVISE: life.revise,
            StepKind.SETTLE: life.settle,
            StepKind.SET_PASSWORD: life.set_password,
            StepKind.PROMOTE: succession.promote,
            StepKind.GO_ALONE: succession.go_alone,
            StepKind.RESTART_IN_PLACE: succession.restart_in_place,
            StepKind.REJOIN_STANDBY: succession.rejoin,
            StepKind.RESTORE_SYNCHRONOUS: succession.restore,
            StepKind.FENCE: succession.fence,
        }

    async def run(self, id: str, step: Step, *, again: int = 0) -> None:
        """Carry out one step. `again` counts its earlier runs since the deployment last rested. Raises what the step raises."""
        await self._do[step.work](DeploymentAccess(self._store, self._nodes, self._owners, id, again), step)
