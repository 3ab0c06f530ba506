from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, Member, Placement, Power, member_of
from zonal.control.engine_nodes import EngineBuilder, EngineNodes, NotInstalled
from zonal.control.host_records import HostPower, HostRecord, create_engine_host
from zonal.control.owners import Owner
from zonal.engines.node import NodeSpec
from zonal.engines.options import EngineSecrets
from zonal.engines.registry import POSTGRES
from zonal.fabric.host_interface import Host
from zonal.fabric.plan import PortRange
from zonal.records.store import Store

HOMES = {"18.1": Path("/engines/18.1"), "18.2": Path("/engines/18.2")}


class Hosts:
    """Hosts that are only names."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def host(self, id: str) -> Any:
        return SimpleNamespace(name=id)

    async def remove(self, id: str) -> None:
        self.removed.append(id)


def _build(spec: NodeSpec, host: Host, secrets: EngineSecrets) -> Any:
    return SimpleNamespace(spec=spec, host=host)


class Bench:
    def __init__(self) -> None:
        self.store = Store(":memory:")
        self.hosts = Hosts()
        self.engine = EngineBuilder(POSTGRES._replace(build=_build), HOMES.get)
        self.nodes = EngineNodes(self.store, self.hosts, {"postgres": self.engine})
        with self.store.transaction() as tx:
            host = create_engine_host(tx, name="db-a", deployment_id="db-1", zone="us-east-1a", vpc_id="vpc-1", interface_ids=("eni-1",))
            place = Placement("orders_a", "db-a", "us-east-1a", "10.0.0.4", host.management_address)
            self.spec = DeploymentSpec(
                id="db-1",
                owner=Owner("rds:db", "orders"),
                engine="postgres",
                engine_version="18.1",
                port=5433,
                places=(place,),
                vpc_id="vpc-1",
                options=POSTGRES.stored_options(master_user="m", database=None),
            )
            tx.put(self.spec)
            secrets = POSTGRES.stored_secrets(operator="o", replication="r", master="m", certificate=b"", private_key=b"")
            tx.put(DeploymentSecrets(id="db-1", members=secrets))
        self.member: Member = member_of(self.spec, place)

    def record(self) -> HostRecord:
        return self.store.require(HostRecord, "db-a")


def test_building_a_node_completes_the_record_of_its_host_and_keeps_what_was_recorded() -> None:
    bench = Bench()
    with bench.store.transaction() as tx:
        tx.put(replace(bench.record(), power=HostPower.ON))
    before = bench.record()
    assert bench.nodes.node(bench.spec, bench.member).host.name == "db-a"
    record = bench.record()
    assert record.root.readable == ("/engines/18.1",)
    assert record.management_group is not None and record.management_group.probe_ports == (PortRange("tcp", 5433, 5433),)
    assert (record.management_address, record.interface_ids, record.power) == (
        before.management_address,
        ("eni-1",),
        HostPower.ON,
    )


def test_the_record_is_not_written_again_while_nothing_changes() -> None:
    bench = Bench()
    node = bench.nodes.node(bench.spec, bench.member)
    generation = bench.store.generation(HostRecord, "db-a")
    assert bench.nodes.node(bench.spec, bench.member) is node
    EngineNodes(bench.store, bench.hosts, {"postgres": bench.engine}).node(bench.spec, bench.member)
    assert bench.store.generation(HostRecord, "db-a") == generation


def test_a_member_of_another_version_is_another_node_whose_host_sees_the_other_installation() -> None:
    bench = Bench()
    node = bench.nodes.node(bench.spec, bench.member)
    upgraded = bench.nodes.node(bench.spec, replace(bench.member, engine_version="18.2"))
    assert upgraded is not node and bench.record().root.readable == ("/engines/18.2",)


def test_a_version_that_is_not_installed_is_an_error_unless_the_deployment_is_to_be_deleted() -> None:
    bench = Bench()
    missing = replace(bench.member, engine_version="17.0")
    with pytest.raises(NotInstalled, match=r"zonal engines install postgres 17\.0"):
        bench.nodes.node(bench.spec, missing)
    bench.nodes.node(replace(bench.spec, power=Power.DELETED), missing)
    assert bench.record().root.readable == ()


async def test_a_forgotten_member_takes_its_host_with_it() -> None:
    bench = Bench()
    bench.nodes.node(bench.spec, bench.member)
    await bench.nodes.forget("db-1", "orders_a")
    assert bench.hosts.removed == ["db-a"]
