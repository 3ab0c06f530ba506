"""EC2 as the gateway sees it: every operation that is built, by name.

`DryRun` is answered here for all of them: the operation runs to its end in the call's transaction, and then everything is dropped by
raising AWS's `DryRunOperation`. So "Request would have succeeded" is known, not guessed.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from zonal.foundation.errors import AwsError
from zonal.services.ec2.addresses import Addresses
from zonal.services.ec2.availability_zones import AvailabilityZones
from zonal.services.ec2.default_vpc import DefaultVpc
from zonal.services.ec2.dhcp_options import DhcpOptionSets
from zonal.services.ec2.interface_operations import NetworkInterfaces
from zonal.services.ec2.internet_gateways import InternetGateways
from zonal.services.ec2.nat_gateways import NatGateways
from zonal.services.ec2.network_acls import NetworkAcls
from zonal.services.ec2.route_tables import RouteTables
from zonal.services.ec2.security_group_rules import SecurityGroupRules
from zonal.services.ec2.security_groups import SecurityGroups
from zonal.services.ec2.subnets import Subnets
from zonal.services.ec2.tags import Ec2Tags
from zonal.services.ec2.vpcs import Vpcs
from zonal.services.operation import Call, Handler, handlers


def operations() -> dict[str, Handler]:
    """The handler of each operation that is built; the gateway answers 501 for any other."""
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
    def run(call: Call, request: Any) -> Any:
        answer = handler(call, request)
        if request.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412)
        return answer

    return run
