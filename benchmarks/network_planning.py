"""Processor time of planning a VPC with 1,000 and 2,000 interfaces: plan, packet rules and wiring, computed and not applied.

Groups, their rules and elastic addresses grow with the interfaces. Both sizes are measured alternately, and the best of the runs counts, so
that other work on the machine affects both in the same way.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from ipaddress import IPv4Network

from benchmarks.measurements import arguments, machine
from zonal.fabric import firewall, vpc_networks
from zonal.fabric.network_state import NetworkState
from zonal.fabric.plan import VpcPlan
from zonal.fabric.ruleset import Ruleset
from zonal.fabric.zones import ZONES
from zonal.foundation.clock import RegionClock
from zonal.records.store import Store, Transaction
from zonal.services.ec2 import default_vpc, lookups, network_interfaces
from zonal.services.ec2.model import ElasticAddress, SecurityGroup, SecurityGroupRule
from zonal.services.ec2.vpc_reconciler import vpc_plan

SIZES = (1000, 2000)
INTERFACES_OF_A_GROUP = 20
INTERFACES_OF_AN_ELASTIC_ADDRESS = 10
PARTS = ("plan from the records", "packet rules of three zones and the gateway", "wiring of three zones and the core")
GOAL = 2.2
_ZONES = tuple(zone.name for zone in ZONES)


def main() -> None:
    runs = arguments(__doc__ or "", runs=20).parse_args().runs
    regions = {size: records(size) for size in SIZES}
    gc.collect()
    gc.freeze()  # Long-lived objects, as in a running region.
    best = {size: [float("inf")] * (len(PARTS) + 1) for size in SIZES}
    for _ in range(runs):
        for size, (store, vpc_id) in regions.items():
            parts = list(_milliseconds(store, vpc_id))
            best[size] = [min(pair) for pair in zip(best[size], [*parts, sum(parts)], strict=True)]
    print(machine())
    small, large = (best[size] for size in SIZES)
    for name, few, many in zip([*PARTS, "together"], small, large, strict=True):
        goal = f"≤ {GOAL}" if name == "together" else ""
        print(f"| {name} | {few:.3g} ms | {many:.3g} ms | {many / few:.2f} | {goal} |")


def _milliseconds(store: Store, vpc_id: str) -> Iterator[float]:
    """The processor time of each part."""
    begun = time.process_time()
    plan = planned(store, vpc_id)
    after_plan = time.process_time()
    rules = compiled(plan)
    after_rules = time.process_time()
    network_state = wired(plan)
    after_wiring = time.process_time()
    assert rules and network_state
    for earlier, later in ((begun, after_plan), (after_plan, after_rules), (after_rules, after_wiring)):
        yield (later - earlier) * 1000


def planned(store: Store, vpc_id: str) -> VpcPlan:
    plan = vpc_plan(store, vpc_id)
    assert plan is not None
    return plan


def compiled(plan: VpcPlan) -> list[Ruleset]:
    return [firewall.ruleset(plan, zone) for zone in _ZONES] + [vpc_networks.gateway_rules(plan)]


def wired(plan: VpcPlan) -> list[NetworkState]:
    return [vpc_networks.zone_network_state(plan, zone) for zone in _ZONES] + [vpc_networks.core_network_state(plan, _ZONES)]


def records(interfaces: int) -> tuple[Store, str]:
    """Records of a region whose default VPC has this number of interfaces in three subnets."""
    store = Store(":memory:")
    with store.transaction() as tx:
        default_vpc.bootstrap(tx, RegionClock().now())
    vpc = lookups.require_default_vpc(store)
    with store.transaction() as tx:
        groups = _groups(tx, vpc.id, interfaces // INTERFACES_OF_A_GROUP)
        subnets = lookups.subnets(store, vpc.id)
        free = [iter(list(IPv4Network(subnet.cidr).hosts())[4:]) for subnet in subnets]
        for number in range(interfaces):
            place = number % len(subnets)
            address, group = str(next(free[place])), groups[number // len(subnets) % len(groups)]
            interface = network_interfaces.create(tx, subnets[place], [address], (group,))
            if number % INTERFACES_OF_AN_ELASTIC_ADDRESS == 0:
                id, public = f"eipalloc-{number:017x}", f"203.0.{number // 256}.{number % 256}"
                tx.put(ElasticAddress(id=id, address=public, association_id="made", interface_id=interface.id, private_address=address))
    return store, vpc.id


def _groups(tx: Transaction, vpc_id: str, count: int) -> list[str]:
    """Security groups with four rules each, of which two name another group."""
    ids = [f"sg-{number:017x}" for number in range(count)]
    for number, id in enumerate(ids):
        tx.put(SecurityGroup(id=id, vpc_id=vpc_id, name=f"group-{number}", description="for the benchmark"))
        for port in range(4):
            peer = {"cidr": "0.0.0.0/0"} if port < 2 else {"referenced_group_id": ids[number - 1]}
            rule = f"sgr-{number:013x}{port:04x}"
            tx.put(SecurityGroupRule(id=rule, group_id=id, is_egress=port == 0, protocol="tcp", from_port=port, to_port=port, **peer))
    return ids


if __name__ == "__main__":
    main()
