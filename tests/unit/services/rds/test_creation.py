"""CreateDBInstance: what it creates, and what it refuses with AWS's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests import virtual_time
from tests.unit.control.simulation import A, B, C, until
from tests.unit.services.rds.region import Account
from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, DeploymentStatus
from zonal.services.ec2.model import InternetGateway, NetworkInterface, SecurityGroup, Subnet
from zonal.services.rds.model import DbInstance


def run(test: Callable[[Account], Awaitable[None]]) -> Account:
    account = Account()

    async def main() -> None:
        await test(account)

    virtual_time.run(main())
    return account


def test_an_instance_is_created_and_becomes_available_with_an_endpoint() -> None:
    async def test(account: Account) -> None:
        async with account:
            shown = account.create(DBName="app", Tags=[{"Key": "team", "Value": "blue"}])
            assert shown["DBInstanceStatus"] == "creating" and "Endpoint" not in shown
            await until(lambda: account.status() == "available")
            shown = account.describe()
            assert shown["Endpoint"]["Address"].startswith("orders.c") and shown["Endpoint"]["Port"] == 5432
            private, public = account.names.table[shown["Endpoint"]["Address"]]
            assert private.startswith("172.31.") and public is not None and public.startswith("203.0.113.")
            assert shown["MultiAZ"] is False and "SecondaryAvailabilityZone" not in shown
            assert shown["DBParameterGroups"] == [{"DBParameterGroupName": "default.postgres18", "ParameterApplyStatus": "in-sync"}]
            assert shown["TagList"] == [{"Key": "team", "Value": "blue"}] and shown["DBSubnetGroup"]["DBSubnetGroupName"] == "default"
            await until(lambda: (public, 5432) in account.exposed.endpoints)
            assert account.events() == ["DB instance created"]

    run(test)


def test_a_multi_az_instance_is_available_when_its_standby_holds_every_write() -> None:
    async def test(account: Account) -> None:
        async with account:
            account.create(MultiAZ=True)
            begun = account.clock.monotonic()
            await until(lambda: account.status() == "available")
            assert account.clock.monotonic() - begun < 5
            shown = account.describe()
            assert {shown["AvailabilityZone"], shown["SecondaryAvailabilityZone"]} < {A, B, C}
            assert shown["AvailabilityZone"] != shown["SecondaryAvailabilityZone"]
            interfaces = account.store.select(NetworkInterface, lambda interface: interface.requester == "amazon-rds")
            assert {interface.zone for interface in interfaces} == {shown["AvailabilityZone"], shown["SecondaryAvailabilityZone"]}
            assert all(interface.attachment is not None for interface in interfaces)

    run(test)


def test_the_master_password_is_nowhere_in_clear_text() -> None:
    async def test(account: Account) -> None:
        async with account:
            shown = account.create(MasterUserPassword="correct-horse-battery")
            await until(lambda: account.status() == "available")
            everything = f"{shown} {account.describe()} {account.store.journal()} {account.store.select(DbInstance)}"
            everything += (
                f"{account.store.select(DeploymentSpec)} {account.store.select(DeploymentStatus)} {account.store.select(DeploymentSecrets)}"
            )
            assert "correct-horse" not in everything
            assert account.store.select(DeploymentSecrets)[0].members["master"].startswith("SCRAM-SHA-256$")

    run(test)


@pytest.mark.parametrize(
    ("parameters", "code", "message_pattern"),
    [
        ({"DBInstanceIdentifier": "9lives"}, "InvalidParameterValue", "not a valid identifier"),
        ({"DBInstanceIdentifier": "a--b"}, "InvalidParameterValue", "two consecutive hyphens"),
        ({"DBInstanceIdentifier": "a-"}, "InvalidParameterValue", "not a valid identifier"),
        ({"DBInstanceIdentifier": "a" * 64}, "InvalidParameterValue", "not a valid identifier"),
        ({"MasterUserPassword": "short"}, "InvalidParameterValue", "shorter than 8"),
        ({"MasterUserPassword": "with/slash"}, "InvalidParameterValue", "Only printable ASCII"),
        ({"MasterUsername": "rdsadmin"}, "InvalidParameterValue", "reserved word"),
        ({"MasterUsername": "1st"}, "InvalidParameterValue", "begin with a letter"),
        ({"DBName": "with-hyphen"}, "InvalidParameterValue", "DBName must begin with a letter"),
        ({"Port": 80}, "InvalidParameterValue", "1150-65535"),
        ({"AllocatedStorage": 5}, "InvalidParameterValue", "Invalid storage size for engine name postgres and storage type gp2: 5"),
        ({"StorageType": "io1"}, "InvalidParameterCombination", "provisioned IOPS"),
        ({"StorageType": "tape"}, "InvalidParameterValue", "Invalid storage type"),
        ({"DBInstanceClass": "t3.micro"}, "InvalidParameterValue", "Invalid DB Instance class: t3.micro"),
        ({"DBInstanceClass": "db.z9.huge"}, "InvalidParameterCombination", "DBInstanceClass=db.z9.huge, Engine=postgres"),
        ({"Engine": "mariadb"}, "InvalidParameterValue", "Invalid DB engine"),
        (
            {"EngineVersion": "15.3"},
            "InvalidParameterCombination",
            "Cannot find version 15.3 for postgres; .*zonal engines install postgres 15",
        ),
        ({"BackupRetentionPeriod": 7}, "InvalidParameterCombination", "no automated backups"),
        ({"StorageEncrypted": True}, "InvalidParameterCombination", "does not encrypt"),
        ({"ManageMasterUserPassword": True}, "InvalidParameterCombination", "Secrets Manager"),
        ({"EnableIAMDatabaseAuthentication": True}, "InvalidParameterCombination", "IAM"),
        ({"EnablePerformanceInsights": True}, "InvalidParameterCombination", "Performance Insights"),
        ({"MonitoringInterval": 60}, "InvalidParameterCombination", "Enhanced Monitoring"),
        ({"PromotionTier": 2}, "InvalidParameterCombination", "Aurora only"),
        (
            {"TagSpecifications": [{"ResourceType": "auto-backup", "Tags": [{"Key": "a", "Value": "b"}]}]},
            "InvalidParameterCombination",
            "automated backups",
        ),
        ({"OptionGroupName": "mine"}, "InvalidParameterCombination", "option groups"),
        ({"DBParameterGroupName": "mine"}, "DBParameterGroupNotFound", "mine"),
        ({"NetworkType": "DUAL"}, "InvalidParameterCombination", "can only be IPV4"),
        ({"CACertificateIdentifier": "rds-ca-2019"}, "CertificateNotFound", "rds-ca-2019"),
        ({"DBSubnetGroupName": "nowhere"}, "DBSubnetGroupNotFoundFault", "DB subnet group 'nowhere' does not exist."),
        ({"VpcSecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidParameterValue", "Invalid security group , groupId= sg-0123"),
        ({"AvailabilityZone": B, "MultiAZ": True}, "InvalidParameterCombination", "not valid for Multi-AZ"),
        ({"AvailabilityZone": "eu-west-1a"}, "InvalidVPCNetworkStateFault", "eu-west-1a"),
        ({"PreferredMaintenanceWindow": "someday"}, "InvalidParameterValue", "ddd:hh24:mi"),
        ({"PreferredMaintenanceWindow": "mon:03:00-mon:03:10"}, "InvalidParameterValue", "at least 30 minutes"),
        (
            {"PreferredMaintenanceWindow": "mon:03:00-mon:04:00", "PreferredBackupWindow": "03:30-04:30"},
            "InvalidParameterCombination",
            "must not overlap",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(parameters: dict[str, Any], code: str, message_pattern: str) -> None:
    async def test(account: Account) -> None:
        asked = {"DBInstanceIdentifier": "orders", "Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20}
        asked |= {"MasterUsername": "master", "MasterUserPassword": "password-of-master"}
        found, message = account.error("CreateDBInstance", **(asked | parameters))
        assert found == code
        import re

        assert re.search(message_pattern, message), message
        assert account.store.select(DbInstance) == [] and account.store.select(NetworkInterface) == []

    run(test)


def test_two_instances_cannot_share_an_identifier() -> None:
    async def test(account: Account) -> None:
        account.create()
        asked = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20}
        asked |= {"MasterUsername": "master", "MasterUserPassword": "password-of-master"}
        assert account.error("CreateDBInstance", DBInstanceIdentifier="ORDERS", **asked)[0] == "DBInstanceAlreadyExists"

    run(test)


def test_a_public_instance_needs_an_internet_gateway() -> None:
    async def test(account: Account) -> None:
        with account.store.transaction() as tx:
            for gateway in tx.select(InternetGateway):
                tx.delete(InternetGateway, gateway.id)
        asked = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20, "DBInstanceIdentifier": "orders"}
        asked |= {"MasterUsername": "master", "MasterUserPassword": "password-of-master"}
        code, message = account.error("CreateDBInstance", **asked)
        assert code == "InvalidVPCNetworkStateFault" and "no internet gateway" in message
        assert account.create(PubliclyAccessible=False)["PubliclyAccessible"] is False

    run(test)


def test_a_lost_zone_takes_no_new_host() -> None:
    async def test(account: Account) -> None:
        account.simulation.fail(A, "power")
        asked = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20, "DBInstanceIdentifier": "orders"}
        asked |= {"MasterUsername": "master", "MasterUserPassword": "password-of-master"}
        assert account.error("CreateDBInstance", AvailabilityZone=A, **asked)[0] == "InsufficientDBInstanceCapacity"
        account.simulation.fail(B, "network")
        assert account.error("CreateDBInstance", MultiAZ=True, **asked)[0] == "InsufficientDBInstanceCapacity"
        account.create()
        assert account.describe()["AvailabilityZone"] == C

    run(test)


def test_an_instance_is_in_the_groups_and_subnets_it_was_given() -> None:
    async def test(account: Account) -> None:
        async with account:
            subnets = account.store.select(Subnet)
            two = [subnet.id for subnet in subnets if subnet.zone in (A, C)]
            account.call("CreateDBSubnetGroup", DBSubnetGroupName="Mine", DBSubnetGroupDescription="mine", SubnetIds=two)
            group = account.store.select(SecurityGroup)[0].id
            shown = account.create(DBSubnetGroupName="mine", VpcSecurityGroupIds=[group], MultiAZ=True)
            assert shown["PubliclyAccessible"] is False, "private unless asked otherwise in a group of one's own"
            await until(lambda: account.status() == "available")
            shown = account.describe()
            assert {shown["AvailabilityZone"], shown["SecondaryAvailabilityZone"]} == {A, C}
            assert account.error("DeleteDBSubnetGroup", DBSubnetGroupName="mine")[0] == "InvalidDBSubnetGroupStateFault"

    run(test)


def test_the_windows_of_one_who_names_none_do_not_overlap() -> None:
    account = Account()
    for number in range(40):
        shown = account.create(f"orders-{number}")
        day, maintenance = shown["PreferredMaintenanceWindow"].split("-")[0].split(":", 1)
        assert maintenance != shown["PreferredBackupWindow"].split("-")[0] and day


def test_many_are_described_in_pages_and_through_filters() -> None:
    async def test(account: Account) -> None:
        for number in range(25):
            account.create(f"db-{number:02}")
        first = account.call("DescribeDBInstances", MaxRecords=20)
        rest = account.call("DescribeDBInstances", MaxRecords=20, Marker=first["Marker"])
        names = [each["DBInstanceIdentifier"] for each in first["DBInstances"] + rest["DBInstances"]]
        assert names == [f"db-{number:02}" for number in range(25)] and "Marker" not in rest
        one = account.describe("db-03")
        for filter in (("db-instance-id", one["DBInstanceArn"]), ("dbi-resource-id", one["DbiResourceId"])):
            found = account.call("DescribeDBInstances", Filters=[{"Name": filter[0], "Values": [filter[1]]}])["DBInstances"]
            assert [each["DBInstanceIdentifier"] for each in found] == ["db-03"]
        assert account.error("DescribeDBInstances", Filters=[{"Name": "colour", "Values": ["x"]}])[0] == "InvalidParameterValue"
        assert account.error("DescribeDBInstances", MaxRecords=5)[0] == "InvalidParameterValue"
        assert account.error("DescribeDBInstances", DBInstanceIdentifier="nobody") == ("DBInstanceNotFound", "DBInstance nobody not found.")
        await asyncio.sleep(0)

    run(test)
