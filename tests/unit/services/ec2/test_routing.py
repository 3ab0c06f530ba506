"""Route tables, internet gateways and network ACLs."""

from __future__ import annotations

from typing import Any

import pytest

from zonal.foundation.errors import AwsError

from .harness import Ec2, code


@pytest.fixture
def vpc_id(ec2: Ec2) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet_id(ec2: Ec2, vpc_id: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"])


@pytest.fixture
def table_id(ec2: Ec2, vpc_id: str) -> str:
    return str(ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"])


def gateway(ec2: Ec2, vpc_id: str | None) -> str:
    id = str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    if vpc_id:
        ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=vpc_id)
    return id


def table(ec2: Ec2, id: str) -> Any:
    return ec2.describe_route_tables(RouteTableIds=[id])["RouteTables"][0]


def state(ec2: Ec2, table_id: str, cidr: str) -> str:
    return str(next(route["State"] for route in table(ec2, table_id)["Routes"] if route["DestinationCidrBlock"] == cidr))


def main_table(ec2: Ec2, vpc_id: str) -> Any:
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "association.main", "Values": ["true"]}]
    [found] = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    return found


def test_a_route_to_a_detached_gateway_is_a_black_hole(ec2: Ec2, vpc_id: str, table_id: str) -> None:
    gateway_id = gateway(ec2, vpc_id)
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    assert state(ec2, table_id, "0.0.0.0/0") == "active"
    ec2.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    assert state(ec2, table_id, "0.0.0.0/0") == "blackhole"
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    assert state(ec2, table_id, "0.0.0.0/0") == "active"


def test_a_route_to_a_deleted_interface_stays_as_a_black_hole(ec2: Ec2, subnet_id: str, table_id: str) -> None:
    interface_id = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="192.168.0.0/16", NetworkInterfaceId=interface_id)
    assert state(ec2, table_id, "192.168.0.0/16") == "blackhole"  # It is attached to no host.
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    assert state(ec2, table_id, "192.168.0.0/16") == "blackhole"


def test_a_destination_has_one_route(ec2: Ec2, vpc_id: str, table_id: str) -> None:
    gateway_id = gateway(ec2, vpc_id)
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    nat_id = ec2.create_nat_gateway(
        SubnetId=ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.9.0/24")["Subnet"]["SubnetId"], ConnectivityType="private"
    )["NatGateway"]["NatGatewayId"]
    with pytest.raises(AwsError) as error:
        ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat_id)
    assert (code(error), error.value.message) == ("RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists.")
    ec2.replace_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat_id)
    assert [route.get("NatGatewayId") for route in table(ec2, table_id)["Routes"]] == [None, nat_id]
    ec2.delete_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0")
    assert len(table(ec2, table_id)["Routes"]) == 1


def test_missing_and_local_routes_cannot_be_deleted_or_replaced(ec2: Ec2, vpc_id: str, table_id: str) -> None:
    gateway_id = gateway(ec2, vpc_id)
    with pytest.raises(AwsError) as error:
        ec2.delete_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0")
    assert (code(error), error.value.message) == (
        "InvalidRoute.NotFound",
        f"no route with destination-cidr-block 0.0.0.0/0 in route table {table_id}",
    )
    with pytest.raises(AwsError) as error:
        ec2.delete_route(RouteTableId=table_id, DestinationCidrBlock="10.0.0.0/16")
    assert (code(error), error.value.message) == (
        "InvalidParameterValue",
        f"cannot remove local route 10.0.0.0/16 in route table {table_id}",
    )
    with pytest.raises(AwsError) as error:
        ec2.replace_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    assert code(error) == "InvalidParameterValue"
    for inside in ("10.0.0.0/16", "10.0.1.0/24"):
        with pytest.raises(AwsError) as error:
            ec2.create_route(RouteTableId=table_id, DestinationCidrBlock=inside, GatewayId=gateway_id)
        assert code(error) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, "MissingParameter"),
        ({"GatewayId": "igw-0123456789abcdef0"}, "InvalidInternetGatewayID.NotFound"),
        ({"GatewayId": "local"}, "InvalidParameterValue"),
        ({"GatewayId": "vgw-0123456789abcdef0"}, "InvalidParameterValue"),
        ({"NatGatewayId": "nat-0123456789abcdef0"}, "NatGatewayNotFound"),
        ({"NetworkInterfaceId": "eni-0123456789abcdef0"}, "InvalidNetworkInterfaceID.NotFound"),
        ({"InstanceId": "i-0123456789abcdef0"}, "InvalidInstanceID.NotFound"),
        ({"TransitGatewayId": "tgw-0123456789abcdef0"}, "InvalidParameterValue"),
        ({"GatewayId": "igw-0123456789abcdef0", "NatGatewayId": "nat-0123456789abcdef0"}, "InvalidParameterCombination"),
    ],
)
def test_a_route_needs_one_target_that_exists(ec2: Ec2, table_id: str, target: dict[str, str], expected: str) -> None:
    with pytest.raises(AwsError) as error:
        ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", **target)
    assert code(error) == expected


def test_a_route_cannot_target_another_vpcs_gateway(ec2: Ec2, table_id: str) -> None:
    for other in (gateway(ec2, None), ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"]):
        with pytest.raises(AwsError) as error:
            ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=other)
        assert code(error) == "InvalidParameterValue" and "belong to different networks" in error.value.message


def test_a_subnet_is_associated_with_one_table(ec2: Ec2, vpc_id: str, subnet_id: str, table_id: str) -> None:
    association_id = ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)["AssociationId"]
    assert ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)["AssociationId"] == association_id
    other = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    with pytest.raises(AwsError) as error:
        ec2.associate_route_table(RouteTableId=other, SubnetId=subnet_id)
    assert code(error) == "Resource.AlreadyAssociated"
    with pytest.raises(AwsError) as error:
        ec2.delete_route_table(RouteTableId=table_id)
    assert code(error) == "DependencyViolation"
    renewed = ec2.replace_route_table_association(AssociationId=association_id, RouteTableId=other)["NewAssociationId"]
    assert renewed != association_id
    ec2.delete_route_table(RouteTableId=table_id)
    ec2.disassociate_route_table(AssociationId=renewed)
    with pytest.raises(AwsError) as error:
        ec2.disassociate_route_table(AssociationId=renewed)
    assert code(error) == "InvalidAssociationID.NotFound"
    ec2.delete_route_table(RouteTableId=other)


def test_the_main_association_can_be_moved_but_not_removed(ec2: Ec2, vpc_id: str, table_id: str) -> None:
    old = main_table(ec2, vpc_id)
    main_id = old["Associations"][0]["RouteTableAssociationId"]
    with pytest.raises(AwsError) as error:
        ec2.disassociate_route_table(AssociationId=main_id)
    assert (code(error), error.value.message) == (
        "InvalidParameterValue",
        f"cannot disassociate the main route table association {main_id}",
    )
    with pytest.raises(AwsError) as error:
        ec2.delete_route_table(RouteTableId=old["RouteTableId"])
    assert code(error) == "DependencyViolation"
    ec2.replace_route_table_association(AssociationId=main_id, RouteTableId=table_id)
    assert main_table(ec2, vpc_id)["RouteTableId"] == table_id
    ec2.delete_route_table(RouteTableId=old["RouteTableId"])


def test_a_table_cannot_be_associated_with_another_vpcs_subnet(ec2: Ec2, table_id: str) -> None:
    foreign = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    with pytest.raises(AwsError) as error:
        ec2.associate_route_table(RouteTableId=table_id, SubnetId=foreign)
    assert code(error) == "InvalidParameterValue"
    main = main_table(ec2, ec2.default_vpc_id)["Associations"][0]["RouteTableAssociationId"]
    with pytest.raises(AwsError) as error:
        ec2.replace_route_table_association(AssociationId=main, RouteTableId=table_id)
    assert code(error) == "InvalidParameterValue"
    with pytest.raises(AwsError) as error:
        ec2.associate_route_table(RouteTableId=table_id, GatewayId="igw-0123456789abcdef0")
    assert code(error) == "InvalidParameterValue"


def test_a_gateway_belongs_to_one_vpc_and_a_vpc_has_one(ec2: Ec2, vpc_id: str) -> None:
    gateway_id = gateway(ec2, vpc_id)
    with pytest.raises(AwsError) as error:
        ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=ec2.default_vpc_id)
    assert (code(error), error.value.message) == (
        "Resource.AlreadyAssociated",
        f"resource {gateway_id} is already attached to network {vpc_id}",
    )
    second = gateway(ec2, None)
    with pytest.raises(AwsError) as error:
        ec2.attach_internet_gateway(InternetGatewayId=second, VpcId=vpc_id)
    assert code(error) == "InvalidParameterValue"
    with pytest.raises(AwsError) as error:
        ec2.detach_internet_gateway(InternetGatewayId=second, VpcId=vpc_id)
    assert code(error) == "Gateway.NotAttached"
    with pytest.raises(AwsError) as error:
        ec2.delete_internet_gateway(InternetGatewayId=gateway_id)
    assert code(error) == "DependencyViolation"
    ec2.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    ec2.delete_internet_gateway(InternetGatewayId=gateway_id)


def test_a_gateway_cannot_be_detached_while_there_are_public_addresses(ec2: Ec2, vpc_id: str, subnet_id: str) -> None:
    gateway_id = gateway(ec2, vpc_id)
    interface_id = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    allocation_id = ec2.allocate_address()["AllocationId"]
    association_id = ec2.associate_address(AllocationId=allocation_id, NetworkInterfaceId=interface_id)["AssociationId"]
    with pytest.raises(AwsError) as error:
        ec2.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    assert code(error) == "DependencyViolation" and "mapped public address" in error.value.message
    ec2.disassociate_address(AssociationId=association_id)
    ec2.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)


ENTRY = {"RuleNumber": 110, "Protocol": "6", "RuleAction": "allow", "Egress": False, "CidrBlock": "10.0.0.0/8"}
PORTS = {"PortRange": {"From": 80, "To": 90}}


def test_a_new_acl_denies_everything_until_entries_are_added(ec2: Ec2, vpc_id: str) -> None:
    acl = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]
    assert {(entry["RuleNumber"], entry["RuleAction"]) for entry in acl["Entries"]} == {(32767, "deny")}
    id = acl["NetworkAclId"]
    ec2.create_network_acl_entry(NetworkAclId=id, **ENTRY, **PORTS)
    ec2.create_network_acl_entry(
        NetworkAclId=id, **(ENTRY | {"RuleNumber": 90, "Protocol": "icmp", "IcmpTypeCode": {"Type": 8, "Code": -1}})
    )
    with pytest.raises(AwsError) as error:
        ec2.create_network_acl_entry(NetworkAclId=id, **ENTRY, **PORTS)
    assert code(error) == "NetworkAclEntryAlreadyExists"
    ec2.create_network_acl_entry(NetworkAclId=id, **(ENTRY | {"Egress": True}), **PORTS)
    ec2.replace_network_acl_entry(NetworkAclId=id, **(ENTRY | {"RuleAction": "deny"}), **PORTS)
    [shown] = ec2.describe_network_acls(NetworkAclIds=[id])["NetworkAcls"]
    incoming = [entry for entry in shown["Entries"] if not entry["Egress"]]
    assert [(entry["RuleNumber"], entry["RuleAction"], entry["Protocol"]) for entry in incoming] == [
        (90, "allow", "1"),
        (110, "deny", "6"),
        (32767, "deny", "-1"),
    ]
    ec2.delete_network_acl_entry(NetworkAclId=id, RuleNumber=90, Egress=False)
    for missing in (
        lambda: ec2.delete_network_acl_entry(NetworkAclId=id, RuleNumber=90, Egress=False),
        lambda: ec2.replace_network_acl_entry(NetworkAclId=id, **(ENTRY | {"RuleNumber": 90}), **PORTS),
    ):
        with pytest.raises(AwsError) as error:
            missing()
        assert code(error) == "InvalidNetworkAclEntry.NotFound"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"RuleNumber": 0}, "InvalidParameterValue"),
        ({"RuleNumber": 32767}, "InvalidParameterValue"),
        ({"Protocol": "tcpip"}, "InvalidParameterValue"),
        ({"Protocol": "58"}, "InvalidParameterValue"),
        ({"Protocol": "300"}, "InvalidParameterValue"),
        ({"RuleAction": "maybe"}, "InvalidParameterValue"),
        ({"CidrBlock": "10.0.0.0/40"}, "InvalidParameterValue"),
        ({"PortRange": {"From": 90, "To": 80}}, "InvalidParameterValue"),
        ({"PortRange": {"From": 90}}, "MissingParameter"),
        ({"Protocol": "1"}, "MissingParameter"),
        ({"Protocol": "1", "IcmpTypeCode": {"Type": 300, "Code": 0}}, "InvalidParameterValue"),
        ({"Ipv6CidrBlock": "::/0"}, "InvalidParameterValue"),
    ],
)
def test_an_invalid_entry_is_rejected(ec2: Ec2, vpc_id: str, change: dict[str, Any], expected: str) -> None:
    id = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]["NetworkAclId"]
    with pytest.raises(AwsError) as error:
        ec2.create_network_acl_entry(NetworkAclId=id, **(ENTRY | PORTS | change))
    assert code(error) == expected


def test_an_acl_has_at_most_twenty_entries_per_direction(ec2: Ec2, vpc_id: str) -> None:
    id = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]["NetworkAclId"]
    for number in range(1, 21):
        ec2.create_network_acl_entry(NetworkAclId=id, **(ENTRY | {"RuleNumber": number}), **PORTS)
    with pytest.raises(AwsError) as error:
        ec2.create_network_acl_entry(NetworkAclId=id, **ENTRY, **PORTS)
    assert code(error) == "NetworkAclEntryLimitExceeded"


def test_a_subnet_always_has_one_acl(ec2: Ec2, vpc_id: str, subnet_id: str) -> None:
    [default] = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet_id]}])["NetworkAcls"]
    own = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]["NetworkAclId"]
    association_id = default["Associations"][0]["NetworkAclAssociationId"]
    renewed = ec2.replace_network_acl_association(AssociationId=association_id, NetworkAclId=own)["NewAssociationId"]
    [shown] = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet_id]}])["NetworkAcls"]
    assert shown["NetworkAclId"] == own
    with pytest.raises(AwsError) as error:
        ec2.delete_network_acl(NetworkAclId=own)
    assert code(error) == "DependencyViolation"
    with pytest.raises(AwsError) as error:
        ec2.replace_network_acl_association(AssociationId=association_id, NetworkAclId=own)
    assert code(error) == "InvalidAssociationID.NotFound"
    foreign = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [ec2.default_vpc_id]}])["NetworkAcls"][0]["NetworkAclId"]
    with pytest.raises(AwsError) as error:
        ec2.replace_network_acl_association(AssociationId=renewed, NetworkAclId=foreign)
    assert code(error) == "InvalidParameterValue"
    same = ec2.replace_network_acl_association(AssociationId=renewed, NetworkAclId=own)["NewAssociationId"]
    ec2.replace_network_acl_association(AssociationId=same, NetworkAclId=default["NetworkAclId"])
    ec2.delete_network_acl(NetworkAclId=own)
    with pytest.raises(AwsError) as error:
        ec2.delete_network_acl(NetworkAclId=default["NetworkAclId"])
    assert code(error) == "InvalidParameterValue"


@pytest.mark.parametrize("destination", [{"DestinationIpv6CidrBlock": "::/0"}, {"DestinationPrefixListId": "pl-63a5400a"}])
def test_a_route_that_cannot_be_created_is_not_found_when_it_is_deleted(ec2: Ec2, table_id: str, destination: dict[str, str]) -> None:
    with pytest.raises(AwsError) as error:
        ec2.delete_route(RouteTableId=table_id, **destination)
    assert code(error) == "InvalidRoute.NotFound"
