"""A database server reaches the other nodes of its own deployment over the management network, and no other address there."""

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
from concurrent.futures import ThreadPoolExecutor

def attempt(target):
    address, port = target.rsplit(":", 1)
    try:
        socket.create_connection((address, int(port)), timeout=1.5).close()
        return f"{target} open"
    except OSError as error:
        return f"{target} {type(error).__name__}"

with ThreadPoolExecutor(32) as pool:
    print(*pool.map(attempt, sys.argv[1:]), sep="\\n")
"""
"""Tries all targets at the same time: most attempts wait for their timeout."""


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


def test_a_subscription_cannot_connect_to_another_databases_management_address(region: RunningRegion, databases: tuple[str, str]) -> None:
    orders, invoices = databases
    [other] = _hosts(region, invoices).values()
    # A subscription ignores connect_timeout; without tcp_user_timeout (milliseconds) the kernel gives up after two minutes.
    conninfo = f"host={other} port=5432 dbname=app user=master password={PASSWORD} tcp_user_timeout=2000"
    error = ask(region, orders, f"create subscription stolen connection '{conninfo}' publication everything with (create_slot = false)")
    assert re.search(r"timeout expired|timed out", error), error


def test_a_database_host_cannot_access_the_operators_socket(region: RunningRegion, databases: tuple[str, str]) -> None:
    orders, _ = databases
    for host in _hosts(region, orders):
        seen = region.execute("ls", str(region.state), place=host)
        assert "sock" not in seen and "region.db" not in seen


def test_failover_and_rejoin_use_the_deployments_own_ports_only(region: RunningRegion, databases: tuple[str, str]) -> None:
    orders, _ = databases
    before = _database(region, orders)["nodes"]
    region.client("rds").reboot_db_instance(DBInstanceIdentifier=orders, ForceFailover=True)
    eventually(lambda: (now := _database(region, orders))["nodes"] != before and now["redundancy"] == "synchronous", within=90)
    assert ask(region, orders, "select 1") == "1"
