"""A fake fabric that records its calls and can be set to fail."""

from __future__ import annotations

from zonal.fabric.plan import VpcPlan
from zonal.foundation.errors import ZonalError


class FakeFabric:
    """A fake `VpcFabric`. `networks` has the applied plans; `calls` counts the calls; the next `failing` calls fail."""

    def __init__(self) -> None:
        self.networks: dict[str, VpcPlan] = {}
        self.calls = 0
        self.failing = 0

    async def apply_vpc(self, plan: VpcPlan) -> None:
        self._call()
        self.networks[plan.id] = plan

    async def remove_vpc(self, vpc_id: str) -> None:
        self._call()
        self.networks.pop(vpc_id, None)

    def _call(self) -> None:
        self.calls += 1
        if self.failing:
            self.failing -= 1
            raise ZonalError("the fabric is torn")
