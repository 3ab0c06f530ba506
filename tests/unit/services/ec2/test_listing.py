"""Features of all operations: filters, pages, tags, dry runs, client tokens."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.errors import AwsError
from zonal.services.common.filters import passes
from zonal.services.ec2 import model
from zonal.services.ec2.lookups import subnets
from zonal.services.ec2.service import operations
from zonal.services.operation import ControlCall

from .harness import Ec2, code, ec2_model

SHOP = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "shop"}, {"Key": "stage", "Value": "*"}]}]


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("shop", "shop", True),
        ("shop", "Shop", False),
        ("sh*", "shop", True),
        ("*", "", True),
        ("sh?p", "shop", True),
        ("sh?p", "shoop", False),
        (r"sh\?p", "shop", False),
        (r"sh\?p", "sh?p", True),
        (r"\*", "*", True),
        (r"\\*", "\\any", True),
        ("a.c", "abc", False),
        ("line*", "line\nbreak", True),
    ],
)
def test_a_filter_value_is_a_pattern(pattern: str, value: str, expected: bool) -> None:
    assert passes({"Name": value}, [{"Name": "name", "Values": [pattern]}], {"name": "Name"}) is expected


@given(st.text(), st.text())
def test_an_escaped_value_matches_only_itself(value: str, other: str) -> None:
    escaped = "".join(f"\\{letter}" if letter in "*?\\" else letter for letter in value)
    assert passes({"Name": value}, [{"Name": "name", "Values": [escaped]}], {"name": "Name"})
    assert passes({"Name": other}, [{"Name": "name", "Values": [escaped]}], {"name": "Name"}) is (value == other)


def test_an_item_passes_all_filters_and_any_value_of_each(ec2: Ec2) -> None:
    ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=SHOP)

    def found(*filters: tuple[str, list[str]]) -> list[str]:
        answer = ec2.describe_vpcs(Filters=[{"Name": name, "Values": values} for name, values in filters])
        return sorted(vpc["CidrBlock"] for vpc in answer["Vpcs"])

    assert found(("cidr", ["10.0.0.0/16", "172.*"])) == ["10.0.0.0/16", "172.31.0.0/16"]
    assert found(("cidr", ["10.0.0.0/16", "172.*"]), ("tag:Name", ["shop"])) == ["10.0.0.0/16"]
    assert found(("is-default", ["true"]), ("tag:Name", ["shop"])) == []
    assert found(("tag-key", ["stage"])) == found(("tag:stage", [r"\*"])) == ["10.0.0.0/16"]
    assert found(("cidr-block-association.state", ["associated"]), ("owner-id", ["0*"])) == ["10.0.0.0/16", "172.31.0.0/16"]
    assert found(("tag:Name", [])) == []


def test_the_error_of_an_unknown_filter_names_it(ec2: Ec2) -> None:
    for describe in (ec2.describe_vpcs, ec2.describe_tags, ec2.describe_availability_zones, ec2.describe_regions):
        with pytest.raises(AwsError) as error:
            describe(Filters=[{"Name": "colour", "Values": ["red"]}])
        assert (code(error), error.value.message) == ("InvalidParameterValue", "The filter 'colour' is invalid")
    with pytest.raises(AwsError) as error:
        ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["x"] * 201}])
    assert code(error) == "FilterLimitExceeded"


def documented_filters(operation: str) -> set[str]:
    """The filters in botocore's documentation of an operation: the first code element of each list item."""
    shape = ec2_model().operation_model(operation).input_shape
    member = shape.members["Filters" if "Filters" in shape.members else "Filter"]
    return {name for name in re.findall(r"<li> <p> ?<code>([^<]+)</code>", member.documentation) if not name.startswith("tag")}


@pytest.mark.parametrize("operation", sorted(name for name in operations() if name.startswith(("Describe", "GetSecurityGroups"))))
def test_every_documented_filter_is_supported(ec2: Ec2, operation: str) -> None:
    shape = ec2_model().operation_model(operation).input_shape
    if not {"Filters", "Filter"} & set(shape.members):
        return
    member = "Filters" if "Filters" in shape.members else "Filter"
    needed = {"VpcId": ec2.default_vpc_id} if "VpcId" in shape.required_members else {}
    names = documented_filters(operation)
    assert names
    for name in names:
        assert ec2.call(operation, {member: [{"Name": name, "Values": ["no such value"]}], **needed}) is not None


def test_pages_return_every_item_once_even_if_items_change_in_between(ec2: Ec2) -> None:
    for number in range(12):
        ec2.create_security_group(GroupName=f"group-{number}", Description="one of many")
    before = {group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = ec2.describe_security_groups(MaxResults=5, **token)
        seen += [group["GroupId"] for group in answer["SecurityGroups"]]
        if "NextToken" not in answer:
            break
        if not token:
            gone = ec2.describe_security_groups(GroupIds=[seen[1]])["SecurityGroups"][0]
            if gone["GroupName"] != "default":
                ec2.delete_security_group(GroupId=seen[1])
        token = {"NextToken": answer["NextToken"]}
    assert len(seen) == len(set(seen)) and set(seen) == before


@pytest.mark.parametrize("size", [0, 4, 1001])
def test_a_page_size_out_of_bounds_is_rejected(ec2: Ec2, size: int) -> None:
    # botocore rejects some of these itself; other clients do not.
    with pytest.raises(AwsError) as error, ec2.store.transaction() as tx:
        operations()["DescribeVpcs"](ControlCall("ec2", "DescribeVpcs", ec2.now, "request", transaction=tx), {"MaxResults": size})
    assert code(error) == "InvalidParameterValue" and f"Value ( {size} ) for parameter maxResults is invalid" in error.value.message


def test_a_token_is_valid_only_for_its_operation(ec2: Ec2) -> None:
    for number in range(6):
        ec2.create_security_group(GroupName=f"group-{number}", Description="one of many")
    token = ec2.describe_security_groups(MaxResults=5)["NextToken"]
    for describe, wrong in ((ec2.describe_subnets, token), (ec2.describe_security_groups, "x"), (ec2.describe_tags, "eA==")):
        with pytest.raises(AwsError) as error:
            describe(NextToken=wrong)
        assert code(error) == "InvalidNextToken"


def test_tags_are_added_at_creation_and_later_and_are_removed(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=SHOP)["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    ec2.create_tags(Resources=[vpc_id, subnet_id], Tags=[{"Key": "Name", "Value": "bank"}, {"Key": "empty", "Value": ""}])
    shown = {(tag["ResourceId"], tag["Key"]): (tag["ResourceType"], tag["Value"]) for tag in ec2.describe_tags()["Tags"]}
    assert shown == {
        (vpc_id, "Name"): ("vpc", "bank"),
        (vpc_id, "empty"): ("vpc", ""),
        (vpc_id, "stage"): ("vpc", "*"),
        (subnet_id, "Name"): ("subnet", "bank"),
        (subnet_id, "empty"): ("subnet", ""),
    }
    answer = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["subnet"]}, {"Name": "key", "Values": ["N*"]}])
    assert [tag["ResourceId"] for tag in answer["Tags"]] == [subnet_id]
    ec2.delete_tags(Resources=[vpc_id], Tags=[{"Key": "Name", "Value": "other"}, {"Key": "empty", "Value": ""}, {"Key": "stage"}])
    assert ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["Tags"] == [{"Key": "Name", "Value": "bank"}]
    ec2.delete_tags(Resources=[vpc_id, subnet_id])
    assert ec2.describe_tags()["Tags"] == []


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([{"Key": "aws:mine", "Value": ""}], "InvalidParameterValue"),
        ([{"Key": "", "Value": ""}], "InvalidParameterValue"),
        ([{"Key": "k" * 129, "Value": ""}], "InvalidParameterValue"),
        ([{"Key": "k", "Value": "v" * 257}], "InvalidParameterValue"),
        ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], "InvalidParameterValue"),
        ([{"Key": str(number), "Value": ""} for number in range(51)], "TagLimitExceeded"),
    ],
)
def test_an_invalid_tag_rejects_the_whole_creation(ec2: Ec2, tags: list[dict[str, str]], expected: str) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])
    assert code(error) == expected
    with pytest.raises(AwsError) as error:
        ec2.create_tags(Resources=[ec2.default_vpc_id], Tags=tags)
    assert code(error) == expected
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1


def test_tags_require_an_existing_resource_of_the_right_type(ec2: Ec2) -> None:
    for resource, expected in (("vpc-0123456789abcdef0", "InvalidVpcID.NotFound"), ("shop", "InvalidID"), ("i-01234567", "InvalidID")):
        with pytest.raises(AwsError) as error:
            ec2.create_tags(Resources=[ec2.default_vpc_id, resource], Tags=[{"Key": "a", "Value": "b"}])
        assert code(error) == expected
    assert ec2.describe_tags()["Tags"] == []
    with pytest.raises(AwsError) as error:
        ec2.create_internet_gateway(TagSpecifications=SHOP)
    assert (code(error), error.value.message) == (
        "InvalidParameterValue",
        "'vpc' is not a valid taggable resource type for this operation.",
    )


def test_a_dry_run_returns_the_outcome_and_changes_nothing(ec2: Ec2) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_vpc(CidrBlock="10.0.0.0/16", DryRun=True)
    assert (code(error), error.value.status) == ("DryRunOperation", 412)
    assert error.value.message == "Request would have succeeded, but DryRun flag is set."
    assert len(ec2.describe_vpcs(DryRun=False)["Vpcs"]) == 1
    with pytest.raises(AwsError) as error:
        ec2.create_vpc(CidrBlock="10.0.0.0/8", DryRun=True)
    assert code(error) == "InvalidVpc.Range"


@pytest.mark.parametrize("operation", sorted(operations()))
def test_every_operation_with_a_dry_run_supports_it(ec2: Ec2, operation: str) -> None:
    shape = ec2_model().operation_model(operation).input_shape
    if "DryRun" not in shape.members or shape.required_members:
        return
    with pytest.raises(AwsError) as error:
        ec2.call(operation, {"DryRun": True})
    assert code(error) in ("DryRunOperation", "MissingParameter", "DefaultVpcAlreadyExists", "InvalidParameterCombination")


def creations(ec2: Ec2) -> dict[str, tuple[type[model.Tagged], dict[str, Any], dict[str, Any]]]:
    """Operations with a client token: the kind that they create, a request and a different request."""
    here = subnets(ec2.store, ec2.default_vpc_id)
    other = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return {
        "CreateRouteTable": (model.RouteTable, {"VpcId": ec2.default_vpc_id}, {"VpcId": other}),
        "CreateNetworkAcl": (model.NetworkAcl, {"VpcId": ec2.default_vpc_id}, {"VpcId": other}),
        "CreateNetworkInterface": (model.NetworkInterface, {"SubnetId": here[0].id}, {"SubnetId": here[1].id}),
        "CreateNatGateway": (
            model.NatGateway,
            {"SubnetId": here[0].id, "ConnectivityType": "private"},
            {"SubnetId": here[1].id, "ConnectivityType": "private"},
        ),
    }


def test_every_operation_with_a_client_token_supports_it(ec2: Ec2) -> None:
    tokens = {name for name in operations() if "ClientToken" in ec2_model().operation_model(name).input_shape.members}
    assert tokens == set(creations(ec2))


@pytest.mark.parametrize("operation", ["CreateRouteTable", "CreateNetworkAcl", "CreateNetworkInterface", "CreateNatGateway"])
def test_a_repeated_creation_creates_one_resource(ec2: Ec2, operation: str) -> None:
    kind, request, other = creations(ec2)[operation]
    count = len(ec2.store.select(kind))
    first = ec2.call(operation, request | {"ClientToken": "once"})
    assert ec2.call(operation, request | {"ClientToken": "once"}) == first
    assert len(ec2.store.select(kind)) == count + 1
    with pytest.raises(AwsError) as error:
        ec2.call(operation, other | {"ClientToken": "once"})
    assert code(error) == "IdempotentParameterMismatch"
    ec2.wait(hours=25)
    ec2.call(operation, other | {"ClientToken": "once"})
    assert len(ec2.store.select(kind)) == count + 2
    assert len(ec2.store.select(model.ClientToken)) == 1


def test_zones_regions_and_account(ec2: Ec2) -> None:
    answer = ec2.describe_availability_zones(ZoneIds=["use1-az2"])
    assert [zone["ZoneName"] for zone in answer["AvailabilityZones"]] == ["us-east-1b"]
    answer = ec2.describe_availability_zones(Filters=[{"Name": "zone-name", "Values": ["*c"]}])
    assert [zone["ZoneId"] for zone in answer["AvailabilityZones"]] == ["use1-az3"]
    with pytest.raises(AwsError) as error:
        ec2.describe_availability_zones(ZoneNames=["us-east-1z"])
    assert (code(error), error.value.message) == ("InvalidParameterValue", "Invalid availability zone: [us-east-1z]")
    [region] = ec2.describe_regions(AllRegions=True)["Regions"]
    assert (region["RegionName"], region["OptInStatus"]) == ("us-east-1", "opt-in-not-required")
    with pytest.raises(AwsError) as error:
        ec2.describe_regions(RegionNames=["mars-east-1"])
    assert code(error) == "InvalidParameterValue"
    [default] = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert default["AttributeValues"] == [{"AttributeValue": ec2.default_vpc_id}]
