"""DB instances as customers use them: boto3 for the API, psycopg for the data, from inside the region."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.engines.engine_hosts import share_engines
from tests.running_region import RunningRegion, eventually, temporary_region
from zonal.engines.engine_store import EngineStore

PASSWORD = "password-of-master"
QUERY = """
import sys, psycopg
words = dict(word.split("=", 1) for word in sys.argv[2:])
try:
    with psycopg.connect(connect_timeout=3, **words) as connection:
        cursor = connection.execute(sys.argv[1])
        for row in cursor.fetchall() if cursor.description else []: print(*row)
except psycopg.Error as error: print(type(error).__name__, str(error).strip())
"""


@pytest.fixture(scope="module")
def database(region: RunningRegion) -> Iterator[str]:
    identifier = region.create_database()
    yield identifier
    region.delete_database(identifier)


@pytest.fixture
def own_region_with_a_broken_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRegion]:
    """A region of the test's own in which the newest engine of major 17 tells its version and does not start."""
    older, *_, newer = [each.version for each in EngineStore().installed("postgres") if each.version.startswith("17.")]
    engines = share_engines((older, newer))
    broken = engines / "postgres" / newer / "bin/postgres"
    broken.unlink()
    says = f"echo 'postgres (PostgreSQL) {newer}'"
    fails = "echo 'FATAL:  this engine is broken' >&2; exit 1"
    broken.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then {says}; else {fails}; fi\n')
    broken.chmod(0o755)
    monkeypatch.setenv("ZONAL_ENGINES", str(engines))
    try:
        with temporary_region("zonal-test-") as running:
            yield running
    finally:
        shutil.rmtree(engines)


def describe(region: RunningRegion, identifier: str) -> dict[str, Any]:
    return region.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]  # type: ignore[no-any-return]


def ask(region: RunningRegion, identifier: str, sql: str, *, groups: tuple[str, ...] = (), place: str = "default", **more: str) -> str:
    """What a client inside the region gets: the rows, or the name of its error."""
    endpoint = describe(region, identifier)["Endpoint"]
    conninfo = {"host": endpoint["Address"], "port": str(endpoint["Port"]), "user": "master", "password": PASSWORD, "dbname": "app"} | more
    given = [f"{name}={value}" for name, value in conninfo.items()]
    return region.execute(sys.executable, "-c", QUERY, sql, *given, place=place, groups=groups).strip()


def available(region: RunningRegion, identifier: str) -> dict[str, Any]:
    return eventually(lambda: (found := describe(region, identifier))["DBInstanceStatus"] == "available" and found, within=60)  # type: ignore[no-any-return]


def test_an_available_instance_answers_at_its_name(region: RunningRegion, database: str) -> None:
    shown = describe(region, database)
    assert ask(region, database, "select 6 * 7") == "42"
    assert shown["EngineVersion"] in ask(region, database, "show server_version")


def test_the_certificate_is_the_regions(region: RunningRegion, database: str) -> None:
    bundle = region.environment()["ZONAL_CA_BUNDLE"]
    verified = ask(region, database, "select ssl from pg_stat_ssl where pid = pg_backend_pid()", sslmode="verify-full", sslrootcert=bundle)
    assert verified == "True"
    assert "OperationalError" in ask(region, database, "select 1", sslmode="disable"), "TLS is demanded, as rds.force_ssl does"


def test_the_master_user_is_not_a_superuser(region: RunningRegion, database: str) -> None:
    assert (
        ask(region, database, "select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user") == "False True True"
    )
    assert ask(region, database, "select pg_has_role('rds_superuser', 'member')") == "True"
    assert "InsufficientPrivilege" in ask(region, database, "select pg_read_file('/etc/passwd')")


def test_only_the_groups_that_may_reach_it_do(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    vpc = next(vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["IsDefault"])
    web, other, data = (
        ec2.create_security_group(GroupName=f"rds-{name}", Description=name, VpcId=vpc)["GroupId"] for name in ("web", "other", "data")
    )
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": web}]}
    ec2.authorize_security_group_ingress(GroupId=data, IpPermissions=[permission])
    identifier = region.create_database(VpcSecurityGroupIds=[data])
    try:
        assert ask(region, identifier, "select 1", groups=(web,)) == "1"
        assert "timeout" in ask(region, identifier, "select 1", groups=(other,)).lower()
        region.client("rds").modify_db_instance(DBInstanceIdentifier=identifier, VpcSecurityGroupIds=[data, other])
        ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[permission | {"UserIdGroupPairs": [{"GroupId": other}]}])
        eventually(lambda: ask(region, identifier, "select 1", groups=(other,)) == "1")
    finally:
        region.delete_database(identifier)
        for group in (data, other, web):
            ec2.delete_security_group(GroupId=group)


def test_a_new_password_replaces_the_old_one(region: RunningRegion, database: str) -> None:
    rds = region.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier=database, MasterUserPassword="another-password")
    available(region, database)
    assert "OperationalError" in ask(region, database, "select 1")
    assert ask(region, database, "select 1", password="another-password") == "1"
    rds.modify_db_instance(DBInstanceIdentifier=database, MasterUserPassword=PASSWORD)
    available(region, database)
    assert ask(region, database, "select 1") == "1"


def test_a_stopped_instance_refuses_and_a_started_one_has_its_data(region: RunningRegion, database: str) -> None:
    rds = region.client("rds")
    ask(region, database, "create table kept as select 7 as n")
    rds.stop_db_instance(DBInstanceIdentifier=database)
    eventually(lambda: describe(region, database)["DBInstanceStatus"] == "stopped", within=60)
    assert "ConnectionTimeout" in ask(region, database, "select n from kept"), "its host is off"
    rds.start_db_instance(DBInstanceIdentifier=database)
    available(region, database)
    assert ask(region, database, "select n from kept") == "7"


def test_a_reboot_ends_connections_and_is_an_event(region: RunningRegion, database: str) -> None:
    begun = ask(region, database, "select pg_postmaster_start_time()")
    region.client("rds").reboot_db_instance(DBInstanceIdentifier=database)
    available(region, database)
    assert ask(region, database, "select pg_postmaster_start_time()") != begun
    events = region.client("rds").describe_events(SourceIdentifier=database, SourceType="db-instance", Duration=60)["Events"]
    assert "DB instance restarted" in [event["Message"] for event in events]


def test_the_log_files_can_be_read_in_portions(region: RunningRegion, database: str) -> None:
    rds = region.client("rds")
    ask(region, database, "select no_such_column")
    [*_, file] = rds.describe_db_log_files(DBInstanceIdentifier=database)["DescribeDBLogFiles"]
    assert re.match(r"error/postgresql\.log\.", file["LogFileName"]) and file["Size"] > 0

    def text() -> str:
        found, marker, pending = "", "0", True
        while pending:
            portion = rds.download_db_log_file_portion(
                DBInstanceIdentifier=database, LogFileName=file["LogFileName"], Marker=marker, NumberOfLines=3
            )
            found, marker, pending = found + portion.get("LogFileData", ""), portion["Marker"], portion["AdditionalDataPending"]
        return found

    eventually(lambda: "no_such_column" in text())
    with pytest.raises(ClientError, match="DBLogFileNotFoundFault"):
        rds.download_db_log_file_portion(DBInstanceIdentifier=database, LogFileName="error/none")


def test_a_public_instance_is_reached_from_this_machine(region: RunningRegion, database: str) -> None:
    import psycopg

    ec2 = region.client("ec2")
    group = describe(region, database)["VpcSecurityGroups"][0]["VpcSecurityGroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    try:
        endpoint = next(each for each in region.status()["public_endpoints"] if each["name"] == database)
        conninfo = {"host": endpoint["loopback_address"], "port": endpoint["port"], "user": "master", "password": PASSWORD, "dbname": "app"}
        with psycopg.connect(connect_timeout=5, **conninfo) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])


def test_multi_az_is_added_to_a_database_with_data_and_taken_away(region: RunningRegion, database: str) -> None:
    rds = region.client("rds")
    ask(region, database, "create table grown as select generate_series(1, 1000) as n")
    rds.modify_db_instance(DBInstanceIdentifier=database, MultiAZ=True, ApplyImmediately=True)
    shown = available(region, database)
    assert shown["MultiAZ"] and shown["SecondaryAvailabilityZone"] != shown["AvailabilityZone"]
    rds.reboot_db_instance(DBInstanceIdentifier=database, ForceFailover=True)
    assert available(region, database)["AvailabilityZone"] == shown["SecondaryAvailabilityZone"]
    assert ask(region, database, "select count(*) from grown") == "1000"
    eventually(lambda: "SecondaryAvailabilityZone" in describe(region, database), within=60)
    rds.modify_db_instance(DBInstanceIdentifier=database, MultiAZ=False, ApplyImmediately=True)
    assert available(region, database)["MultiAZ"] is False
    assert ask(region, database, "insert into grown values (0) returning n") == "0"


def test_a_minor_upgrade_of_a_multi_az_database_keeps_its_data(region: RunningRegion) -> None:
    older, *_, newer = [each.version for each in EngineStore().installed("postgres") if each.version.startswith("17.")]
    identifier = region.create_database(EngineVersion=older, MultiAZ=True)
    try:
        ask(region, identifier, "create table kept as select generate_series(1, 1000) as n")
        region.client("rds").modify_db_instance(DBInstanceIdentifier=identifier, EngineVersion=newer, ApplyImmediately=True)
        assert available(region, identifier)["EngineVersion"] == newer
        assert ask(region, identifier, "select count(*), current_setting('server_version') from kept").startswith(f"1000 {newer}")
        eventually(lambda: "SecondaryAvailabilityZone" in describe(region, identifier), within=60)
    finally:
        region.delete_database(identifier)


def test_a_renamed_instance_is_at_its_new_name(region: RunningRegion) -> None:
    identifier = region.create_database()
    try:
        renamed = f"{identifier}-new"
        rds = region.client("rds")
        rds.modify_db_instance(DBInstanceIdentifier=identifier, NewDBInstanceIdentifier=renamed, ApplyImmediately=True)
        identifier = renamed
        available(region, renamed)
        bundle = region.environment()["ZONAL_CA_BUNDLE"]
        assert ask(region, renamed, "select 1", sslmode="verify-full", sslrootcert=bundle) == "1"
    finally:
        region.delete_database(identifier)


def test_the_versions_are_those_that_are_installed(region: RunningRegion) -> None:
    rds = region.client("rds")
    versions = [each["EngineVersion"] for each in rds.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"]]
    assert versions == [each.version for each in EngineStore().installed("postgres")]
    with pytest.raises(ClientError, match=r"Cannot find version 9\.6 for postgres; install it with `zonal engines install postgres 9`"):
        region.create_database(EngineVersion="9.6")
    options = rds.get_paginator("describe_orderable_db_instance_options").paginate(Engine="postgres", EngineVersion=versions[-1])
    assert "db.t3.micro" in {option["DBInstanceClass"] for page in options for option in page["OrderableDBInstanceOptions"]}


def test_an_operation_or_a_parameter_that_is_not_implemented_is_refused(region: RunningRegion, database: str) -> None:
    rds = region.client("rds")
    with pytest.raises(ClientError, match="NotImplemented"):
        rds.create_db_snapshot(DBInstanceIdentifier=database, DBSnapshotIdentifier="one")
    with pytest.raises(ClientError, match="no automated backups yet"):
        rds.modify_db_instance(DBInstanceIdentifier=database, BackupRetentionPeriod=7)


def test_the_class_of_a_multi_az_database_is_lowered_and_raised_again(region: RunningRegion) -> None:
    identifier = region.create_database(DBInstanceClass="db.t3.small", MultiAZ=True)
    try:
        ask(region, identifier, "create table kept as select generate_series(1, 1000) as n")
        for name, connections in (("db.t3.micro", 112), ("db.t3.small", 225)):
            region.client("rds").modify_db_instance(DBInstanceIdentifier=identifier, DBInstanceClass=name, ApplyImmediately=True)
            assert available(region, identifier)["DBInstanceClass"] == name
            assert ask(region, identifier, "select count(*), current_setting('max_connections') from kept") == f"1000 {connections}"
            eventually(lambda: "SecondaryAvailabilityZone" in describe(region, identifier), within=60)
            region.client("rds").reboot_db_instance(DBInstanceIdentifier=identifier, ForceFailover=True)
            available(region, identifier)
            assert ask(region, identifier, "select count(*), current_setting('max_connections') from kept") == f"1000 {connections}"
            eventually(lambda: "SecondaryAvailabilityZone" in describe(region, identifier), within=60)
    finally:
        region.delete_database(identifier)


@pytest.mark.parametrize("multi_az", [False, True])
def test_an_upgrade_to_a_version_that_does_not_start_is_taken_back(own_region_with_a_broken_engine: RunningRegion, multi_az: bool) -> None:
    region = own_region_with_a_broken_engine
    older, *_, newer = [each.version for each in EngineStore().installed("postgres") if each.version.startswith("17.")]
    identifier = region.create_database(EngineVersion=older, MultiAZ=multi_az)
    ask(region, identifier, "create table kept as select generate_series(1, 1000) as n")
    region.client("rds").modify_db_instance(DBInstanceIdentifier=identifier, EngineVersion=newer, ApplyImmediately=True)
    shown = available(region, identifier)
    assert (shown["EngineVersion"], shown["PendingModifiedValues"]) == (older, {})
    eventually(lambda: ask(region, identifier, "select count(*) from kept") == "1000", within=60)
    told = region.client("rds").describe_events(SourceIdentifier=identifier, SourceType="db-instance", EventCategories=["failure"])
    [message] = [each["Message"] for each in told["Events"]]
    assert message.startswith("The modification failed and was taken back: ") and "this engine is broken" in message
    if multi_az:
        eventually(lambda: "SecondaryAvailabilityZone" in describe(region, identifier), within=60)
    region.client("rds").modify_db_instance(DBInstanceIdentifier=identifier, DBInstanceClass="db.t3.small", ApplyImmediately=True)
    assert available(region, identifier)["DBInstanceClass"] == "db.t3.small"
