"""Network interfaces of customers and services, and their addresses."""

from __future__ import annotations

from typing import Any

import pytest

from zonal.foundation.errors import AwsError
from zonal.services.ec2 import addresses, model, network_interfaces
from zonal.services.ec2.lookups import default_security_group, subnets

from .harness import Ec2, code


@pytest.fixture
def subnet(ec2: Ec2) -> model.Subnet:
    """The default subnet in us-east-1a, 172.31.0.0/20."""
    return subnets(ec2.store, ec2.default_vpc_id)[0]


def create(ec2: Ec2, subnet: model.Subnet, **request: Any) -> Any:
    return ec2.create_network_interface(SubnetId=subnet.id, **request)["NetworkInterface"]


def described(ec2: Ec2, id: str) -> Any:
    return ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"][0]


def managed(ec2: Ec2, subnet: model.Subnet, *, host: str | None = None) -> model.NetworkInterface:
    group_id = default_security_group(ec2.store, subnet.vpc_id).id
    with ec2.store.transaction() as tx:
        interface = network_interfaces.create_managed(tx, subnet, [group_id], requester="amazon-rds", description="RDSNetworkInterface")
        return network_interfaces.plug(tx, interface.id, host, now=ec2.now) if host else interface


def test_addresses_start_after_the_reserved_ones(ec2: Ec2, subnet: model.Subnet) -> None:
    first, second = create(ec2, subnet), create(ec2, subnet)
    assert (first["PrivateIpAddress"], second["PrivateIpAddress"]) == ("172.31.0.4", "172.31.0.5")
    assert first["MacAddress"] != second["MacAddress"]
    assert first["PrivateDnsName"] == "ip-172-31-0-4.ec2.internal"
    assert (first["Status"], first["RequesterManaged"], first["SourceDestCheck"]) == ("available", False, True)
    assert [each["GroupName"] for each in first["Groups"]] == ["default"]


def test_addresses_may_be_chosen(ec2: Ec2, subnet: model.Subnet) -> None:
    wanted = [{"PrivateIpAddress": "172.31.0.20"}, {"PrivateIpAddress": "172.31.0.10", "Primary": True}]
    shown = create(ec2, subnet, PrivateIpAddresses=wanted)
    assert [(each["PrivateIpAddress"], each["Primary"]) for each in shown["PrivateIpAddresses"]] == [
        ("172.31.0.10", True),
        ("172.31.0.20", False),
    ]
    shown = create(ec2, subnet, PrivateIpAddress="172.31.0.30", SecondaryPrivateIpAddressCount=1)
    assert [each["PrivateIpAddress"] for each in shown["PrivateIpAddresses"]] == ["172.31.0.30", "172.31.0.4"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"PrivateIpAddress": "172.31.0.50"}, "InvalidIPAddress.InUse"),
        ({"PrivateIpAddress": "172.31.0.1"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "172.31.15.255"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "172.31.16.9"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "nine"}, "InvalidParameterValue"),
        ({"PrivateIpAddresses": [{"PrivateIpAddress": "172.31.0.9"}]}, "MissingParameter"),
        (
            {"PrivateIpAddress": "172.31.0.9", "PrivateIpAddresses": [{"PrivateIpAddress": "172.31.0.8", "Primary": True}]},
            "InvalidParameterCombination",
        ),
        ({"SecondaryPrivateIpAddressCount": 50}, "PrivateIpAddressLimitExceeded"),
        ({"SecondaryPrivateIpAddressCount": -1}, "InvalidParameterValue"),
        ({"Ipv6AddressCount": 1}, "InvalidParameterValue"),
        ({"Ipv4PrefixCount": 1}, "InvalidParameterValue"),
        ({"InterfaceType": "efa"}, "InvalidParameterValue"),
        ({"Groups": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
    ],
)
def test_invalid_parameters_of_an_interface_are_rejected(ec2: Ec2, subnet: model.Subnet, request_: dict[str, Any], expected: str) -> None:
    create(ec2, subnet, PrivateIpAddress="172.31.0.50")
    with pytest.raises(AwsError) as error:
        create(ec2, subnet, **request_)
    assert code(error) == expected
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_an_interface_has_up_to_five_groups_of_its_vpc(ec2: Ec2, subnet: model.Subnet) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc_id)["GroupId"]
    with pytest.raises(AwsError) as error:
        create(ec2, subnet, Groups=[foreign])
    assert (code(error), error.value.message) == (
        "InvalidGroup.NotFound",
        f"The security group '{foreign}' does not exist in VPC '{subnet.vpc_id}'",
    )
    many = [ec2.create_security_group(GroupName=f"g{number}", Description="g")["GroupId"] for number in range(6)]
    with pytest.raises(AwsError) as error:
        create(ec2, subnet, Groups=many)
    assert code(error) == "SecurityGroupsPerInterfaceLimitExceeded"
    assert len(create(ec2, subnet, Groups=many[:5])["Groups"]) == 5


def test_a_full_subnet_rejects_another_interface(ec2: Ec2) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/28")["Subnet"]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet_id, SecondaryPrivateIpAddressCount=10)
    with pytest.raises(AwsError) as error:
        ec2.create_network_interface(SubnetId=subnet_id)
    assert code(error) == "InsufficientFreeAddressesInSubnet"


def test_attributes_change_one_at_a_time(ec2: Ec2, subnet: model.Subnet) -> None:
    id = create(ec2, subnet)["NetworkInterfaceId"]
    group_id = ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Description={"Value": "front"})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck={"Value": False})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Groups=[group_id])
    shown = described(ec2, id)
    assert (shown["Description"], shown["SourceDestCheck"], shown["Groups"][0]["GroupId"]) == ("front", False, group_id)
    ask = ec2.describe_network_interface_attribute
    assert ask(NetworkInterfaceId=id, Attribute="description")["Description"]["Value"] == "front"
    assert ask(NetworkInterfaceId=id, Attribute="sourceDestCheck")["SourceDestCheck"]["Value"] is False
    assert ask(NetworkInterfaceId=id, Attribute="groupSet")["Groups"] == [{"GroupId": group_id, "GroupName": "web"}]
    assert ask(NetworkInterfaceId=id, Attribute="associatePublicIpAddress")["AssociatePublicIpAddress"] is False
    assert "Attachment" not in ask(NetworkInterfaceId=id, Attribute="attachment")
    ec2.reset_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck="true")
    assert described(ec2, id)["SourceDestCheck"]
    for bad, expected in [
        ({}, "InvalidParameterCombination"),
        ({"Description": {"Value": "a"}, "SourceDestCheck": {"Value": True}}, "InvalidParameterCombination"),
        ({"AssociatePublicIpAddress": True}, "InvalidParameterValue"),
        ({"Attachment": {"AttachmentId": "eni-attach-1", "DeleteOnTermination": True}}, "InvalidAttachmentID.NotFound"),
        ({"Groups": []}, "InvalidParameterValue"),
    ]:
        with pytest.raises(AwsError) as error:
            ec2.modify_network_interface_attribute(NetworkInterfaceId=id, **bad)
        assert code(error) == expected


def test_there_are_no_instances_to_attach_to(ec2: Ec2, subnet: model.Subnet) -> None:
    id = create(ec2, subnet)["NetworkInterfaceId"]
    with pytest.raises(AwsError) as error:
        ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId="i-0123456789abcdef0", DeviceIndex=1)
    assert code(error) == "InvalidInstanceID.NotFound"
    with pytest.raises(AwsError) as error:
        ec2.detach_network_interface(AttachmentId="eni-attach-0123456789abcdef0")
    assert code(error) == "InvalidAttachmentID.NotFound"


def test_an_interface_in_a_host_is_detached_before_it_is_deleted(ec2: Ec2, subnet: model.Subnet) -> None:
    id = create(ec2, subnet)["NetworkInterfaceId"]
    with ec2.store.transaction() as tx:
        network_interfaces.plug(tx, id, "bench", now=ec2.now, owner="000000000000", device_index=1)
    shown = described(ec2, id)
    assert (shown["Status"], shown["Attachment"]["DeviceIndex"], shown["Attachment"]["Status"]) == ("in-use", 1, "attached")
    with pytest.raises(AwsError) as error:
        ec2.delete_network_interface(NetworkInterfaceId=id)
    assert (code(error), error.value.message) == ("InvalidParameterValue", f"Network interface '{id}' is currently in use.")
    ending = {"AttachmentId": shown["Attachment"]["AttachmentId"], "DeleteOnTermination": True}
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Attachment=ending)
    assert described(ec2, id)["Attachment"]["DeleteOnTermination"]
    ec2.detach_network_interface(AttachmentId=shown["Attachment"]["AttachmentId"])
    ec2.delete_network_interface(NetworkInterfaceId=id)
    with pytest.raises(AwsError) as error:
        described(ec2, id)
    assert code(error) == "InvalidNetworkInterfaceID.NotFound"


def test_secondary_addresses_are_assigned_and_unassigned(ec2: Ec2, subnet: model.Subnet) -> None:
    id = create(ec2, subnet)["NetworkInterfaceId"]
    answer = ec2.assign_private_ip_addresses(NetworkInterfaceId=id, SecondaryPrivateIpAddressCount=2)
    assert [each["PrivateIpAddress"] for each in answer["AssignedPrivateIpAddresses"]] == ["172.31.0.5", "172.31.0.6"]
    ec2.assign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=["172.31.0.99"])
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=["172.31.0.5"])
    assert [each["PrivateIpAddress"] for each in described(ec2, id)["PrivateIpAddresses"]] == ["172.31.0.4", "172.31.0.6", "172.31.0.99"]
    for bad in (["172.31.0.4"], ["172.31.0.5"]):
        with pytest.raises(AwsError) as error:
            ec2.unassign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=bad)
        assert code(error) == "InvalidParameterValue"
    other = create(ec2, subnet)["NetworkInterfaceId"]
    with pytest.raises(AwsError) as error:
        ec2.assign_private_ip_addresses(NetworkInterfaceId=other, PrivateIpAddresses=["172.31.0.99"])
    assert code(error) == "InvalidIPAddress.InUse"
    ec2.assign_private_ip_addresses(NetworkInterfaceId=other, PrivateIpAddresses=["172.31.0.99"], AllowReassignment=True)
    assert [each["PrivateIpAddress"] for each in described(ec2, id)["PrivateIpAddresses"]] == ["172.31.0.4", "172.31.0.6"]
    with pytest.raises(AwsError) as error:
        ec2.assign_private_ip_addresses(NetworkInterfaceId=id)
    assert code(error) == "InvalidParameterCombination"


def test_a_services_interface_is_described_but_cannot_be_changed(ec2: Ec2, subnet: model.Subnet) -> None:
    interface = managed(ec2, subnet, host="db-orders-a")
    shown = described(ec2, interface.id)
    assert (shown["RequesterManaged"], shown["RequesterId"], shown["Status"]) == (True, "amazon-rds", "in-use")
    assert shown["Attachment"]["InstanceOwnerId"] == "amazon-rds"
    allocation_id = ec2.allocate_address()["AllocationId"]
    for touch in (
        lambda: ec2.delete_network_interface(NetworkInterfaceId=interface.id),
        lambda: ec2.modify_network_interface_attribute(NetworkInterfaceId=interface.id, Description={"Value": "mine"}),
        lambda: ec2.detach_network_interface(AttachmentId=shown["Attachment"]["AttachmentId"]),
        lambda: ec2.assign_private_ip_addresses(NetworkInterfaceId=interface.id, SecondaryPrivateIpAddressCount=1),
        lambda: ec2.associate_address(AllocationId=allocation_id, NetworkInterfaceId=interface.id),
    ):
        with pytest.raises(AwsError) as error:
            touch()
        assert code(error) == "AuthFailure"
    with pytest.raises(AwsError) as error:
        ec2.delete_subnet(SubnetId=subnet.id)
    assert code(error) == "DependencyViolation"


def test_attaching_to_the_same_host_changes_nothing_and_to_another_moves_the_interface(ec2: Ec2, subnet: model.Subnet) -> None:
    interface = managed(ec2, subnet, host="db-orders-a")
    with ec2.store.transaction() as tx:
        assert network_interfaces.plug(tx, interface.id, "db-orders-a", now=ec2.now) == interface
        moved = network_interfaces.plug(tx, interface.id, "db-orders-b", now=ec2.now)
        assert moved.attachment is not None and moved.attachment.host == "db-orders-b"
        assert network_interfaces.unplug(tx, interface.id).attachment is None


def test_an_auto_assigned_public_address_is_released_with_the_interface(ec2: Ec2, subnet: model.Subnet) -> None:
    interface = managed(ec2, subnet, host="db-orders-a")
    with ec2.store.transaction() as tx:
        lent = addresses.assign_public(tx, interface.id)
        assert addresses.assign_public(tx, interface.id) == lent
    association = described(ec2, interface.id)["Association"]
    assert association["IpOwnerId"] == "amazon" and association["PublicIp"] == lent.public_address == "203.0.113.1"
    assert ec2.describe_addresses()["Addresses"] == []
    with ec2.store.transaction() as tx:
        addresses.release_public(tx, interface.id)
        assert addresses.free_public_address(tx) == "203.0.113.1"
        addresses.assign_public(tx, interface.id)
        network_interfaces.delete(tx, interface.id)
        network_interfaces.delete(tx, interface.id)
        assert addresses.free_public_address(tx) == "203.0.113.1"


def test_a_services_interface_accepts_groups_of_the_vpc_only(ec2: Ec2, subnet: model.Subnet) -> None:
    interface = managed(ec2, subnet)
    with pytest.raises(AwsError) as error, ec2.store.transaction() as tx:
        network_interfaces.set_groups(tx, interface.id, ["sg-0123456789abcdef0"])
    assert code(error) == "InvalidGroup.NotFound"
    group_id = ec2.create_security_group(GroupName="db", Description="db")["GroupId"]
    with ec2.store.transaction() as tx:
        assert network_interfaces.set_groups(tx, interface.id, [group_id, group_id]).group_ids == (group_id,)


def test_elastic_addresses_are_allocated_associated_disassociated_and_released(ec2: Ec2, subnet: model.Subnet) -> None:
    id = create(ec2, subnet, SecondaryPrivateIpAddressCount=1)["NetworkInterfaceId"]
    first, second = ec2.allocate_address(), ec2.allocate_address(Domain="vpc")
    assert first["PublicIp"] != second["PublicIp"] and first["Domain"] == "vpc"
    association_id = ec2.associate_address(AllocationId=first["AllocationId"], NetworkInterfaceId=id)["AssociationId"]
    again = ec2.associate_address(AllocationId=first["AllocationId"], NetworkInterfaceId=id)["AssociationId"]
    assert again == association_id
    ec2.associate_address(PublicIp=second["PublicIp"], NetworkInterfaceId=id, PrivateIpAddress="172.31.0.5")
    shown = described(ec2, id)
    assert shown["Association"]["PublicIp"] == first["PublicIp"]
    assert [each["Association"]["AllocationId"] for each in shown["PrivateIpAddresses"]] == [first["AllocationId"], second["AllocationId"]]
    with pytest.raises(AwsError) as error:
        ec2.release_address(AllocationId=first["AllocationId"])
    assert (code(error), error.value.message) == ("InvalidIPAddress.InUse", f"Address {first['PublicIp']} is in use.")
    ec2.disassociate_address(AssociationId=association_id)
    ec2.disassociate_address(PublicIp=second["PublicIp"])
    for each in (first, second):
        ec2.release_address(AllocationId=each["AllocationId"])
    assert ec2.describe_addresses()["Addresses"] == []


def test_an_address_is_reassociated_unless_that_is_forbidden(ec2: Ec2, subnet: model.Subnet) -> None:
    one, other = create(ec2, subnet)["NetworkInterfaceId"], create(ec2, subnet)["NetworkInterfaceId"]
    first, second = ec2.allocate_address()["AllocationId"], ec2.allocate_address()["AllocationId"]
    ec2.associate_address(AllocationId=first, NetworkInterfaceId=one)
    for allocation_id, interface_id in ((first, other), (second, one)):
        with pytest.raises(AwsError) as error:
            ec2.associate_address(AllocationId=allocation_id, NetworkInterfaceId=interface_id, AllowReassociation=False)
        assert code(error) == "Resource.AlreadyAssociated"
    ec2.associate_address(AllocationId=first, NetworkInterfaceId=other)
    ec2.associate_address(AllocationId=second, NetworkInterfaceId=other)
    tied = {each["AllocationId"]: each.get("NetworkInterfaceId") for each in ec2.describe_addresses()["Addresses"]}
    assert tied == {first: None, second: other}


def test_an_elastic_address_replaces_the_auto_assigned_one_and_outlives_the_interface(ec2: Ec2, subnet: model.Subnet) -> None:
    id = create(ec2, subnet)["NetworkInterfaceId"]
    with ec2.store.transaction() as tx:
        addresses.assign_public(tx, id)
    allocation_id = ec2.allocate_address()["AllocationId"]
    ec2.associate_address(AllocationId=allocation_id, NetworkInterfaceId=id)
    assert ec2.store.require(model.NetworkInterface, id).public_address is None
    ec2.delete_network_interface(NetworkInterfaceId=id)
    [kept] = ec2.describe_addresses(AllocationIds=[allocation_id])["Addresses"]
    assert "AssociationId" not in kept


def test_invalid_requests_on_addresses_are_rejected(ec2: Ec2, subnet: model.Subnet) -> None:
    id = create(ec2, subnet)["NetworkInterfaceId"]
    allocation = ec2.allocate_address()
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    island = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    lonely = ec2.create_network_interface(SubnetId=island)["NetworkInterface"]["NetworkInterfaceId"]
    allocation_id, missing = allocation["AllocationId"], "eipalloc-0123456789abcdef0"
    for operation, request, expected in [
        ("ReleaseAddress", {"AllocationId": missing}, "InvalidAllocationID.NotFound"),
        ("ReleaseAddress", {"PublicIp": "203.0.113.99"}, "InvalidAddress.NotFound"),
        ("ReleaseAddress", {}, "MissingParameter"),
        ("ReleaseAddress", {"AllocationId": missing, "PublicIp": "203.0.113.99"}, "InvalidParameterCombination"),
        ("DescribeAddresses", {"PublicIps": ["203.0.113.99"]}, "InvalidAddress.NotFound"),
        ("DescribeAddresses", {"AllocationIds": [missing]}, "InvalidAllocationID.NotFound"),
        ("DisassociateAddress", {"AssociationId": "eipassoc-0123456789abcdef0"}, "InvalidAssociationID.NotFound"),
        ("DisassociateAddress", {"PublicIp": allocation["PublicIp"]}, "InvalidAssociationID.NotFound"),
        ("AssociateAddress", {"AllocationId": allocation_id}, "MissingParameter"),
        ("AssociateAddress", {"AllocationId": allocation_id, "InstanceId": "i-0123456789abcdef0"}, "InvalidInstanceID.NotFound"),
        ("AssociateAddress", {"AllocationId": allocation_id, "NetworkInterfaceId": lonely}, "Gateway.NotAttached"),
        (
            "AssociateAddress",
            {"AllocationId": allocation_id, "NetworkInterfaceId": id, "PrivateIpAddress": "172.31.0.77"},
            "InvalidParameterValue",
        ),
        ("AllocateAddress", {"Domain": "standard"}, "InvalidParameterValue"),
        ("AllocateAddress", {"Address": "8.8.8.8"}, "InvalidAddress.NotFound"),
        ("AllocateAddress", {"Address": allocation["PublicIp"]}, "InvalidAddress.NotFound"),
        ("AllocateAddress", {"PublicIpv4Pool": "ipv4pool-ec2-0123456789abcdef0"}, "InvalidPublicIpv4PoolID.NotFound"),
        ("AllocateAddress", {"NetworkBorderGroup": "us-west-2"}, "InvalidParameterValue"),
        ("AllocateAddress", {"IpamPoolId": "ipam-pool-0123456789abcdef0"}, "InvalidParameterValue"),
    ]:
        with pytest.raises(AwsError) as error:
            ec2.call(operation, request)
        assert (operation, request, code(error)) == (operation, request, expected)


def test_an_account_has_at_most_five_elastic_addresses_and_can_recover_a_released_one(ec2: Ec2) -> None:
    held = [ec2.allocate_address() for _ in range(5)]
    with pytest.raises(AwsError) as error:
        ec2.allocate_address()
    assert code(error) == "AddressLimitExceeded"
    ec2.release_address(AllocationId=held[2]["AllocationId"])
    assert ec2.allocate_address(Address=held[2]["PublicIp"])["PublicIp"] == held[2]["PublicIp"]


def test_the_attributes_of_addresses_are_described_without_reverse_names(ec2: Ec2) -> None:
    """Terraform asks for the attribute of every `aws_eip`."""
    first, second = (ec2.allocate_address() for _ in range(2))
    answer = ec2.describe_addresses_attribute(AllocationIds=[first["AllocationId"]], Attribute="domain-name")
    assert answer == {"Addresses": [{"AllocationId": first["AllocationId"], "PublicIp": first["PublicIp"]}]}
    pages = ec2.describe_addresses_attribute(MaxResults=1)
    pages = [*pages["Addresses"], *ec2.describe_addresses_attribute(NextToken=pages["NextToken"])["Addresses"]]
    assert {each["PublicIp"] for each in pages} == {first["PublicIp"], second["PublicIp"]}
    for request, expected in (
        ({"AllocationIds": ["eipalloc-00000000000000000"]}, "InvalidAllocationID.NotFound"),
        ({"Attribute": "domain-name", "MaxResults": 1001}, "InvalidParameterValue"),
    ):
        with pytest.raises(AwsError) as error:
            ec2.describe_addresses_attribute(**request)
        assert code(error) == expected
