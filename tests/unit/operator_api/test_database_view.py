"""What an operator sees of a database's nodes, and does to them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Member, Phase, Placement, Preparation
from zonal.control.failover import NodeCondition, Redundancy
from zonal.control.owners import Owner
from zonal.operator_api.database_view import DatabaseRuntime, DatabaseView, NoSuchNode
from zonal.operator_api.errors import RegionNotReady
from zonal.records.store import Store
from zonal.services.ec2.model import NetworkInterface
from zonal.services.rds.model import DbInstance, NodeInterface

PLACEMENTS = tuple(
    Placement(f"orders_{zone}", f"host-{zone}", f"us-east-1{zone}", f"172.31.0.{n}", f"100.64.{n}.9") for n, zone in enumerate("ab")
)


class Fabric:
    """Nodes and hosts that only remember what was done to them; each node is its own host."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def node(self, spec: DeploymentSpec, member: Member) -> Any:
        async def kill() -> None:
            self.done.append(("kill", member.name))

        async def power_off() -> None:
            self.done.append(("power off", member.place.host))

        return SimpleNamespace(kill=kill, host=SimpleNamespace(power_off=power_off))

    def condition(self, id: str, node: str) -> NodeCondition:
        return NodeCondition.UP if node == "orders_a" else NodeCondition.LOST

    def why(self, id: str) -> str:
        return "the standby is not following"


def store() -> Store:
    made = Store(":memory:")
    members = tuple(Member(place, Preparation.NOTHING, "18.1", 1, 1 << 30, is_on=True) for place in PLACEMENTS)
    instance = DbInstance(
        id="db-1",
        identifier="orders",
        status="available",
        created=datetime(2026, 11, 1, tzinfo=UTC),
        engine="postgres",
        engine_version="18.1",
        instance_class="db.t3.micro",
        allocated_storage=20,
        storage_type="gp3",
        master_username="shop",
        port=5432,
        subnet_group="default",
        group_ids=(),
        multi_az=True,
        publicly_accessible=False,
        maintenance_window="sun:05:00-sun:06:00",
        backup_window="03:00-04:00",
        certificate_until=datetime(2027, 11, 1, tzinfo=UTC),
    )
    with made.transaction() as tx:
        tx.put(instance)
        tx.put(spec())
        tx.put(DeploymentStatus(id="db-1", phase=Phase.RUNNING, leader="orders_a", members=members, redundancy=Redundancy.SYNCHRONOUS))
    return made


def spec() -> DeploymentSpec:
    return DeploymentSpec(
        id="db-1",
        owner=Owner("rds:db", "orders"),
        engine="postgres",
        engine_version="18.1",
        port=5432,
        places=PLACEMENTS,
        vpc_id="vpc-1",
        options={"master_user": "shop"},
    )


def database_view() -> tuple[DatabaseView, Fabric, Store]:
    records, fabric = store(), Fabric()
    made = DatabaseView(records)
    made.database_runtime = DatabaseRuntime(fabric, fabric, SimpleNamespace())  # type: ignore[arg-type]
    return made, fabric, records


async def test_a_node_is_addressed_by_its_role_and_its_fault_is_journalled() -> None:
    databases, fabric, records = database_view()
    await databases.fail("orders", "primary", "process")
    await databases.fail("orders", "standby", "host")
    assert fabric.done == [("kill", "orders_a"), ("power off", "host-b")]
    assert [(entry.fields["node"], entry.fields["fault"]) for entry in records.journal(event="node.failed")] == [
        ("orders_a", "process"),
        ("orders_b", "host"),
    ]


async def test_an_old_primary_that_is_not_fenced_is_displayed_as_old_primary() -> None:
    databases, fabric, records = database_view()
    with records.transaction() as tx:
        deployment_status = tx.require(DeploymentStatus, "db-1")
        unfenced = replace(deployment_status.member("orders_b"), needs=Preparation.REJOIN, unfenced=True)
        tx.put(replace(deployment_status.with_member(unfenced), redundancy=Redundancy.ALONE, why="waits"))
    [seen] = databases.statuses()
    assert [(node.role, node.state) for node in seen.nodes] == [("primary", "up"), ("old primary", "lost")]
    assert seen.why.startswith("the standby is not following; orders_b led before and is not fenced yet: it acknowledges no write")
    await databases.fail("orders", "standby", "process")
    assert fabric.done == [("kill", "orders_b")], "an operator names it as before"


async def test_an_unknown_fault_is_rejected_and_not_journalled() -> None:
    databases, fabric, records = database_view()
    with pytest.raises(NoSuchNode, match="process or host, not 'fire'"):
        await databases.fail("orders", "primary", "fire")
    assert (fabric.done, records.journal()) == ([], [])


@pytest.mark.parametrize(("database", "node"), [("other", "primary"), ("orders", "third")])
async def test_a_fault_of_an_unknown_database_or_node_is_rejected(database: str, node: str) -> None:
    databases, fabric, records = database_view()
    with pytest.raises(NoSuchNode, match=r"no database 'other'|orders has no node 'third'; it has orders_a, orders_b"):
        await databases.fail(database, node, "process")
    assert (fabric.done, records.journal()) == ([], [])


async def test_the_status_of_nodes_is_the_recorded_one_until_the_networks_are_built() -> None:
    databases, _, records = database_view()
    [seen] = databases.statuses()
    assert [(node.role, node.zone, node.state) for node in seen.nodes] == [
        ("primary", "us-east-1a", "up"),
        ("standby", "us-east-1b", "lost"),
    ]
    assert seen.why == "the standby is not following"
    [unseen] = DatabaseView(records).statuses()
    assert unseen.why == "", "what an earlier process of the region waited for may be over"
    assert [node.state for node in unseen.nodes] == ["unseen", "unseen"]
    with pytest.raises(RegionNotReady):
        await DatabaseView(records).fail("orders", "primary", "process")


def test_public_endpoints_are_ordered_by_name() -> None:
    records = store()
    names = ["orders", "billing", "audit"]
    with records.transaction() as tx:
        for number, name in enumerate(names, start=1):
            node = f"{name}_a"
            interfaces = (NodeInterface(node, f"eni-{number}", "subnet-1", "us-east-1a"),)
            place = Placement(node, f"host-{number}", "us-east-1a", f"172.31.0.{number}", f"100.64.0.{number}")
            member = Member(place, Preparation.NOTHING, "18.1", 1, 1 << 30, is_on=True)
            tx.put(replace(tx.require(DbInstance, "db-1"), id=f"db-{number}", identifier=name, interfaces=interfaces))
            tx.put(DeploymentStatus(id=f"db-{number}", phase=Phase.RUNNING, leader=node, members=(member,), redundancy=Redundancy.SINGLE))
            tx.put(
                NetworkInterface(
                    id=f"eni-{number}",
                    vpc_id="vpc-1",
                    subnet_id="subnet-1",
                    zone="us-east-1a",
                    mac=f"02:00:00:00:00:0{number}",
                    addresses=(f"172.31.0.{number}",),
                    group_ids=(),
                    public_address=f"203.0.113.{number}",
                )
            )
    databases = DatabaseView(records)
    exposure = SimpleNamespace(address=lambda public: f"127.0.0.{public.rpartition('.')[2]}")
    databases.database_runtime = DatabaseRuntime(Fabric(), Fabric(), exposure)  # type: ignore[arg-type]
    assert [each.name for each in databases.public_endpoints()] == sorted(names)
