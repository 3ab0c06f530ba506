"""Route tables: the destinations and targets of packets that leave a subnet.

A VPC has a main route table, which its subnets use until they are associated with another. Each table begins with a `local` route for
every range of the VPC; other routes target an internet gateway, a NAT gateway or a network interface. The route with the longest prefix
applies. A route whose target no longer exists is kept and is a *black hole*; that state is not stored but computed from the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import associations, cidrs, model
from zonal.services.ec2.idempotency import once
from zonal.services.ec2.listing import Listing, needed, one_of, reject_unsupported
from zonal.services.ec2.lookups import absent_instance, find, has_dependencies
from zonal.services.ec2.model import RouteEntry, RouteTable, RouteTableAssociation
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AssociateRouteTableRequestTypeDef,
        CreateRouteRequestTypeDef,
        CreateRouteTableRequestTypeDef,
        DeleteRouteRequestTypeDef,
        DeleteRouteTableRequestTypeDef,
        DescribeRouteTablesRequestTypeDef,
        DisassociateRouteTableRequestTypeDef,
        ReplaceRouteRequestTypeDef,
        ReplaceRouteTableAssociationRequestTypeDef,
        RouteTableAssociationTypeDef,
        RouteTableTypeDef,
        RouteTypeDef,
    )

LOCAL = "local"
MOST_TABLES = 200
MOST_ROUTES = 50
"""AWS's default quotas: tables in a VPC, and non-local routes in a table (AWS raises the latter to 500 on request)."""

_UNBUILT_TARGETS = {
    "VpcEndpointId": "VPC endpoints as route targets",
    "TransitGatewayId": "transit gateways",
    "LocalGatewayId": "local gateways",
    "CarrierGatewayId": "carrier gateways",
    "CoreNetworkArn": "core networks",
    "OdbNetworkArn": "Oracle networks",
    "EgressOnlyInternetGatewayId": "IPv6",
    "VpcPeeringConnectionId": "VPC peering",
    "DestinationPrefixListId": "prefix lists",
    "DestinationIpv6CidrBlock": "IPv6",
}


def create(transaction: Transaction, vpc: model.Vpc, *, is_main: bool = False, tags: dict[str, str] | None = None) -> RouteTable:
    """Create a table with the VPC's local routes."""
    table = RouteTable(
        id=resource_id("rtb"),
        vpc_id=vpc.id,
        routes=tuple(_local(association.cidr) for association in vpc.cidrs),
        associations=(RouteTableAssociation(resource_id("rtbassoc")),) if is_main else (),
        tags=tags or {},
    )
    transaction.put(table)
    return table


def add_range(transaction: Transaction, vpc_id: str, cidr: str) -> None:
    """Add the local route of a VPC's new range to each of its tables."""
    for table in transaction.lookup(RouteTable, "vpc_id", vpc_id):
        transaction.put(replace(table, routes=(*table.routes, _local(cidr))))


def remove_range(transaction: Transaction, vpc_id: str, cidr: str) -> None:
    """Remove the local route of a range that was disassociated from the VPC."""
    for table in transaction.lookup(RouteTable, "vpc_id", vpc_id):
        kept = tuple(route for route in table.routes if (route.cidr, route.target) != (cidr, LOCAL))
        transaction.put(replace(table, routes=kept))


def add_route(transaction: Transaction, table_id: str, route: RouteEntry) -> None:
    """Add a route without validation."""
    table = transaction.require(RouteTable, table_id)
    transaction.put(replace(table, routes=(*table.routes, route)))


def is_black_hole(view: RecordView, table: RouteTable, route: RouteEntry) -> bool:
    """Whether a route's target cannot receive packets: detached, deleted, or an interface without a host."""
    kind = route.target.partition("-")[0]
    if kind == "igw":
        gateway = view.get(model.InternetGateway, route.target)
        return gateway is None or gateway.vpc_id != table.vpc_id
    if kind == "nat":
        nat = view.get(model.NatGateway, route.target)
        return nat is None or not _forwards(nat)
    if kind == "eni":
        interface = view.get(model.NetworkInterface, route.target)
        if interface is None or interface.interface_type != "nat_gateway":
            return interface is None or interface.attachment is None
        return not any(
            map(_forwards, (nat for nat in view.lookup(model.NatGateway, "vpc_id", table.vpc_id) if nat.interface_id == route.target))
        )
    return False


def _forwards(nat: model.NatGateway) -> bool:
    return nat.state in ("pending", "available")


def _local(cidr: str) -> RouteEntry:
    return RouteEntry(cidr, LOCAL, "CreateRouteTable")


_LISTING = Listing(
    RouteTable,
    ids="RouteTableIds",
    id="RouteTableId",
    answers="RouteTables",
    most=100,
    paths={
        "association.gateway-id": "Associations.GatewayId",
        "association.route-table-association-id": "Associations.RouteTableAssociationId",
        "association.route-table-id": "Associations.RouteTableId",
        "association.subnet-id": "Associations.SubnetId",
        "association.main": "Associations.Main",
        "owner-id": "OwnerId",
        "route-table-id": "RouteTableId",
        "route.destination-cidr-block": "Routes.DestinationCidrBlock",
        "route.destination-ipv6-cidr-block": "Routes.DestinationIpv6CidrBlock",
        "route.destination-prefix-list-id": "Routes.DestinationPrefixListId",
        "route.egress-only-internet-gateway-id": "Routes.EgressOnlyInternetGatewayId",
        "route.gateway-id": "Routes.GatewayId",
        "route.instance-id": "Routes.InstanceId",
        "route.nat-gateway-id": "Routes.NatGatewayId",
        "route.transit-gateway-id": "Routes.TransitGatewayId",
        "route.origin": "Routes.Origin",
        "route.state": "Routes.State",
        "route.vpc-peering-connection-id": "Routes.VpcPeeringConnectionId",
        "vpc-id": "VpcId",
    },
)


def answer_table(table: RouteTable, view: RecordView) -> RouteTableTypeDef:
    """A table as DescribeRouteTables shows it."""
    return {
        "RouteTableId": table.id,
        "VpcId": table.vpc_id,
        "OwnerId": ACCOUNT,
        "Routes": [_answer_route(table, route, view) for route in table.routes],
        "Associations": [_answer_association(table, association) for association in table.associations],
        "PropagatingVgws": [],
        "Tags": answer_tags(table),
    }


def _answer_route(table: RouteTable, route: RouteEntry, view: RecordView) -> RouteTypeDef:
    shown: RouteTypeDef = {
        "DestinationCidrBlock": route.cidr,
        "Origin": route.origin,  # type: ignore[typeddict-item]
        "State": "blackhole" if is_black_hole(view, table, route) else "active",
    }
    if route.target.startswith("nat-"):
        shown["NatGatewayId"] = route.target
    elif route.target.startswith("eni-"):
        shown["NetworkInterfaceId"] = route.target
    else:
        shown["GatewayId"] = route.target
    return shown


def _answer_association(table: RouteTable, association: RouteTableAssociation) -> RouteTableAssociationTypeDef:
    shown: RouteTableAssociationTypeDef = {
        "RouteTableAssociationId": association.id,
        "RouteTableId": table.id,
        "Main": association.subnet_id is None,
        "AssociationState": {"State": "associated"},
    }
    if association.subnet_id is not None:
        shown["SubnetId"] = association.subnet_id
    return shown


class RouteTables:
    """The operations on route tables, their routes and associations."""

    @operation("CreateRouteTable")
    def create(self, call: ControlCall, request: CreateRouteTableRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        vpc = find(tx, model.Vpc, request["VpcId"])
        if len(tx.lookup(RouteTable, "vpc_id", vpc.id)) >= MOST_TABLES:
            raise AwsError("RouteTableLimitExceeded", "The maximum number of route tables has been reached.")
        table = once(call, request, RouteTable, lambda: create(tx, vpc, tags=given_tags(request, RouteTable)))
        return {"RouteTable": answer_table(table, tx), "ClientToken": request.get("ClientToken", "")}

    @operation("DeleteRouteTable")
    def delete(self, call: ControlCall, request: DeleteRouteTableRequestTypeDef) -> ResponseMembers:
        table = find(call.transaction, RouteTable, request["RouteTableId"])
        if table.associations:
            raise has_dependencies("routeTable", table.id)
        call.transaction.delete(RouteTable, table.id)
        return {}

    @operation("DescribeRouteTables")
    def describe(self, call: ControlCall, request: DescribeRouteTablesRequestTypeDef) -> ResponseMembers:
        return _LISTING.describe(call, request, lambda table: answer_table(table, call.transaction))

    @operation("CreateRoute")
    def create_route(self, call: ControlCall, request: CreateRouteRequestTypeDef) -> ResponseMembers:
        """Add a route. Adding an existing route with the same target succeeds and changes nothing."""
        tx = call.transaction
        table = find(tx, RouteTable, request["RouteTableId"])
        cidr = _destination(table, request)
        target = _target(call, table, request)
        present = _route(table, cidr)
        if present is not None and present.target == target:
            return {"Return": True}
        if present is not None:
            raise AwsError("RouteAlreadyExists", f"The route identified by {cidr} already exists.")
        if sum(route.target != LOCAL for route in table.routes) >= MOST_ROUTES:
            raise AwsError("RouteLimitExceeded", "The maximum number of routes has been reached.")
        tx.put(replace(table, routes=(*table.routes, RouteEntry(cidr, target))))
        return {"Return": True}

    @operation("ReplaceRoute")
    def replace_route(self, call: ControlCall, request: ReplaceRouteRequestTypeDef) -> ResponseMembers:
        table = find(call.transaction, RouteTable, request["RouteTableId"])
        reject_unsupported(request, LocalTarget="local routes with another target that could be reset")
        cidr = _destination(table, request)
        target = _target(call, table, request)
        if _route(table, cidr) is None:
            raise AwsError("InvalidParameterValue", f"There is no route defined for '{cidr}' in the route table. Use CreateRoute instead.")
        routes = tuple(RouteEntry(cidr, target) if route.cidr == cidr else route for route in table.routes)
        call.transaction.put(replace(table, routes=routes))
        return {}

    @operation("DeleteRoute")
    def delete_route(self, call: ControlCall, request: DeleteRouteRequestTypeDef) -> ResponseMembers:
        table = find(call.transaction, RouteTable, request["RouteTableId"])
        _check_ipv4_destination(table, request)
        cidr = str(cidrs.network(needed(request, "DestinationCidrBlock"), "destinationCidrBlock"))
        present = _route(table, cidr)
        if present is None:
            raise AwsError("InvalidRoute.NotFound", f"no route with destination-cidr-block {cidr} in route table {table.id}")
        if present.target == LOCAL:
            raise AwsError("InvalidParameterValue", f"cannot remove local route {cidr} in route table {table.id}")
        call.transaction.put(replace(table, routes=tuple(route for route in table.routes if route is not present)))
        return {}

    @operation("AssociateRouteTable")
    def associate(self, call: ControlCall, request: AssociateRouteTableRequestTypeDef) -> ResponseMembers:
        """Associate a subnet with a table. If it is associated with this table already, the existing association is returned."""
        tx = call.transaction
        reject_unsupported(request, GatewayId="edge associations of route tables", PublicIpv4Pool="customer-owned public pools")
        table = find(tx, RouteTable, request["RouteTableId"])
        subnet = find(tx, model.Subnet, needed(request, "SubnetId"))
        if subnet.vpc_id != table.vpc_id:
            raise AwsError("InvalidParameterValue", f"route table {table.id} and subnet {subnet.id} belong to different networks")
        for other in tx.lookup(RouteTable, "vpc_id", table.vpc_id):
            for association in other.associations:
                if association.subnet_id == subnet.id and other.id == table.id:
                    return _associated("AssociationId", association.id)
                if association.subnet_id == subnet.id:
                    raise AwsError(
                        "Resource.AlreadyAssociated",
                        f"the specified association for route table {table.id} conflicts with an existing association",
                    )
        association = RouteTableAssociation(resource_id("rtbassoc"), subnet.id)
        tx.put(replace(table, associations=(*table.associations, association)))
        return _associated("AssociationId", association.id)

    @operation("DisassociateRouteTable")
    def disassociate(self, call: ControlCall, request: DisassociateRouteTableRequestTypeDef) -> ResponseMembers:
        id = request["AssociationId"]
        table = associations.owner_of(call.transaction, RouteTable, id)
        if associations.subnet_id_of(table, id) is None:
            raise AwsError("InvalidParameterValue", f"cannot disassociate the main route table association {id}")
        call.transaction.put(associations.without(table, id))
        return {}

    @operation("ReplaceRouteTableAssociation")
    def replace_association(self, call: ControlCall, request: ReplaceRouteTableAssociationRequestTypeDef) -> ResponseMembers:
        """Move an association to another table; moving the main one makes that table the VPC's main table."""
        tx = call.transaction
        source = associations.owner_of(tx, RouteTable, request["AssociationId"])
        target = find(tx, RouteTable, request["RouteTableId"])
        if source.vpc_id != target.vpc_id:
            raise AwsError("InvalidParameterValue", f"route table {target.id} and route table {source.id} belong to different networks")
        return _associated("NewAssociationId", associations.move(tx, source, request["AssociationId"], target))


def _associated(member: str, id: str) -> ResponseMembers:
    return {member: id, "AssociationState": {"State": "associated"}}


def _route(table: RouteTable, cidr: str) -> RouteEntry | None:
    return next((route for route in table.routes if route.cidr == cidr), None)


def _check_ipv4_destination(table: RouteTable, request: Mapping[str, object]) -> None:
    """Raises `InvalidRoute.NotFound` for an IPv6 or prefix-list destination, which no route can have."""
    unsupported = {"DestinationIpv6CidrBlock": "destination-ipv6-cidr-block", "DestinationPrefixListId": "destination-prefix-list-id"}
    for member, name in unsupported.items():
        if request.get(member):
            raise AwsError("InvalidRoute.NotFound", f"no route with {name} {request[member]} in route table {table.id}")


def _destination(table: RouteTable, request: Mapping[str, object]) -> str:
    """The destination of a request's route, which must be outside the VPC. Raises `InvalidParameterValue` and `MissingParameter`."""
    reject_unsupported(request, **_UNBUILT_TARGETS)
    cidr = str(cidrs.network(needed(request, "DestinationCidrBlock"), "destinationCidrBlock"))
    if any(route.target == LOCAL and cidrs.contains(route.cidr, cidr) for route in table.routes):
        raise AwsError(
            "InvalidParameterValue",
            f"The destination CIDR block {cidr} is equal to or more specific than one of this VPC's CIDR blocks."
            " zonal has only the local route inside a VPC.",
        )
    return cidr


def _target(call: ControlCall, table: RouteTable, request: Mapping[str, object]) -> str:
    """The id of a request's target, which must be in the table's VPC."""
    member = one_of(request, "GatewayId", "NatGatewayId", "NetworkInterfaceId", "InstanceId")
    id = cast("str", request[member])
    if member == "GatewayId":
        if id == LOCAL or id.startswith(("vgw-", "vpce-")):
            raise AwsError("InvalidParameterValue", f"The gateway '{id}' cannot be a route's target: zonal has internet gateways only")
        gateway = find(call.transaction, model.InternetGateway, id)
        if gateway.vpc_id != table.vpc_id:
            raise AwsError("InvalidParameterValue", f"route table {table.id} and network gateway {id} belong to different networks")
    elif member == "NatGatewayId":
        nat = find(call.transaction, model.NatGateway, id)
        if not _forwards(nat):
            raise AwsError("InvalidNatGatewayID.NotFound", f"The natGateway ID '{id}' does not exist")
        if nat.vpc_id != table.vpc_id:
            raise AwsError("InvalidParameterValue", f"route table {table.id} and nat gateway {id} belong to different networks")
    elif member == "NetworkInterfaceId":
        interface = find(call.transaction, model.NetworkInterface, id)
        if interface.vpc_id != table.vpc_id:
            raise AwsError("InvalidParameterValue", f"route table {table.id} and interface {id} belong to different networks")
    else:
        raise absent_instance(id)
    return id
