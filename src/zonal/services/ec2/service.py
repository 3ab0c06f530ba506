"""The service `ec2`: its operations by name, and the reconciler of its networks.

`DryRun` is implemented here for all operations: the handler runs to its end in the call's transaction, then raising AWS's
`DryRunOperation` rolls the transaction back. So "Request would have succeeded" is a fact, not a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any

from zonal.control.reconciler import Reconciler
from zonal.foundation.errors import AwsError
from zonal.records.store import Store
from zonal.services.ec2.addresses import Addresses
from zonal.services.ec2.availability_zones import AvailabilityZones
from zonal.services.ec2.default_vpc import DefaultVpc
from zonal.services.ec2.dhcp_options import DhcpOptionSets
from zonal.services.ec2.interface_operations import NetworkInterfaces
from zonal.services.ec2.internet_gateways import InternetGateways
from zonal.services.ec2.model import Vpc
from zonal.services.ec2.nat_gateways import NatGateways
from zonal.services.ec2.network_acls import NetworkAcls
from zonal.services.ec2.route_tables import RouteTables
from zonal.services.ec2.security_group_rules import SecurityGroupRules
from zonal.services.ec2.security_groups import SecurityGroups
from zonal.services.ec2.subnets import Subnets
from zonal.services.ec2.tags import Ec2Tags
from zonal.services.ec2.vpc_reconciler import VpcReconciler
from zonal.services.ec2.vpcs import Vpcs
from zonal.services.operation import ControlCall, Handler, handlers
from zonal.services.service import Runtime, Service


def ec2(store: Store) -> Service:
    """The service descriptor."""

    def reconcilers(runtime: Runtime) -> Sequence[Reconciler]:
        return (VpcReconciler(runtime.store, runtime.networks, runtime.clock),)

    return Service("ec2", operations(), reconcilers=reconcilers, resources=lambda: {"vpcs": len(store.select(Vpc))})


def operations() -> dict[str, Handler]:
    """The handlers, by operation name."""
    nouns = (
        AvailabilityZones(),
        Vpcs(),
        DefaultVpc(),
        Subnets(),
        RouteTables(),
        InternetGateways(),
        SecurityGroups(),
        SecurityGroupRules(),
        NetworkAcls(),
        NetworkInterfaces(),
        Addresses(),
        NatGateways(),
        DhcpOptionSets(),
        Ec2Tags(),
    )
    return {name: _dry_runnable(handler) for name, handler in handlers(*nouns).items()}


def _dry_runnable(handler: Handler) -> Handler:
    @wraps(handler)
    def run(call: ControlCall, request: Any) -> Any:
        answer = handler(call, request)
        if request.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412)
        return answer

    return run
