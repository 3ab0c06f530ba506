"""EC2's networks in a running region, with boto3's waiters and paginators and the AWS CLI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.running_region import RunningRegion, eventually


@pytest.fixture
def ec2(region: RunningRegion) -> Any:
    return region.client("ec2")


@pytest.fixture
def vpc_id(ec2: Any) -> Iterator[str]:
    """A VPC for one test, which must leave it empty."""
    id = ec2.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[id])
    yield id
    ec2.delete_vpc(VpcId=id)


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_fresh_region_has_a_default_vpc_with_a_subnet_in_every_zone(ec2: Any) -> None:
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert vpc["CidrBlock"] == "172.31.0.0/16"
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert sorted(subnet["AvailabilityZone"] for subnet in subnets) == sorted(zone["ZoneName"] for zone in zones)
    [group] = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"][:1]
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]


def test_a_public_and_a_private_subnet_with_a_nat_gateway(region: RunningRegion, ec2: Any, vpc_id: str) -> None:
    public = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.40.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    private = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.40.2.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[public, private])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=public)["AssociationId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    address = ec2.allocate_address(Domain="vpc")
    nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=address["AllocationId"])["NatGateway"]
    assert nat["State"] == "pending"
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat["NatGatewayId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    [main] = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "association.main", "Values": ["true"]}])[
        "RouteTables"
    ]
    ec2.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat["NatGatewayId"])
    assert region.execute("cat", "/sys/class/net/lo/operstate", place=private)

    ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat["NatGatewayId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    [main] = ec2.describe_route_tables(RouteTableIds=[main["RouteTableId"]])["RouteTables"]
    assert [route["State"] for route in main["Routes"]] == ["active", "blackhole"]
    ec2.release_address(AllocationId=address["AllocationId"])
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    for subnet in (public, private):
        eventually(lambda subnet=subnet: deleted(ec2, subnet))
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)


def deleted(ec2: Any, subnet_id: str) -> bool:
    """Delete a subnet once the host of a command has released its interface."""

    try:
        ec2.delete_subnet(SubnetId=subnet_id)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "DependencyViolation"
        return False
    return True


def test_rules_of_a_security_group_are_created_modified_and_removed(ec2: Any, vpc_id: str) -> None:
    web, database = (
        ec2.create_security_group(
            GroupName=name,
            Description=f"the {name} tier",
            VpcId=vpc_id,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "tier", "Value": name}]}],
        )["GroupId"]
        for name in ("web", "database")
    )
    ec2.get_waiter("security_group_exists").wait(GroupIds=[web, database])
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": web, "Description": "web"}]}
    [rule] = ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[permission])["SecurityGroupRules"]
    with pytest.raises(ClientError) as error:
        ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[permission])
    assert code(error) == ("InvalidPermission.Duplicate", 400)
    change = {"IpProtocol": "tcp", "FromPort": 5433, "ToPort": 5433, "CidrIpv4": "10.40.0.0/16"}
    ec2.modify_security_group_rules(
        GroupId=database, SecurityGroupRules=[{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": change}]
    )
    [found] = ec2.describe_security_groups(Filters=[{"Name": "tag:tier", "Values": ["data*"]}])["SecurityGroups"]
    assert [(each["FromPort"], each["IpRanges"][0]["CidrIp"]) for each in found["IpPermissions"]] == [(5433, "10.40.0.0/16")]
    ec2.revoke_security_group_ingress(GroupId=database, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    for group_id in (web, database):
        ec2.delete_security_group(GroupId=group_id)


def test_paginators_return_every_item_once(ec2: Any, vpc_id: str) -> None:
    made = [ec2.create_security_group(GroupName=f"page-{n}", Description="a page", VpcId=vpc_id)["GroupId"] for n in range(11)]
    pages = ec2.get_paginator("describe_security_groups").paginate(
        Filters=[{"Name": "vpc-id", "Values": [vpc_id]}], PaginationConfig={"PageSize": 5}
    )
    sizes = [len(page["SecurityGroups"]) for page in pages]
    assert sizes == [5, 5, 2]
    for group_id in made:
        ec2.delete_security_group(GroupId=group_id)


def test_errors_have_aws_codes_and_messages_in_boto3(ec2: Any) -> None:
    with pytest.raises(ClientError) as error:
        ec2.describe_vpcs(VpcIds=["vpc-0123456789abcdef0"])
    assert code(error) == ("InvalidVpcID.NotFound", 400)
    assert error.value.response["Error"]["Message"] == "The vpc ID 'vpc-0123456789abcdef0' does not exist"
    with pytest.raises(ClientError) as error:
        ec2.create_vpc(CidrBlock="10.41.0.0/16", DryRun=True)
    assert code(error) == ("DryRunOperation", 412)
    with pytest.raises(ClientError) as error:
        ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)
    assert code(error) == ("NotImplemented", 501)


def test_the_aws_cli_tags_and_filters(region: RunningRegion, ec2: Any, vpc_id: str) -> None:
    region.aws("ec2", "create-tags", "--resources", vpc_id, "--tags", "Key=Name,Value=shop")
    found = region.aws("ec2", "describe-vpcs", "--filters", "Name=tag:Name,Values=sh*")
    assert [vpc["VpcId"] for vpc in found["Vpcs"]] == [vpc_id]
    interfaces = region.aws("ec2", "describe-network-interfaces", "--filters", f"Name=vpc-id,Values={vpc_id}")
    assert interfaces["NetworkInterfaces"] == []
