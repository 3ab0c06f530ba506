"""From a step's name to what does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from zonal.control.acting import Announcer, Deployment, Nodes
from zonal.control.health import Health
from zonal.control.life import Life
from zonal.control.planning import Step, Work
from zonal.control.succession import Succession
from zonal.records.store import Store


class Steps:
    """Carries out steps for the deployments of one region."""

    def __init__(self, store: Store, nodes: Nodes, health: Health, announcer: Announcer) -> None:
        self._store = store
        life = Life(store, nodes, health, announcer)
        succession = Succession(store, nodes, health, announcer)
        self._do: dict[Work, Callable[[Deployment, Step], Awaitable[None]]] = {
            Work.BEGIN: life.begin,
            Work.LAY_OUT: life.lay_out,
            Work.OPEN: life.open,
            Work.ANNOUNCE: life.announce,
            Work.RESUME: life.resume,
            Work.STOP: life.stop,
            Work.START: life.start,
            Work.DESTROY: life.destroy,
            Work.FORGET: life.forget,
            Work.ADD_STANDBY: life.add_standby,
            Work.LEAVE_STANDBY: life.leave_standby,
            Work.RESTART: life.restart,
            Work.REVISE: life.revise,
            Work.SETTLE: life.settle,
            Work.SET_PASSWORD: life.set_password,
            Work.PROMOTE: succession.promote,
            Work.GO_ALONE: succession.go_alone,
            Work.RESTART_IN_PLACE: succession.restart_in_place,
            Work.REJOIN_STANDBY: succession.rejoin,
            Work.RESTORE_SYNCHRONOUS: succession.restore,
            Work.FENCE: succession.fence,
        }

    async def run(self, id: str, step: Step, *, again: int = 0) -> None:
        """Do one step. `again` counts how often it was done in a row before without lasting effect. Raises what stands in the way."""
        await self._do[step.work](Deployment(self._store, id, again), step)
