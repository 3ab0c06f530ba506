"""The plan of the management network, over which nodes replicate and monitoring hosts probe. Pure.

It is planned as a VPC is (`plan.VpcPlan`), with one security group for the monitoring hosts and one for each `ManagementGroup`. The
compiler that enforces customers' security groups therefore enforces this as well, at every interface and outside the hosts: a host accepts
connections from the monitoring hosts on its probe ports and from the other hosts of its group on its peer ports, may open connections to
the peer ports of its group only, and answers echo requests of the monitoring hosts. A host without a group cannot be reached.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from zonal.fabric.device_names import mac
from zonal.fabric.plan import HostSpec, InterfacePlan, ManagementGroup, PlannedRule, PortRange, SecurityGroupPlan, SubnetPlan, VpcPlan
from zonal.fabric.zones import ZONES

MANAGEMENT = "management"
MANAGEMENT_NETWORK = "100.64.0.0/16"

MONITOR_INDEX = 4
"""A monitoring host has the fourth address of its zone's part of the management network."""

FIRST_HOST_PLACE = 16
"""The index of the first address for hosts in each zone's part of the management network."""

_MONITORS = "monitors"
_ECHO_REQUEST = 8


def management_plan(hosts: Iterable[HostSpec]) -> VpcPlan:
    """The management network with these hosts; those without a management address are not on it."""
    members = [host for host in hosts if host.management_address]
    subnets = tuple(SubnetPlan(_subnet_id(zone.name), zone.name, str(management_network(zone.name)), (), "") for zone in ZONES)
    monitors = (_interface(monitor_name(zone.name), zone.name, monitor_address(zone.name), _MONITORS) for zone in ZONES)
    interfaces = (
        _interface(
            host.name, host.zone, host.management_address or "", *([_group_id(host.management_group)] if host.management_group else [])
        )
        for host in members
    )
    return VpcPlan(
        MANAGEMENT,
        (MANAGEMENT_NETWORK,),
        subnets,
        (*monitors, *interfaces),
        (_monitors_group(), *_groups(host.management_group for host in members if host.management_group)),
        dns=False,
        link_local_services=False,
    )


def management_network(zone: str) -> ipaddress.IPv4Network:
    """The zone's part of the management network. Its first `FIRST_HOST_PLACE` addresses are the fabric's."""
    parts = ipaddress.IPv4Network(MANAGEMENT_NETWORK).subnets(new_prefix=20)
    return dict(zip((each.name for each in ZONES), parts, strict=False))[zone]


def monitor_name(zone: str) -> str:
    """The name of a zone's monitoring host."""
    return f"monitor@{zone}"


def monitor_address(zone: str) -> str:
    """Its address on the management network."""
    return str(management_network(zone)[MONITOR_INDEX])


def _monitors_group() -> SecurityGroupPlan:
    """Monitoring hosts may connect to every host on the management network; only monitoring hosts may connect to them."""
    return SecurityGroupPlan(_MONITORS, (PlannedRule("-1", group_id=_MONITORS),), (PlannedRule("-1", cidr=MANAGEMENT_NETWORK),))


def _groups(memberships: Iterable[ManagementGroup]) -> Iterable[SecurityGroupPlan]:
    """One group for each id; the ports of a group are all those that a host of it has."""
    probes: dict[str, dict[PortRange, None]] = {}
    peers: dict[str, dict[PortRange, None]] = {}
    for membership in memberships:
        probes.setdefault(_group_id(membership), {}).update(dict.fromkeys(membership.probe_ports))
        peers.setdefault(_group_id(membership), {}).update(dict.fromkeys(membership.peer_ports))
    for id in sorted(probes):
        among_peers = tuple(_rule(ports, id) for ports in sorted(peers[id], key=_order))
        from_monitors = tuple(_rule(ports, _MONITORS) for ports in sorted(probes[id], key=_order))
        echo = PlannedRule("icmp", _ECHO_REQUEST, -1, group_id=_MONITORS)
        yield SecurityGroupPlan(id, (*among_peers, *from_monitors, echo), among_peers)


def _rule(ports: PortRange, group_id: str) -> PlannedRule:
    return PlannedRule(ports.protocol, ports.first, ports.last, group_id=group_id)


def _order(ports: PortRange) -> tuple[str, int, int]:
    return ports.protocol, ports.first, ports.last


def _group_id(group: ManagementGroup) -> str:
    return f"group-{group.id}"


def _subnet_id(zone: str) -> str:
    return f"management-{zone}"


def _interface(host: str, zone: str, address: str, *groups: str) -> InterfacePlan:
    return InterfacePlan(f"management-{host}", _subnet_id(zone), mac("management", host), (address,), groups, host, device_index=-1)
