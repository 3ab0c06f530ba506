"""Associations of subnets with route tables and network ACLs: finding, moving and removing them.

Both records keep their associations in a tuple; each association has an id of its own and names its subnet. A moved association gets a new
id, as on AWS (ReplaceRouteTableAssociation, ReplaceNetworkAclAssociation).
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2.model import NetworkAcl, RouteTable, Subnet

Associable = TypeVar("Associable", RouteTable, NetworkAcl)


def owner_of(view: RecordView, kind: type[Associable], association_id: str) -> Associable:
    """The route table or network ACL that holds an association. Raises `InvalidAssociationID.NotFound`."""
    for owner in view.select(kind):
        if any(each.id == association_id for each in owner.associations):
            return owner
    raise AwsError("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")


def subnet_id_of(owner: RouteTable | NetworkAcl, association_id: str) -> str | None:
    """The subnet of one of the owner's associations; None for a VPC's main association."""
    return next(each.subnet_id for each in owner.associations if each.id == association_id)


def without(owner: Associable, association_id: str) -> Associable:
    """The owner without one of its associations."""
    return replace(owner, associations=tuple(each for each in owner.associations if each.id != association_id))


def move(transaction: Transaction, source: Associable, association_id: str, target: Associable) -> str:
    """Move an association to another owner, which may be the same one. Returns its new id."""
    moved = next(each for each in source.associations if each.id == association_id)
    renewed = replace(moved, id=resource_id(moved.id.rpartition("-")[0]))
    transaction.put(without(source, association_id))
    target = transaction.require(type(target), target.id)
    transaction.put(replace(target, associations=(*target.associations, renewed)))
    return renewed.id


def remove_subnet(transaction: Transaction, kind: type[Associable], subnet: Subnet) -> None:
    """Remove the association of a deleted subnet."""
    for owner in transaction.lookup(kind, "vpc_id", subnet.vpc_id):
        kept = tuple(each for each in owner.associations if each.subnet_id != subnet.id)
        if kept != owner.associations:
            transaction.put(replace(owner, associations=kept))
