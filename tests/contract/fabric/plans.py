"""Plans for the contract tests: a VPC with a public subnet in each zone and a private one in the first two."""

from __future__ import annotations

from typing import Any

from zonal.fabric.device_names import mac
from zonal.fabric.plan import AclEntry, InterfacePlan, NetworkAclPlan, PlannedRoute, PlannedRule, SecurityGroupPlan, SubnetPlan, VpcPlan

ANYBODY = PlannedRule("-1", cidr="0.0.0.0/0")
OPEN_ACL = NetworkAclPlan("acl-open", (AclEntry(100, True, "-1", "0.0.0.0/0"),), (AclEntry(100, True, "-1", "0.0.0.0/0"),))
LOCAL = PlannedRoute("10.0.0.0/16", "local")
INTERNET = PlannedRoute("0.0.0.0/0", "internet")
OPEN = SecurityGroupPlan("sg-open", (ANYBODY,), (ANYBODY,))
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


def subnet(id: str, zone: str, cidr: str, *routes: PlannedRoute, acl: str = "acl-open") -> SubnetPlan:
    return SubnetPlan(id, zone, cidr, (LOCAL, *routes), acl)


PUBLIC_A = subnet("subnet-public-a", A, "10.0.0.0/24", INTERNET)
PUBLIC_B = subnet("subnet-public-b", B, "10.0.1.0/24", INTERNET)
PUBLIC_C = subnet("subnet-public-c", C, "10.0.2.0/24", INTERNET)
PRIVATE_A = subnet("subnet-private-a", A, "10.0.10.0/24")
PRIVATE_B = subnet("subnet-private-b", B, "10.0.11.0/24")
SUBNETS = (PUBLIC_A, PUBLIC_B, PUBLIC_C, PRIVATE_A, PRIVATE_B)


def interface(host: str, subnet: SubnetPlan, address: str, *groups: str, public: str | None = None, **given: Any) -> InterfacePlan:
    pairs = ((address, public),) if public else ()
    return InterfacePlan(f"eni-{host}", subnet.id, mac("eni", host), (address,), groups or ("sg-open",), host, public=pairs, **given)


def vpc(*interfaces: InterfacePlan, groups: tuple[SecurityGroupPlan, ...] = (), id: str = "vpc-test", **given: Any) -> VpcPlan:
    whole: dict[str, Any] = {
        "cidrs": ("10.0.0.0/16",),
        "subnets": SUBNETS,
        "interfaces": interfaces,
        "security_groups": (OPEN, *groups),
        "network_acls": (OPEN_ACL,),
        "internet_gateway": True,
    }
    return VpcPlan(id, **(whole | given))
