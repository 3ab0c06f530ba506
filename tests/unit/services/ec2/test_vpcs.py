"""VPCs and subnets: ranges, attributes, deletion, limits."""

from __future__ import annotations

import pytest

from zonal.foundation.errors import AwsError
from zonal.services.ec2 import model

from .harness import Ec2, code


def test_a_new_vpc_has_a_route_table_an_acl_and_a_group(ec2: Ec2) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    here = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    assert ec2.describe_route_tables(Filters=here)["RouteTables"][0]["Routes"][0]["DestinationCidrBlock"] == "10.0.0.0/16"
    assert ec2.describe_network_acls(Filters=here)["NetworkAcls"][0]["IsDefault"]
    assert ec2.describe_security_groups(Filters=here)["SecurityGroups"][0]["GroupName"] == "default"
    assert vpc["DhcpOptionsId"] == ec2.describe_dhcp_options()["DhcpOptions"][0]["DhcpOptionsId"]


def test_a_range_is_converted_to_canonical_form(ec2: Ec2) -> None:
    assert ec2.create_vpc(CidrBlock="100.68.0.18/18")["Vpc"]["CidrBlock"] == "100.68.0.0/18"


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("127.0.0.0/16", "InvalidVpc.Range"),
        ("169.254.0.0/16", "InvalidVpc.Range"),
        ("100.64.0.0/18", "InvalidVpc.Range"),
        ("203.0.113.0/24", "InvalidVpc.Range"),
        ("10.0.0.0", "InvalidParameterValue"),
        ("10.0.0/16", "InvalidParameterValue"),
        ("shop", "InvalidParameterValue"),
        ("10.0.0.0/33", "InvalidParameterValue"),
        ("fd00::/16", "InvalidParameterValue"),
    ],
)
def test_an_invalid_range_of_a_vpc_is_rejected(ec2: Ec2, cidr: str, expected: str) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_vpc(CidrBlock=cidr)
    assert code(error) == expected
    assert cidr in error.value.message


@pytest.mark.parametrize(
    "request_",
    [
        {"AmazonProvidedIpv6CidrBlock": True},
        {"Ipv4IpamPoolId": "ipam-pool-0123456789abcdef0"},
        {"InstanceTenancy": "dedicated"},
    ],
)
def test_unsupported_parameters_of_a_vpc_are_rejected(ec2: Ec2, request_: dict[str, object]) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_vpc(CidrBlock="10.0.0.0/16", **request_)
    assert code(error) == "InvalidParameterValue"
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1


def test_a_vpc_needs_a_range(ec2: Ec2) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_vpc()
    assert code(error) == "MissingParameter"


def test_an_account_has_at_most_five_vpcs(ec2: Ec2) -> None:
    for number in range(4):
        ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
    with pytest.raises(AwsError) as error:
        ec2.create_vpc(CidrBlock="10.9.0.0/16")
    assert (code(error), error.value.message) == ("VpcLimitExceeded", "The maximum number of VPCs has been reached.")


def test_the_error_of_a_missing_vpc_names_it(ec2: Ec2) -> None:
    with pytest.raises(AwsError) as error:
        ec2.delete_vpc(VpcId="vpc-0123456789abcdef0")
    assert (code(error), error.value.message) == ("InvalidVpcID.NotFound", "The vpc ID 'vpc-0123456789abcdef0' does not exist")
    with pytest.raises(AwsError) as error:
        ec2.describe_vpcs(VpcIds=["shop"])
    assert (code(error), error.value.message) == ("InvalidVpcID.Malformed", 'Invalid id: "shop" (expecting "vpc-...")')


def test_an_empty_vpc_is_deleted_with_its_initial_resources(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.delete_vpc(VpcId=vpc_id)
    for kind in (model.Vpc, model.RouteTable, model.NetworkAcl, model.SecurityGroup):
        assert vpc_id not in str(ec2.store.select(kind))
    assert len(ec2.store.select(model.SecurityGroupRule)) == 2  # The default VPC's.
    assert ec2.store.get(model.FabricNetwork, vpc_id) is not None  # The fabric has not removed it yet.


@pytest.mark.parametrize("thing", ["subnet", "group", "table", "acl", "gateway"])
def test_a_vpc_with_dependencies_is_not_deleted(ec2: Ec2, thing: str) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    if thing == "subnet":
        ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/24")
    elif thing == "group":
        ec2.create_security_group(VpcId=vpc_id, GroupName="web", Description="web")
    elif thing == "table":
        ec2.create_route_table(VpcId=vpc_id)
    elif thing == "acl":
        ec2.create_network_acl(VpcId=vpc_id)
    else:
        gateway_id = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(VpcId=vpc_id, InternetGatewayId=gateway_id)
    with pytest.raises(AwsError) as error:
        ec2.delete_vpc(VpcId=vpc_id)
    assert (code(error), error.value.message) == (
        "DependencyViolation",
        f"The vpc '{vpc_id}' has dependencies and cannot be deleted.",
    )


def test_attributes_change_one_at_a_time(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    assert not ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": False})
    assert ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
    assert not ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"]
    with pytest.raises(AwsError) as error:
        ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True}, EnableDnsSupport={"Value": True})
    assert code(error) == "InvalidParameterCombination"
    with pytest.raises(AwsError) as error:
        ec2.modify_vpc_attribute(VpcId=vpc_id, EnableNetworkAddressUsageMetrics={"Value": True})
    assert code(error) == "InvalidParameterValue"


def test_an_additional_range_adds_local_routes_and_allows_subnets(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    with pytest.raises(AwsError) as error:
        ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.1.0.0/24")
    assert code(error) == "InvalidSubnet.Range"
    association = ec2.associate_vpc_cidr_block(VpcId=vpc_id, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    assert association["CidrBlockState"]["State"] == "associating"
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    [table] = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["RouteTables"]
    assert [route["DestinationCidrBlock"] for route in table["Routes"]] == ["10.0.0.0/24", "10.1.0.0/16"]
    with pytest.raises(AwsError) as error:
        ec2.disassociate_vpc_cidr_block(AssociationId=association["AssociationId"])
    assert code(error) == "DependencyViolation"
    ec2.delete_subnet(SubnetId=subnet_id)
    ec2.disassociate_vpc_cidr_block(AssociationId=association["AssociationId"])
    [vpc] = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    assert [each["CidrBlock"] for each in vpc["CidrBlockAssociationSet"]] == ["10.0.0.0/24"]
    [table] = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["RouteTables"]
    assert len(table["Routes"]) == 1


@pytest.mark.parametrize("cidr", ["10.0.0.128/25", "192.168.0.0/16", "172.16.0.0/16", "10.0.0.0/8"])
def test_an_additional_range_may_not_overlap_or_be_of_another_private_range(ec2: Ec2, cidr: str) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    with pytest.raises(AwsError) as error:
        ec2.associate_vpc_cidr_block(VpcId=vpc_id, CidrBlock=cidr)
    assert code(error) == "InvalidVpc.Range"


def test_the_primary_range_cannot_be_removed_and_there_are_at_most_five(ec2: Ec2) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]
    with pytest.raises(AwsError) as error:
        ec2.disassociate_vpc_cidr_block(AssociationId=vpc["CidrBlockAssociationSet"][0]["AssociationId"])
    assert code(error) == "OperationNotPermitted"
    for number in range(1, 5):
        ec2.associate_vpc_cidr_block(VpcId=vpc["VpcId"], CidrBlock=f"10.{number}.0.0/24")
    with pytest.raises(AwsError) as error:
        ec2.associate_vpc_cidr_block(VpcId=vpc["VpcId"], CidrBlock="10.5.0.0/24")
    assert code(error) == "CidrLimitExceeded"
    with pytest.raises(AwsError) as error:
        ec2.disassociate_vpc_cidr_block(AssociationId="vpc-cidr-assoc-0123456789abcdef0")
    assert code(error) == "InvalidVpcCidrBlockAssociationID.NotFound"


def test_a_subnet_is_inside_its_vpc_and_overlaps_no_other(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1b")
    for cidr, expected, message in [
        ("10.1.0.0/24", "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid."),
        ("10.0.2.0/29", "InvalidSubnet.Range", "The CIDR '10.0.2.0/29' is invalid."),
        ("10.0.1.128/25", "InvalidSubnet.Conflict", "The CIDR '10.0.1.128/25' conflicts with another subnet"),
        ("10.0.0.0/16", "InvalidSubnet.Conflict", "The CIDR '10.0.0.0/16' conflicts with another subnet"),
    ]:
        with pytest.raises(AwsError) as error:
            ec2.create_subnet(VpcId=vpc_id, CidrBlock=cidr)
        assert (code(error), error.value.message) == (expected, message)


def test_a_subnet_is_created_in_the_requested_zone_or_the_emptiest(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zones = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.0.{number}.0/24", **place)["Subnet"]["AvailabilityZone"]
        for number, place in enumerate([{"AvailabilityZone": "us-east-1a"}, {"AvailabilityZoneId": "use1-az3"}, {}])
    ]
    assert zones == ["us-east-1a", "us-east-1c", "us-east-1b"]
    for place in ({"AvailabilityZone": "us-east-1z"}, {"AvailabilityZoneId": "use1-az9"}):
        with pytest.raises(AwsError) as error:
            ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.9.0/24", **place)
        assert code(error) == "InvalidParameterValue"
    with pytest.raises(AwsError) as error:
        ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.9.0/24", AvailabilityZone="us-east-1a", AvailabilityZoneId="use1-az1")
    assert code(error) == "InvalidParameterCombination"


def test_a_subnet_with_interfaces_is_not_deleted_and_an_empty_one_is_deleted_with_its_associations(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
    interface_id = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    with pytest.raises(AwsError) as error:
        ec2.delete_subnet(SubnetId=subnet_id)
    assert code(error) == "DependencyViolation"
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    ec2.delete_subnet(SubnetId=subnet_id)
    ec2.delete_route_table(RouteTableId=table_id)
    with pytest.raises(AwsError) as error:
        ec2.delete_subnet(SubnetId=subnet_id)
    assert (code(error), error.value.message) == ("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")


def test_a_subnets_attributes(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch={"Value": True})
    assert ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["MapPublicIpOnLaunch"]
    ec2.modify_subnet_attribute(SubnetId=subnet_id, EnableDns64={"Value": False})
    for refused in ({"EnableDns64": {"Value": True}}, {"PrivateDnsHostnameTypeOnLaunch": "resource-name"}):
        with pytest.raises(AwsError) as error:
            ec2.modify_subnet_attribute(SubnetId=subnet_id, **refused)
        assert code(error) == "InvalidParameterValue"
    with pytest.raises(AwsError) as error:
        ec2.modify_subnet_attribute(SubnetId=subnet_id, EnableDns64={"Value": False}, MapPublicIpOnLaunch={"Value": False})
    assert code(error) == "InvalidParameterCombination"


def test_free_addresses_are_counted_without_the_five_reserved_ones(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/28")["Subnet"]
    assert subnet["AvailableIpAddressCount"] == 11
    ec2.create_network_interface(SubnetId=subnet["SubnetId"], SecondaryPrivateIpAddressCount=2)
    assert ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]["AvailableIpAddressCount"] == 8


def test_dhcp_options_that_hosts_would_not_follow_are_rejected(ec2: Ec2) -> None:
    options = ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name-servers", "Values": ["AmazonProvidedDNS"]}])["DhcpOptions"]
    ec2.associate_dhcp_options(VpcId=ec2.default_vpc_id, DhcpOptionsId=options["DhcpOptionsId"])
    with pytest.raises(AwsError) as error:
        ec2.delete_dhcp_options(DhcpOptionsId=options["DhcpOptionsId"])
    assert code(error) == "DependencyViolation"
    with pytest.raises(AwsError) as error:
        ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name-servers", "Values": ["10.0.0.53"]}])
    assert code(error) == "InvalidParameterValue"
    with pytest.raises(AwsError) as error:
        ec2.delete_dhcp_options(DhcpOptionsId="dopt-0123456789abcdef0")
    assert code(error) == "InvalidDhcpOptionID.NotFound"


def test_a_vpc_without_dhcp_options_allows_their_deletion(ec2: Ec2) -> None:
    """Terraform's provider removes an association by associating `default`."""
    options = ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name-servers", "Values": ["AmazonProvidedDNS"]}])["DhcpOptions"]
    ec2.associate_dhcp_options(VpcId=ec2.default_vpc_id, DhcpOptionsId=options["DhcpOptionsId"])
    ec2.associate_dhcp_options(VpcId=ec2.default_vpc_id, DhcpOptionsId="default")
    assert ec2.describe_vpcs()["Vpcs"][0]["DhcpOptionsId"] == "default"
    ec2.delete_dhcp_options(DhcpOptionsId=options["DhcpOptionsId"])
    with pytest.raises(AwsError) as error:
        ec2.associate_dhcp_options(VpcId=ec2.default_vpc_id, DhcpOptionsId=options["DhcpOptionsId"])
    assert code(error) == "InvalidDhcpOptionID.NotFound"
