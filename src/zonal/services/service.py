"""The descriptor of a service: everything that the region has to know of it.

`region.Region` holds a list of these. The gateway and the `Invoker` call a service's `handlers` under its `options`; the region enters its
`running` context before it answers. `owners` describe the resources that its deployments belong to. When the networks are built,
`reconcilers` builds the service's reconcilers from a `Runtime`, and the driver runs them. `resources` is its section of `zonal status`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

from zonal.control.engine_nodes import RecordedHosts
from zonal.control.owners import DeploymentOwner
from zonal.control.reconciler import Reconciler
from zonal.control.step_context import NodeProvider
from zonal.fabric.plan import VpcPlan
from zonal.foundation.clock import Clock
from zonal.foundation.settings import Settings
from zonal.records.store import Store
from zonal.services.operation import Call, Handler
from zonal.wire.http_messages import HttpRequest, HttpResponse
from zonal.wire.service_models import Operation


class ServiceOptions(NamedTuple):
    """How the gateway treats a service's requests where that does not follow from its model.

    - `streams`: operations that receive their body while it arrives (`call.raw.stream`).
    - `anonymous`: unsigned requests reach the handlers; `call.access_key` is then None.
    - `documents`: handlers receive the decoded JSON of a request, neither converted nor validated, and return the JSON of the response,
      encoded or not. DynamoDB, which is called often, validates with messages of its own.
    - `accounts`: keys of other accounts are accepted. Requires a service that separates accounts.
    - `intercept` may answer a request before it is authenticated (CORS preflights, websites, browser forms).
    - `authorize` raises `AwsError` where the caller may not do what the head of a request asks for. The gateway calls it before it reads
      or parses a document in the body.
    - `allows_origin` returns whether web pages of an origin may send a request for an operation (a bucket's CORS rules).
    - `decorate` receives every response, errors included, and returns the one to send (CORS headers).
    """

    streams: frozenset[str] = frozenset()
    anonymous: bool = False
    documents: bool = False
    accounts: bool = False
    intercept: Callable[[HttpRequest], Awaitable[HttpResponse | None]] | None = None
    authorize: Callable[[Call, Mapping[str, Any]], None] | None = None
    allows_origin: Callable[[HttpRequest, str, Operation], bool] | None = None
    decorate: Callable[[HttpRequest, HttpResponse], HttpResponse] | None = None


class NetworkPort(Protocol):
    """The fabric's VPC networks (`fabric.fabric.Fabric`)."""

    async def apply_vpc(self, plan: VpcPlan, /) -> None: ...

    async def remove_vpc(self, vpc_id: str, /) -> None: ...


class NamePort(Protocol):
    """The region's DNS names (`fabric.dns.NameTable`)."""

    def set(self, name: str, *, private: str, public: str | None = None) -> None: ...

    def remove(self, name: str) -> None: ...


class ExposurePort(Protocol):
    """Makes public endpoints reachable from this machine (`fabric.fabric.Fabric`)."""

    async def expose(self, public_address: str, port: int, /) -> str: ...

    async def unexpose(self, public_address: str, port: int, /) -> None: ...


class Runtime(NamedTuple):
    """What a service's reconcilers work on once the networks are built. `is_lost` returns whether a zone, by name, is lost now."""

    store: Store
    clock: Clock
    settings: Settings
    hosts: RecordedHosts
    networks: NetworkPort
    names: NamePort
    exposure: ExposurePort
    nodes: NodeProvider
    is_lost: Callable[[str], bool]


def _no_reconcilers(_runtime: Runtime) -> Sequence[Reconciler]:
    return ()


class Service(NamedTuple):
    """One AWS service of the region.

    `name` is botocore's name for it, `handlers` has botocore's names of its operations; any other operation of the model is answered
    501. `running` holds the service's stores and background tasks; the region leaves it after the gateway has closed. `resources` counts
    what an operator sees in the service's section of the status, by plural noun (`{"vpcs": 1}`).
    """

    name: str
    handlers: Mapping[str, Handler]
    options: ServiceOptions = ServiceOptions()
    reconcilers: Callable[[Runtime], Sequence[Reconciler]] = _no_reconcilers
    owners: Mapping[str, DeploymentOwner] = {}
    running: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    resources: Callable[[], Mapping[str, int]] = dict
