"""DB subnet groups: at least two zones, one VPC, and no deletion while they are used."""

from __future__ import annotations

import pytest

from tests.unit.control.simulation import A, B
from tests.unit.services.rds.region import Account
from zonal.services.ec2 import subnets as ec2_subnets
from zonal.services.ec2 import vpcs
from zonal.services.ec2.model import Subnet


def by_zone(account: Account) -> dict[str, str]:
    return {subnet.zone: subnet.id for subnet in account.store.select(Subnet)}


def make(account: Account, name: str = "mine", **more: object) -> dict[str, object]:
    subnets = by_zone(account)
    asked = {"DBSubnetGroupName": name, "DBSubnetGroupDescription": "mine", "SubnetIds": [subnets[A], subnets[B]]}
    return account.call("CreateDBSubnetGroup", **(asked | more))["DBSubnetGroup"]  # type: ignore[no-any-return]


def test_a_group_is_created_modified_described_and_deleted() -> None:
    account = Account()
    shown = make(account, "Mine")
    assert shown["DBSubnetGroupName"] == "mine" and shown["SubnetGroupStatus"] == "Complete"
    assert [each["SubnetAvailabilityZone"]["Name"] for each in shown["Subnets"]] == [A, B]  # type: ignore[index, attr-defined]
    everywhere = list(by_zone(account).values())
    changed = account.call("ModifyDBSubnetGroup", DBSubnetGroupName="mine", SubnetIds=everywhere, DBSubnetGroupDescription="all")
    assert len(changed["DBSubnetGroup"]["Subnets"]) == 3
    [described] = account.call("DescribeDBSubnetGroups", DBSubnetGroupName="MINE")["DBSubnetGroups"]
    assert described["DBSubnetGroupDescription"] == "all"
    account.call("DeleteDBSubnetGroup", DBSubnetGroupName="mine")
    assert account.error("DescribeDBSubnetGroups", DBSubnetGroupName="mine")[0] == "DBSubnetGroupNotFoundFault"


def test_a_group_covers_two_zones_of_one_vpc() -> None:
    account = Account()
    one = by_zone(account)[A]
    code, message = account.error("CreateDBSubnetGroup", DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=[one])
    assert code == "DBSubnetGroupDoesNotCoverEnoughAZs" and A in message
    with account.store.transaction() as tx:
        vpc = vpcs.create(tx, "10.9.0.0/16")
        other = ec2_subnets.create(tx, vpc, B, "10.9.1.0/24").id
    asked = {"DBSubnetGroupName": "g", "DBSubnetGroupDescription": "d"}
    assert account.error("CreateDBSubnetGroup", SubnetIds=[one, other], **asked)[0] == "InvalidSubnet"
    assert account.error("CreateDBSubnetGroup", SubnetIds=["subnet-0123456789abcdef0"], **asked)[0] == "InvalidSubnet"


@pytest.mark.parametrize("name", ["9lives", "default", "Default", "with/slash", "x" * 256])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    account = Account()
    subnets = list(by_zone(account).values())
    assert (
        account.error("CreateDBSubnetGroup", DBSubnetGroupName=name, DBSubnetGroupDescription="d", SubnetIds=subnets)[0]
        == "InvalidParameterValue"
    )


def test_a_name_is_taken_once() -> None:
    account = Account()
    make(account)
    subnets = list(by_zone(account).values())
    asked = {"DBSubnetGroupName": "MINE", "DBSubnetGroupDescription": "d", "SubnetIds": subnets}
    assert account.error("CreateDBSubnetGroup", **asked)[0] == "DBSubnetGroupAlreadyExists"


def test_a_used_group_keeps_the_subnets_of_its_instances() -> None:
    account = Account()
    make(account)
    shown = account.create(DBSubnetGroupName="mine", AvailabilityZone=A)
    assert shown["AvailabilityZone"] == A
    others = [id for zone, id in by_zone(account).items() if zone != A]
    assert account.error("ModifyDBSubnetGroup", DBSubnetGroupName="mine", SubnetIds=others)[0] == "SubnetAlreadyInUse"
    code, message = account.error("DeleteDBSubnetGroup", DBSubnetGroupName="mine")
    assert code == "InvalidDBSubnetGroupStateFault" and "orders is still using it" in message


def test_tags_are_added_listed_and_removed_by_arn() -> None:
    account = Account()
    arn = make(account, Tags=[{"Key": "team", "Value": "blue"}])["DBSubnetGroupArn"]
    account.call("AddTagsToResource", ResourceName=arn, Tags=[{"Key": "cost", "Value": "7"}])
    assert account.call("ListTagsForResource", ResourceName=arn)["TagList"] == [
        {"Key": "cost", "Value": "7"},
        {"Key": "team", "Value": "blue"},
    ]
    account.call("RemoveTagsFromResource", ResourceName=arn, TagKeys=["team"])
    assert [tag["Key"] for tag in account.call("ListTagsForResource", ResourceName=arn)["TagList"]] == ["cost"]
    assert account.error("AddTagsToResource", ResourceName=arn, Tags=[{"Key": "aws:x", "Value": ""}])[0] == "InvalidParameterValue"
    assert account.error("ListTagsForResource", ResourceName="arn:aws:s3:::bucket")[0] == "InvalidParameterValue"
    assert account.error("ListTagsForResource", ResourceName="arn:aws:rds:us-east-1:000000000000:db:none")[0] == "DBInstanceNotFound"


def test_an_instance_shows_its_group_as_it_is_now_and_itself_too() -> None:
    account = Account()
    make(account)
    account.create(DBSubnetGroupName="mine")
    first, again = account.describe(), account.describe()
    assert first == again and first["DBSubnetGroup"]["DBSubnetGroupDescription"] == "mine"
    account.call("ModifyDBSubnetGroup", DBSubnetGroupName="mine", SubnetIds=list(by_zone(account).values()), DBSubnetGroupDescription="all")
    assert account.describe()["DBSubnetGroup"]["DBSubnetGroupDescription"] == "all"
    account.call("AddTagsToResource", ResourceName=first["DBInstanceArn"], Tags=[{"Key": "team", "Value": "till"}])
    assert account.describe()["TagList"] == [{"Key": "team", "Value": "till"}]
