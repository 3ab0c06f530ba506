"""The default VPC of a new account."""

from __future__ import annotations

import pytest

from zonal.foundation.errors import AwsError
from zonal.services.ec2 import default_vpc
from zonal.services.ec2.lookups import default_security_group, main_route_table, subnets

from .harness import Ec2, code


def test_a_fresh_account_has_one_default_vpc(ec2: Ec2) -> None:
    [vpc] = ec2.describe_vpcs()["Vpcs"]
    assert (vpc["CidrBlock"], vpc["IsDefault"], vpc["State"]) == ("172.31.0.0/16", True, "available")
    assert ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]


def test_it_has_a_default_subnet_in_every_zone(ec2: Ec2) -> None:
    found = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    assert {(subnet["AvailabilityZone"], subnet["AvailabilityZoneId"], subnet["CidrBlock"]) for subnet in found} == {
        ("us-east-1a", "use1-az1", "172.31.0.0/20"),
        ("us-east-1b", "use1-az2", "172.31.16.0/20"),
        ("us-east-1c", "use1-az3", "172.31.32.0/20"),
    }
    assert all(subnet["MapPublicIpOnLaunch"] and subnet["AvailableIpAddressCount"] == 4091 for subnet in found)


def test_its_main_route_table_has_a_route_to_its_internet_gateway(ec2: Ec2) -> None:
    [gateway] = ec2.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"] == [{"VpcId": ec2.default_vpc_id, "State": "available"}]
    [table] = ec2.describe_route_tables()["RouteTables"]
    assert [association["Main"] for association in table["Associations"]] == [True]
    assert {(route["DestinationCidrBlock"], route["GatewayId"], route["State"]) for route in table["Routes"]} == {
        ("172.31.0.0/16", "local", "active"),
        ("0.0.0.0/0", gateway["InternetGatewayId"], "active"),
    }


def test_its_default_group_allows_traffic_of_its_members_and_all_outbound_traffic(ec2: Ec2) -> None:
    [group] = ec2.describe_security_groups()["SecurityGroups"]
    assert group["GroupName"] == "default"
    [ingress], [egress] = group["IpPermissions"], group["IpPermissionsEgress"]
    assert ingress["IpProtocol"] == egress["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in ingress["UserIdGroupPairs"]] == [group["GroupId"]]
    assert egress["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]


def test_every_subnet_has_its_default_acl_which_allows_everything(ec2: Ec2) -> None:
    [acl] = ec2.describe_network_acls()["NetworkAcls"]
    assert acl["IsDefault"] and len(acl["Associations"]) == 3
    rules = {(entry["Egress"], entry["RuleNumber"], entry["RuleAction"]) for entry in acl["Entries"]}
    assert rules == {(egress, *rule) for egress in (True, False) for rule in ((100, "allow"), (32767, "deny"))}


def test_bootstrap_runs_once_even_if_the_vpc_is_deleted(ec2: Ec2) -> None:
    delete_default_vpc(ec2)
    with ec2.store.transaction() as tx:
        default_vpc.bootstrap(tx, ec2.now)
    assert ec2.describe_vpcs()["Vpcs"] == []


def test_a_deleted_default_vpc_can_be_created_again_but_only_one_exists(ec2: Ec2) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_default_vpc()
    assert code(error) == "DefaultVpcAlreadyExists"
    delete_default_vpc(ec2)
    assert ec2.create_default_vpc()["Vpc"]["IsDefault"]
    assert len(ec2.describe_subnets()["Subnets"]) == 3


def test_a_default_subnet_is_created_only_in_a_zone_without_one(ec2: Ec2) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_default_subnet(AvailabilityZone="us-east-1b")
    assert code(error) == "DefaultSubnetAlreadyExistsInAvailabilityZone"
    [middle] = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1b"]}])["Subnets"]
    ec2.delete_subnet(SubnetId=middle["SubnetId"])
    subnet = ec2.create_default_subnet(AvailabilityZoneId="use1-az2")["Subnet"]
    assert (subnet["CidrBlock"], subnet["DefaultForAz"]) == ("172.31.16.0/20", True)


def test_a_default_subnet_needs_a_default_vpc(ec2: Ec2) -> None:
    delete_default_vpc(ec2)
    with pytest.raises(AwsError) as error:
        ec2.create_default_subnet(AvailabilityZone="us-east-1a")
    assert code(error) == "DefaultVpcDoesNotExist"
    with pytest.raises(AwsError) as error:
        ec2.create_security_group(GroupName="web", Description="web")
    assert code(error) == "VPCIdNotSpecified"


def test_lookups_return_the_default_vpcs_subnets_group_and_route_table(ec2: Ec2) -> None:
    found = [(subnet.zone, subnet.cidr) for subnet in subnets(ec2.store, ec2.default_vpc_id)]
    assert found == [("us-east-1a", "172.31.0.0/20"), ("us-east-1b", "172.31.16.0/20"), ("us-east-1c", "172.31.32.0/20")]
    assert default_security_group(ec2.store, ec2.default_vpc_id).name == "default"
    assert main_route_table(ec2.store, ec2.default_vpc_id).vpc_id == ec2.default_vpc_id


def delete_default_vpc(ec2: Ec2) -> None:
    id = ec2.default_vpc_id
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=id)
        ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    ec2.delete_vpc(VpcId=id)
