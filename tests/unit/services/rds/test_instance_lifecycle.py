"""A DB instance after its creation: rebooted, failed over, changed, renamed, stopped, started, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests import virtual_time
from tests.unit.control.simulation import A, B, connections, place, until, want
from tests.unit.control.simulation import spec as deployment_spec
from tests.unit.services.rds.region import Account
from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, DeploymentStatus, Phase
from zonal.control.new_sandbox import record_sandbox
from zonal.control.owners import Owner
from zonal.foundation.settings import Settings
from zonal.operator_api.journal_history import subject_journal
from zonal.services.ec2.model import NetworkInterface
from zonal.services.rds.lifecycle import LIFECYCLE
from zonal.services.rds.service import start_instances


def run(test: Callable[[Account], Awaitable[None]], *, probe_interval_seconds: float = 0.25, **more: Any) -> list[str]:
    """Have the test done with an available instance; returns the events that were told of it."""
    account = Account()
    account.simulation.settings = Settings(probe_interval_seconds=probe_interval_seconds)

    async def main() -> list[str]:
        async with account:
            account.create(**more)
            await until(lambda: account.status() == "available")
            await test(account)
            return account.events()

    return virtual_time.run(main())


def modify(account: Account, **more: Any) -> dict[str, Any]:
    return account.call("ModifyDBInstance", DBInstanceIdentifier="orders", **more)["DBInstance"]  # type: ignore[no-any-return]


def test_every_status_can_reach_its_end() -> None:
    assert LIFECYCLE.dead_ends() == frozenset()


def test_a_forced_failover_swaps_the_zones_and_is_an_event() -> None:
    async def test(account: Account) -> None:
        before = account.describe()
        address = account.names.table[before["Endpoint"]["Address"]]
        assert (
            account.call("RebootDBInstance", DBInstanceIdentifier="orders", ForceFailover=True)["DBInstance"]["DBInstanceStatus"]
            == "rebooting"
        )
        await until(lambda: account.status() == "available", within=3)
        assert account.names.table[before["Endpoint"]["Address"]] != address
        await until(lambda: "SecondaryAvailabilityZone" in account.describe())
        after = account.describe()
        assert (after["AvailabilityZone"], after["SecondaryAvailabilityZone"]) == (
            before["SecondaryAvailabilityZone"],
            before["AvailabilityZone"],
        )

    events = run(test, MultiAZ=True)
    assert events == ["DB instance created", "Multi-AZ instance failover started.", "Multi-AZ instance failover completed"]


def test_an_automatic_failover_is_an_event_too() -> None:
    async def test(account: Account) -> None:
        account.simulation.fail(account.describe()["AvailabilityZone"], "power")
        await asyncio.sleep(5)
        assert account.status() == "available" and "SecondaryAvailabilityZone" not in account.describe()
        code, message = account.error("RebootDBInstance", DBInstanceIdentifier="orders", ForceFailover=True)
        assert code == "InvalidDBInstanceState" and "does not hold every write" in message

    assert "Multi-AZ instance failover completed" in run(test, MultiAZ=True)


def test_a_reboot_restarts_the_engine() -> None:
    async def test(account: Account) -> None:
        account.call("RebootDBInstance", DBInstanceIdentifier="orders")
        assert account.status() == "rebooting"
        await until(lambda: account.status() == "available")
        code, _ = account.error("RebootDBInstance", DBInstanceIdentifier="orders", ForceFailover=True)
        assert code == "InvalidParameterCombination"

    assert run(test) == ["DB instance created", "DB instance restarted"]


def test_stop_and_start() -> None:
    async def test(account: Account) -> None:
        account.call("StopDBInstance", DBInstanceIdentifier="orders")
        assert account.error("StopDBInstance", DBInstanceIdentifier="orders") == (
            "InvalidDBInstanceState",
            "Instance orders is not in available state.",
        )
        await until(lambda: account.status() == "stopped")
        assert not any(engine.running for engine in account.simulation.engines.values())
        account.call("StartDBInstance", DBInstanceIdentifier="orders")
        await until(lambda: account.status() == "available")
        assert account.simulation.able_to_acknowledge(), "it is available when it answers, not before"

    events = run(test, MultiAZ=True)
    assert events[1:] == ["DB instance shutdown", "DB instance stopped", "DB instance restarted", "DB instance started"]


def end_sandbox(account: Account, sandbox: str) -> None:
    """Everything that runs ends; the next region process finds itself in this sandbox."""
    for engine in account.simulation.engines.values():
        engine.host.lose_power()
    start_region(account, sandbox)


def start_region(account: Account, sandbox: str) -> None:
    with account.store.transaction() as tx:
        if record_sandbox(tx, sandbox):
            start_instances(tx)


@pytest.mark.parametrize("multi_az", [False, True])
def test_an_instance_is_starting_from_the_start_of_the_region_until_its_engine_answers(multi_az: bool) -> None:
    account = Account()
    start_region(account, "first")

    async def main() -> None:
        async with account:
            account.create(MultiAZ=multi_az)
            await until(lambda: account.status() == "available")
        end_sandbox(account, "second")
        assert account.status() == "starting" and account.describe()["Endpoint"]["Address"]
        [deployment_status] = account.store.select(DeploymentStatus)
        assert deployment_status.phase is Phase.STARTING and not any(member.is_on for member in deployment_status.members)
        assert account.error("RebootDBInstance", DBInstanceIdentifier="orders")[0] == "InvalidDBInstanceState"
        async with account:
            await until(lambda: account.status() != "starting", every=0.01)
            assert account.status() == "available"
            assert any(engine.answers and engine.is_leader for engine in account.simulation.engines.values())
            told.extend(account.events())

    told: list[str] = []
    virtual_time.run(main())
    assert told == ["DB instance created", "DB instance shutdown", "DB instance restarted", "DB instance started"]


def test_an_instance_whose_zone_is_lost_at_the_start_of_the_region_stays_starting_and_can_be_deleted() -> None:
    account = Account()

    async def main() -> None:
        async with account:
            account.create()
            await until(lambda: account.status() == "available")
        account.simulation.fail(account.describe()["AvailabilityZone"], "power")
        end_sandbox(account, "second")
        async with account:
            await asyncio.sleep(60)
            assert account.status() == "starting"
            account.call("DeleteDBInstance", DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
            await until(lambda: account.call("DescribeDBInstances")["DBInstances"] == [])

    virtual_time.run(main())


def test_a_region_process_restarted_in_its_sandbox_leaves_an_instance_available() -> None:
    account = Account()
    start_region(account, "first")

    async def main() -> None:
        async with account:
            account.create()
            await until(lambda: account.status() == "available")
        start_region(account, "first")
        assert account.status() == "available"

    virtual_time.run(main())


def test_a_stopped_instance_stays_stopped_in_a_new_sandbox() -> None:
    account = Account()

    async def main() -> None:
        async with account:
            account.create()
            await until(lambda: account.status() == "available")
            account.call("StopDBInstance", DBInstanceIdentifier="orders")
            await until(lambda: account.status() == "stopped")
        end_sandbox(account, "second")
        async with account:
            await asyncio.sleep(10)
            assert account.status() == "stopped"

    virtual_time.run(main())


def test_a_deleted_instance_leaves_nothing() -> None:
    async def test(account: Account) -> None:
        assert account.error("DeleteDBInstance", DBInstanceIdentifier="orders")[1].startswith("FinalDBSnapshotIdentifier is required")
        refused = account.error("DeleteDBInstance", DBInstanceIdentifier="orders", FinalDBSnapshotIdentifier="last")
        assert refused[0] == "InvalidParameterCombination" and "no snapshots yet" in refused[1]
        modify(account, DeletionProtection=True)
        protected = account.error("DeleteDBInstance", DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
        assert protected[1] == "Cannot delete protected DB Instance, please disable deletion protection and try again."
        modify(account, DeletionProtection=False)
        account.call("DeleteDBInstance", DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
        assert account.status() == "deleting"
        await until(lambda: account.call("DescribeDBInstances")["DBInstances"] == [])
        await until(lambda: account.store.select(DeploymentSecrets) == [])
        assert account.store.select(NetworkInterface) == [] and account.names.table == {} and account.simulation.engines == {}
        await until(lambda: account.exposed.endpoints == set())

    assert run(test, MultiAZ=True)[-1] == "DB instance deleted"


def test_an_instance_being_created_can_be_deleted() -> None:
    async def test(account: Account) -> None:
        account.create("second", MultiAZ=True)
        await asyncio.sleep(0.3)
        account.call("DeleteDBInstance", DBInstanceIdentifier="second", SkipFinalSnapshot=True)
        await until(lambda: len(account.call("DescribeDBInstances")["DBInstances"]) == 1)
        await until(lambda: len(account.store.select(DeploymentStatus)) == 1)

    run(test)


def test_an_instance_whose_standby_cannot_be_reached_is_deleted_all_the_same() -> None:
    async def test(account: Account) -> None:
        account.simulation.fail(account.describe()["SecondaryAvailabilityZone"], "network")
        await asyncio.sleep(3)
        account.call("DeleteDBInstance", DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
        await until(lambda: account.call("DescribeDBInstances")["DBInstances"] == [])
        assert len(account.simulation.engines) == 1, "the host in the lost zone is still there"
        account.simulation.faults.clear()
        await until(lambda: account.simulation.engines == {})

    run(test, MultiAZ=True)


def test_multi_az_is_switched_on_and_off() -> None:
    async def test(account: Account) -> None:
        shown = modify(account, MultiAZ=True, ApplyImmediately=True)
        assert shown["DBInstanceStatus"] == "modifying" and shown["MultiAZ"] is False and shown["PendingModifiedValues"]["MultiAZ"] is True
        await until(lambda: account.status() == "available")
        shown = account.describe()
        assert shown["MultiAZ"] is True and "SecondaryAvailabilityZone" in shown and shown["PendingModifiedValues"] == {}
        modify(account, MultiAZ=False, ApplyImmediately=True)
        await until(lambda: account.status() == "available")
        assert account.describe()["MultiAZ"] is False
        await until(lambda: len(account.store.select(NetworkInterface)) == 1)

    events = run(test)
    assert events[1] == "Applying modification to convert to a Multi-AZ DB Instance"
    assert events[-1] == "Finished applying modification to convert to a standard (Single-AZ) DB Instance"


def test_multi_az_is_switched_off_after_a_failover_and_the_leader_stays() -> None:
    async def test(account: Account) -> None:
        account.call("RebootDBInstance", DBInstanceIdentifier="orders", ForceFailover=True)
        await until(lambda: account.status() == "available" and "SecondaryAvailabilityZone" in account.describe())
        zone = account.describe()["AvailabilityZone"]
        modify(account, MultiAZ=False, ApplyImmediately=True)
        await until(lambda: account.status() == "available")
        assert account.describe()["AvailabilityZone"] == zone and len(account.simulation.engines) == 1

    run(test, MultiAZ=True)


def test_a_deferred_change_waits_for_the_maintenance_window() -> None:
    async def test(account: Account) -> None:
        opens = account.clock.now() + timedelta(hours=30)
        ends = opens + timedelta(hours=1)
        day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        window = f"{day[opens.weekday()]}:{opens:%H:%M}-{day[ends.weekday()]}:{ends:%H:%M}"
        backup = opens + timedelta(hours=5)
        other = f"{backup:%H:%M}-{backup + timedelta(minutes=30):%H:%M}"
        modify(account, PreferredMaintenanceWindow=window, PreferredBackupWindow=other)
        shown = modify(account, DBInstanceClass="db.t3.small", EngineVersion="18.1", AllocatedStorage=21)
        assert shown["DBInstanceStatus"] == "available" and shown["DBInstanceClass"] == "db.t3.micro"
        assert shown["PendingModifiedValues"] == {"DBInstanceClass": "db.t3.small", "EngineVersion": "18.1", "AllocatedStorage": 22}
        await asyncio.sleep(29 * 3600)
        assert account.describe()["DBInstanceClass"] == "db.t3.micro"
        await asyncio.sleep(1.1 * 3600)
        shown = account.describe()
        assert (shown["DBInstanceClass"], shown["EngineVersion"], shown["AllocatedStorage"]) == ("db.t3.small", "18.1", 22)
        assert shown["PendingModifiedValues"] == {} and shown["DBInstanceStatus"] == "available"

    run(test, EngineVersion="18.0", probe_interval_seconds=600)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_change_that_waits_is_taken_back_by_asking_for_the_present_value(at_once: bool) -> None:
    async def test(account: Account) -> None:
        modify(account, MultiAZ=True, DBInstanceClass="db.t3.small")
        shown = modify(account, MultiAZ=False, ApplyImmediately=at_once)
        assert shown["PendingModifiedValues"] == {"DBInstanceClass": "db.t3.small"}
        if not at_once:
            modify(account, ApplyImmediately=True)
        await until(lambda: account.status() == "available")
        shown = account.describe()
        assert (shown["MultiAZ"], shown["DBInstanceClass"], shown["PendingModifiedValues"]) == (False, "db.t3.small", {})

    run(test)


def connections_in_force(account: Account) -> set[int]:
    return {engine.max_connections for engine in account.simulation.engines.values()}


@pytest.mark.parametrize("multi_az", [False, True])
def test_the_class_of_an_instance_is_lowered_and_raised_again(multi_az: bool) -> None:
    async def test(account: Account) -> None:
        for name, memory in (("db.t3.micro", 1), ("db.t3.medium", 4), ("db.t3.small", 2)):
            assert modify(account, DBInstanceClass=name, ApplyImmediately=True)["DBInstanceStatus"] == "modifying"
            await until(lambda: account.status() == "available")
            assert account.describe()["DBInstanceClass"] == name and account.describe()["PendingModifiedValues"] == {}
            assert connections_in_force(account) == {connections(memory << 30)}

    run(test, MultiAZ=multi_az, DBInstanceClass="db.t3.small")


@pytest.mark.parametrize("multi_az", [False, True])
@pytest.mark.parametrize("changes", [{"DBInstanceClass": "db.t3.micro"}, {"DBInstanceClass": "db.t3.medium"}, {"EngineVersion": "18.1"}])
def test_a_change_with_which_the_engine_does_not_start_is_taken_back_with_an_event(changes: dict[str, Any], multi_az: bool) -> None:
    async def test(account: Account) -> None:
        before = account.describe()
        runs = {engine.runs.revision for engine in account.simulation.engines.values()}
        for engine in account.simulation.engines.values():
            engine.refuses = lambda member: member.revision not in runs
        modify(account, ApplyImmediately=True, **changes)
        await until(lambda: account.status() == "available")
        shown = account.describe()
        names = "DBInstanceClass", "EngineVersion", "PendingModifiedValues"
        assert [shown[name] for name in names] == [before[name] for name in names]
        await until(lambda: bool(account.simulation.able_to_acknowledge()))
        for engine in account.simulation.engines.values():
            engine.refuses = lambda _: False
        modify(account, ApplyImmediately=True, **changes)
        await until(lambda: account.status() == "available")
        assert {name: account.describe()[name] for name in changes} == changes, "it can be asked for again"

    told = run(test, MultiAZ=multi_az, DBInstanceClass="db.t3.small", EngineVersion="18.0")
    assert len([each for each in told if each.startswith("The modification failed and was taken back: ")]) == 1


@pytest.mark.parametrize(
    ("changes", "back"),
    [
        ({"MultiAZ": True}, {"MultiAZ": False}),
        ({"DBInstanceClass": "db.t3.medium"}, {"DBInstanceClass": "db.t3.small"}),
        ({"DBInstanceClass": "db.t3.micro"}, {"DBInstanceClass": "db.t3.small"}),
        ({"DBInstanceClass": "db.t3.medium"}, {"DBInstanceClass": "db.t3.large"}),
        ({"EngineVersion": "18.1"}, {"EngineVersion": "18.0"}),
        ({"EngineVersion": "18.1"}, {"MultiAZ": False}),
    ],
)
@pytest.mark.parametrize("way_out", ["modify", "delete", "recover"])
def test_a_change_that_waits_for_a_lost_zone_has_a_way_out(changes: dict[str, Any], back: dict[str, Any], way_out: str) -> None:
    """The standby never attaches: its zone is lost when it is to be made, or restarted."""

    async def test(account: Account) -> None:
        shown = modify(account, ApplyImmediately=True, **changes)
        assert shown["DBInstanceStatus"] in ("modifying", "upgrading")
        account.simulation.fail(next(place.zone for place in account.store.select(DeploymentSpec)[0].places[1:]), "power")
        await until(lambda: account.store.select(DeploymentStatus)[0].why != "")
        await asyncio.sleep(20)
        assert account.status() in ("modifying", "upgrading")
        if way_out == "delete":
            account.call("DeleteDBInstance", DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
            await until(lambda: account.call("DescribeDBInstances")["DBInstances"] == [])
            return
        if way_out == "modify":
            modify(account, ApplyImmediately=True, **back)
        if way_out == "recover" or "MultiAZ" not in back:
            account.simulation.faults.clear()
            account.deployments.zone_changed()
        await until(lambda: account.status() == "available", within=120)
        shown = account.describe()
        goal = back if way_out == "modify" else changes
        assert {name: shown[name] for name in goal} == goal and shown["PendingModifiedValues"] == {}

    run(test, MultiAZ="MultiAZ" not in changes, DBInstanceClass="db.t3.small", EngineVersion="18.0")


def test_a_change_that_goes_on_is_not_changed_again() -> None:
    async def test(account: Account) -> None:
        modify(account, MultiAZ=True, ApplyImmediately=True)
        refused = account.error("ModifyDBInstance", DBInstanceIdentifier="orders", MultiAZ=False, ApplyImmediately=True)
        assert refused[0] == "InvalidDBInstanceState"

    run(test)


def test_an_upgrade_of_a_pair_ends_with_both_nodes_on_the_new_version() -> None:
    async def test(account: Account) -> None:
        assert modify(account, EngineVersion="18.1", ApplyImmediately=True)["DBInstanceStatus"] == "upgrading"
        await until(lambda: account.status() == "available")
        assert account.describe()["EngineVersion"] == "18.1"
        assert {member.engine_version for member in account.store.select(DeploymentStatus)[0].members} == {"18.1"}
        code, message = account.error("ModifyDBInstance", DBInstanceIdentifier="orders", EngineVersion="18.0")
        assert (code, message) == ("InvalidParameterCombination", "Cannot upgrade postgres from 18.1 to 18.0")

    assert "Database instance patched" in run(test, MultiAZ=True, EngineVersion="18.0")


def test_a_new_password_is_pending_until_it_is_in_force() -> None:
    async def test(account: Account) -> None:
        before = account.store.select(DeploymentSecrets)[0].members["master"]
        shown = modify(account, MasterUserPassword="another-password")
        assert shown["DBInstanceStatus"] == "resetting-master-credentials" and shown["PendingModifiedValues"] == {
            "MasterUserPassword": "****"
        }
        await until(lambda: account.status() == "available")
        assert account.describe()["PendingModifiedValues"] == {}
        [engine] = account.simulation.engines.values()
        assert engine.password == account.store.select(DeploymentSecrets)[0].members["master"] != before

    assert run(test)[-1] == "Reset master credentials"


def test_a_renamed_instance_answers_at_its_new_name_only() -> None:
    async def test(account: Account) -> None:
        old = account.describe()["Endpoint"]["Address"]
        account.create("taken")
        assert (
            account.error("ModifyDBInstance", DBInstanceIdentifier="orders", NewDBInstanceIdentifier="taken")[0]
            == "DBInstanceAlreadyExists"
        )
        assert modify(account, NewDBInstanceIdentifier="Sales", ApplyImmediately=True)["DBInstanceIdentifier"] == "sales"
        await until(lambda: account.status("sales") == "available")
        new = account.describe("sales")["Endpoint"]["Address"]
        assert new in account.names.table and old not in account.names.table
        assert account.error("DescribeDBInstances", DBInstanceIdentifier="orders")[0] == "DBInstanceNotFound"

    run(test)


def test_events_stay_with_the_name_as_on_aws_and_the_journal_follows_the_instance() -> None:
    async def test(account: Account) -> None:
        modify(account, NewDBInstanceIdentifier="sales", ApplyImmediately=True)
        await until(lambda: account.status("sales") == "available")
        account.call("RebootDBInstance", DBInstanceIdentifier="sales")
        await until(lambda: account.status("sales") == "available")
        assert account.events("sales") == ["DB instance restarted"]
        assert account.events("orders") == ["DB instance created"], "DescribeEvents: events belong to the name, as on AWS"
        history = [entry.event for entry in subject_journal(account.store, "sales")]
        assert history.index("deployment.available") < history.index("rds.renamed") < history.index("node.restarted")

    run(test)


def test_a_deployment_of_another_owner_with_the_same_name_is_never_reported_as_the_db_instance() -> None:
    thing = Owner("test:thing", "orders")

    async def test(account: Account) -> None:
        before, names, arn = account.events(), dict(account.names.table), account.describe()["DBInstanceArn"]
        written = len(subject_journal(account.store, arn))
        places = tuple(replace(place(number, zone), name=f"thing_{number}") for number, zone in enumerate((A, B), start=1))
        want(account.simulation, replace(deployment_spec(A, B), places=places, owner=thing))

        def standing() -> DeploymentStatus | None:
            return account.store.get(DeploymentStatus, "d-1")

        await until(lambda: (found := standing()) is not None and found.redundancy == "synchronous")
        await account.simulation.engines["thing_1"].kill()
        await until(lambda: (found := standing()) is not None and found.leader == "thing_2" and found.redundancy == "synchronous")
        assert account.events() == before and account.names.table == names
        assert len(subject_journal(account.store, arn)) == written
        history = subject_journal(account.store, account.owners.arn(thing))
        assert "failover.promoted" in [entry.event for entry in history]
        assert {entry.subject for entry in history} == {"arn:aws:test:us-east-1:000000000000:thing:orders"}

    run(test)


def test_security_groups_and_public_access_change_at_once() -> None:
    async def test(account: Account) -> None:
        modify(account, PubliclyAccessible=False)
        await until(lambda: account.names.table[account.describe()["Endpoint"]["Address"]][1] is None)
        await until(lambda: account.exposed.endpoints == set())
        assert modify(account, PubliclyAccessible=True)["PubliclyAccessible"] is True
        await until(lambda: len(account.exposed.endpoints) == 2)

    run(test, MultiAZ=True)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"DBPortNumber": 5433}, "InvalidParameterCombination"),
        ({"DBSubnetGroupName": "other"}, "InvalidParameterCombination"),
        ({"BackupRetentionPeriod": 1}, "InvalidParameterCombination"),
        ({"AllocatedStorage": 19}, "InvalidParameterCombination"),
        ({"DBInstanceClass": "db.none"}, "InvalidParameterCombination"),
        ({"EngineVersion": "99"}, "InvalidParameterCombination"),
        ({"EngineVersion": "17"}, "InvalidParameterCombination"),
        ({"MasterUserPassword": "short"}, "InvalidParameterValue"),
        ({"StorageType": "io2"}, "InvalidParameterCombination"),
        ({"PromotionTier": 2}, "InvalidParameterCombination"),
        ({"TagSpecifications": [{"ResourceType": "auto-backup"}]}, "InvalidParameterCombination"),
        ({"VpcSecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidParameterValue"),
        ({"DBParameterGroupName": "mine"}, "DBParameterGroupNotFound"),
    ],
)
def test_a_modification_with_one_invalid_change_is_refused_as_a_whole(parameters: dict[str, Any], code: str) -> None:
    async def test(account: Account) -> None:
        before = account.describe()
        assert (
            account.error("ModifyDBInstance", DBInstanceIdentifier="orders", DeletionProtection=True, ApplyImmediately=True, **parameters)[
                0
            ]
            == code
        )
        assert account.describe() == before

    run(test)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("StartDBInstance", {"DBCapacityReservationIdentifier": "dbcr-1"}),
        ("StopDBInstance", {"DBSnapshotIdentifier": "before"}),
    ],
)
def test_starting_and_stopping_refuse_what_they_would_not_do(operation: str, parameters: dict[str, Any]) -> None:
    async def test(account: Account) -> None:
        code, message = account.error(operation, DBInstanceIdentifier="orders", **parameters)
        assert code == "InvalidParameterCombination" and "is not supported" in message
        assert account.describe()["DBInstanceStatus"] == "available"

    run(test)


def test_an_available_instance_with_a_full_disk_is_storage_full_and_available_again_when_there_is_space() -> None:
    async def test(account: Account) -> None:
        account.full_disks.add(account.describe()["DbiResourceId"])
        assert account.status() == "storage-full"
        account.call("StopDBInstance", DBInstanceIdentifier="orders")
        assert account.status() == "stopping", "what is allowed while it is available is allowed now"
        await until(lambda: account.status() == "stopped")
        account.call("StartDBInstance", DBInstanceIdentifier="orders")
        await until(lambda: account.status() == "storage-full")
        account.full_disks.clear()
        assert account.status() == "available"

    run(test)
