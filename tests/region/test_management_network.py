"""What a tenant can make a database server connect to: its own deployment over the management network, and nothing else there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.region.test_rds_instances import PASSWORD, ask
from tests.running_region import RunningRegion, eventually

PYTHON = str(Path(sys.executable).resolve())
"""Hosts of databases have a `/tmp` of their own, where this environment may lie."""

MANAGEMENT_ADDRESS = """
import socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); probe.connect(("100.64.0.1", 9)); print(probe.getsockname()[0])
"""
CONNECT = """
import socket, sys
for address, port in (each.rsplit(":", 1) for each in sys.argv[1:]):
    try:
        socket.create_connection((address, int(port)), timeout=1.5).close()
        print(f"{address}:{port}", "open")
    except OSError as error: print(f"{address}:{port}", type(error).__name__)
"""


@pytest.fixture(scope="module")
def databases(region: RunningRegion) -> Iterator[tuple[str, str]]:
    """A Multi-AZ database and another one."""
    orders, invoices = region.create_database(MultiAZ=True), region.create_database()
    eventually(lambda: _database(region, orders)["redundancy"] == "synchronous", within=90)
    yield orders, invoices
    for each in (orders, invoices):
        region.delete_database(each)


def _database(region: RunningRegion, identifier: str) -> dict[str, object]:
    return next(each for each in region.status()["databases"] if each["identifier"] == identifier)


def _hosts(region: RunningRegion, identifier: str) -> dict[str, str]:
    """The database's hosts with their management addresses."""
    nodes = _database(region, identifier)["nodes"]
    names = [f"db-{node['name'].replace('_', '-')}" for node in nodes]  # type: ignore[attr-defined]
    return {name: region.execute(PYTHON, "-S", "-c", MANAGEMENT_ADDRESS, place=name).strip() for name in names}


def _attempts(region: RunningRegion, place: str, *targets: str) -> dict[str, str]:
    lines = region.execute(PYTHON, "-S", "-c", CONNECT, *targets, place=place).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def test_a_database_host_reaches_the_other_node_of_its_deployment_and_no_other_management_address(
    region: RunningRegion, databases: tuple[str, str]
) -> None:
    orders, invoices = (_hosts(region, each) for each in databases)
    (first, first_address), (_, second_address) = orders.items()
    [(other, other_address)] = invoices.items()
    monitors = [f"100.64.{block}.4" for block in (0, 16, 32)]
    assert _attempts(region, first, f"{second_address}:5432", f"{second_address}:22") == {
        f"{second_address}:5432": "open",
        f"{second_address}:22": "TimeoutError",
    }
    forbidden = [f"{address}:{port}" for address in (other_address, *monitors, "100.64.0.1") for port in (5432, 80)]
    assert set(_attempts(region, first, *forbidden).values()) == {"TimeoutError"}
    foreign = [f"{address}:5432" for address in (first_address, second_address)]
    assert set(_attempts(region, other, *foreign).values()) == {"TimeoutError"}
    assert "open" not in _attempts(region, "default", *foreign, f"{other_address}:5432").values()


def test_a_tenants_subscription_finds_nobody_at_another_databases_management_address(
    region: RunningRegion, databases: tuple[str, str]
) -> None:
    orders, invoices = databases
    [other] = _hosts(region, invoices).values()
    where = f"host={other} port=5432 dbname=app user=master password={PASSWORD} connect_timeout=2"
    refused = ask(region, orders, f"create subscription stolen connection '{where}' publication everything with (create_slot = false)")
    assert re.search(r"timeout expired|timed out", refused), refused


def test_a_database_host_sees_no_socket_of_the_operator(region: RunningRegion, databases: tuple[str, str]) -> None:
    orders, _ = databases
    for host in _hosts(region, orders):
        seen = region.execute("ls", str(region.state), place=host)
        assert "sock" not in seen and "region.db" not in seen


def test_a_failover_and_the_way_back_need_no_more_of_the_management_network(region: RunningRegion, databases: tuple[str, str]) -> None:
    orders, _ = databases
    before = _database(region, orders)["nodes"]
    region.client("rds").reboot_db_instance(DBInstanceIdentifier=orders, ForceFailover=True)
    eventually(lambda: (now := _database(region, orders))["nodes"] != before and now["redundancy"] == "synchronous", within=90)
    assert ask(region, orders, "select 1") == "1"
