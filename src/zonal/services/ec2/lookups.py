"""Lookups of EC2's records by id, and EC2's errors for missing or malformed ids.

Codes and messages are EC2's ("Error codes for the Amazon EC2 API"): an id with an invalid format is `Malformed`, a well-formed unknown
id is `NotFound`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from zonal.foundation.errors import AwsError
from zonal.records.record_view import RecordView
from zonal.records.store import Record
from zonal.services.ec2 import model

R = TypeVar("R", bound=Record)


class IdErrors(NamedTuple):
    """EC2's id prefix, error codes and noun for one kind of record."""

    prefix: str
    code: str
    noun: str
    malformed: str


ID_ERRORS: dict[type[Record], IdErrors] = {
    model.Vpc: IdErrors("vpc", "InvalidVpcID.NotFound", "vpc", "InvalidVpcID.Malformed"),
    model.Subnet: IdErrors("subnet", "InvalidSubnetID.NotFound", "subnet", "InvalidSubnetID.Malformed"),
    model.RouteTable: IdErrors("rtb", "InvalidRouteTableID.NotFound", "routeTable", "InvalidRouteTableId.Malformed"),
    model.InternetGateway: IdErrors("igw", "InvalidInternetGatewayID.NotFound", "internetGateway", "InvalidInternetGatewayId.Malformed"),
    model.SecurityGroup: IdErrors("sg", "InvalidGroup.NotFound", "security group", "InvalidGroupId.Malformed"),
    model.SecurityGroupRule: IdErrors(
        "sgr", "InvalidSecurityGroupRuleId.NotFound", "security group rule", "InvalidSecurityGroupRuleId.Malformed"
    ),
    model.NetworkAcl: IdErrors("acl", "InvalidNetworkAclID.NotFound", "networkAcl", "InvalidNetworkAclId.Malformed"),
    model.NetworkInterface: IdErrors(
        "eni", "InvalidNetworkInterfaceID.NotFound", "networkInterface", "InvalidNetworkInterfaceId.Malformed"
    ),
    model.ElasticAddress: IdErrors("eipalloc", "InvalidAllocationID.NotFound", "allocation", "InvalidAllocationID.Malformed"),
    model.NatGateway: IdErrors("nat", "NatGatewayNotFound", "Nat Gateway", "NatGatewayMalformed"),
    model.DhcpOptions: IdErrors("dopt", "InvalidDhcpOptionID.NotFound", "dhcpOption", "InvalidDhcpOptionsId.Malformed"),
}


def find(view: RecordView, kind: type[R], id: str) -> R:
    """The record with this id. Raises the kind's NotFound or Malformed error."""
    record = view.get(kind, id)
    if record is None:
        raise absent(kind, id)
    return record


def absent(kind: type[Record], id: str) -> AwsError:
    """The error for an unknown id."""
    errors = ID_ERRORS[kind]
    if not re.fullmatch(rf"{errors.prefix}-[0-9a-f]{{8}}(?:[0-9a-f]{{9}})?", id):
        return AwsError(errors.malformed, f'Invalid id: "{id}" (expecting "{errors.prefix}-...")')
    if kind is model.SecurityGroup:
        return AwsError(errors.code, f"The security group '{id}' does not exist")
    if kind is model.NatGateway:
        return AwsError(errors.code, f"The Nat Gateway {id} was not found")
    return AwsError(errors.code, f"The {errors.noun} ID '{id}' does not exist")


def absent_instance(id: str) -> AwsError:
    """The error for every instance id: there are no instances yet."""
    return AwsError("InvalidInstanceID.NotFound", f"The instance ID '{id}' does not exist")


def has_dependencies(noun: str, id: str) -> AwsError:
    """The error for deleting a resource that is in use; `noun` is EC2's name for its kind."""
    return AwsError("DependencyViolation", f"The {noun} '{id}' has dependencies and cannot be deleted.")


def check_own(interface: model.NetworkInterface | None) -> None:
    """Raises `AuthFailure` for an interface that a service manages."""
    if interface is not None and interface.requester:
        raise AwsError("AuthFailure", "You do not have permission to access the specified resource.")


def default_vpc(view: RecordView) -> model.Vpc | None:
    """The account's default VPC, if it has one."""
    return next(iter(view.select(model.Vpc, lambda vpc: vpc.is_default)), None)


def require_default_vpc(view: RecordView) -> model.Vpc:
    """The default VPC, for requests without a VPC. Raises `VPCIdNotSpecified` if it has been deleted, as EC2 does."""
    vpc = default_vpc(view)
    if vpc is None:
        raise AwsError("VPCIdNotSpecified", "No default VPC for this user")
    return vpc


def subnets(view: RecordView, vpc_id: str) -> list[model.Subnet]:
    """A VPC's subnets, ordered by zone and id."""
    return sorted(view.lookup(model.Subnet, "vpc_id", vpc_id), key=lambda subnet: (subnet.zone, subnet.id))


def default_security_group(view: RecordView, vpc_id: str) -> model.SecurityGroup:
    """The group named `default`, which every VPC has."""
    return next(group for group in view.lookup(model.SecurityGroup, "vpc_id", vpc_id) if group.name == "default")


def security_groups_of(view: RecordView, vpc_id: str, group_ids: Iterable[str]) -> tuple[str, ...]:
    """The given groups without duplicates, all of this VPC. Raises `InvalidGroup.NotFound`."""
    ids = tuple(dict.fromkeys(group_ids))
    for id in ids:
        if find(view, model.SecurityGroup, id).vpc_id != vpc_id:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{id}' does not exist in VPC '{vpc_id}'")
    return ids


def rules_of(view: RecordView, group_id: str) -> list[model.SecurityGroupRule]:
    """A security group's rules, ordered by id."""
    return view.lookup(model.SecurityGroupRule, "group_id", group_id)


def interfaces_in(view: RecordView, subnet_id: str) -> list[model.NetworkInterface]:
    """The interfaces in a subnet."""
    return view.lookup(model.NetworkInterface, "subnet_id", subnet_id)


def gateway_of(view: RecordView, vpc_id: str) -> model.InternetGateway | None:
    """The internet gateway attached to a VPC, or None."""
    return next(iter(view.lookup(model.InternetGateway, "vpc_id", vpc_id)), None)


def main_route_table(view: RecordView, vpc_id: str) -> model.RouteTable:
    """The route table of subnets without an association."""
    return next(table for table in view.lookup(model.RouteTable, "vpc_id", vpc_id) if table.is_main)


def group_named(view: RecordView, request: Mapping[str, object]) -> model.SecurityGroup:
    """The group of a request, given by id, or by name in the default VPC. Raises `AwsError`."""
    id, name = request.get("GroupId"), request.get("GroupName")
    if id is not None:
        return find(view, model.SecurityGroup, str(id))
    if name is None:
        raise AwsError("MissingParameter", "The request must contain the parameter groupName or groupId")
    vpc = require_default_vpc(view)
    for group in view.lookup(model.SecurityGroup, "vpc_id", vpc.id):
        if group.name == name:
            return group
    raise AwsError("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{vpc.id}'")
