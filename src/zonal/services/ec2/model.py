"""The records of EC2's network.

Records refer to each other by id. A VPC has subnets, each in one zone; a subnet uses one route table and one network ACL; a network
interface has addresses of its subnet and belongs to security groups; a security group's rules are separate records, because each rule
has an id and tags. A record's `kind` is AWS's resource type, as used in tags and filters.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from zonal.records.store import Record


class Tagged(Record, frozen=True, kw_only=True):
    """A record with tags, by key."""

    tags: dict[str, str] = msgspec.field(default_factory=dict)


class InVpc(Tagged, frozen=True, kw_only=True):
    """A tagged record that belongs to one VPC and never moves to another."""

    indexed: ClassVar[tuple[str, ...]] = ("vpc_id",)

    vpc_id: str


class CidrAssociation(msgspec.Struct, frozen=True):
    id: str
    cidr: str


class Vpc(Tagged, frozen=True, kw_only=True):
    """`cidrs` starts with the primary range. `dhcp_options_id` may be `default`: no set of options is associated."""

    kind: ClassVar[str] = "vpc"

    cidrs: tuple[CidrAssociation, ...]
    dhcp_options_id: str
    is_default: bool = False
    dns_support: bool = True
    dns_hostnames: bool = False
    address_usage_metrics: bool = False


class Subnet(InVpc, frozen=True, kw_only=True):
    """`zone` is the zone's name."""

    kind: ClassVar[str] = "subnet"

    zone: str
    cidr: str
    is_default: bool = False
    maps_public_address: bool = False


class RouteEntry(msgspec.Struct, frozen=True):
    """`target` is the id of a gateway, NAT gateway or interface, or `local`. `origin` is AWS's `Origin`, the operation that added it."""

    cidr: str
    target: str
    origin: str = "CreateRoute"


class RouteTableAssociation(msgspec.Struct, frozen=True):
    """`subnet_id` is None for the main association, which applies to every subnet of the VPC without an association of its own."""

    id: str
    subnet_id: str | None = None


class RouteTable(InVpc, frozen=True, kw_only=True):
    kind: ClassVar[str] = "route-table"

    routes: tuple[RouteEntry, ...] = ()
    associations: tuple[RouteTableAssociation, ...] = ()

    @property
    def is_main(self) -> bool:
        return any(association.subnet_id is None for association in self.associations)


class InternetGateway(Tagged, frozen=True, kw_only=True):
    """`vpc_id` is None while it is detached."""

    kind: ClassVar[str] = "internet-gateway"
    indexed: ClassVar[tuple[str, ...]] = ("vpc_id",)

    vpc_id: str | None = None


class SecurityGroup(InVpc, frozen=True, kw_only=True):
    kind: ClassVar[str] = "security-group"

    name: str
    description: str


class SecurityGroupRule(Tagged, frozen=True, kw_only=True):
    """One permission. Exactly one of `cidr` and `referenced_group_id` is set.

    `protocol` is `tcp`, `udp`, `icmp`, another protocol's number, or `-1` for all. The ports are None for a protocol without ports; for
    ICMP they are type and code, -1 for any.
    """

    kind: ClassVar[str] = "security-group-rule"
    indexed: ClassVar[tuple[str, ...]] = ("group_id",)

    group_id: str
    is_egress: bool
    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr: str | None = None
    referenced_group_id: str | None = None
    description: str | None = None


class NetworkAclEntry(msgspec.Struct, frozen=True):
    """`protocol` is a number as text, `-1` for all. For ICMP the ports are type and code."""

    number: int
    is_egress: bool
    allow: bool
    protocol: str
    cidr: str
    from_port: int | None = None
    to_port: int | None = None


class NetworkAclAssociation(msgspec.Struct, frozen=True):
    id: str
    subnet_id: str


class NetworkAcl(InVpc, frozen=True, kw_only=True):
    """`entries` are in order of evaluation and include the final `deny` of everything (32767, shown as `*` in the console)."""

    kind: ClassVar[str] = "network-acl"

    is_default: bool = False
    entries: tuple[NetworkAclEntry, ...] = ()
    associations: tuple[NetworkAclAssociation, ...] = ()


class Attachment(msgspec.Struct, frozen=True):
    """The attachment of an interface to a host. `host` is the host's fabric name, `owner` the account or service that runs it."""

    id: str
    host: str
    owner: str
    attached: datetime
    device_index: int = 0
    delete_on_termination: bool = False


class NetworkInterface(InVpc, frozen=True, kw_only=True):
    """`addresses` are the private addresses, the primary first. `public_address` is an auto-assigned address of the primary one, released
    with the interface; elastic addresses are separate records. `requester` is the service that manages the interface (`amazon-rds`), None
    for a customer's interface.
    """

    kind: ClassVar[str] = "network-interface"
    indexed: ClassVar[tuple[str, ...]] = ("vpc_id", "subnet_id")

    subnet_id: str
    zone: str
    mac: str
    addresses: tuple[str, ...]
    group_ids: tuple[str, ...]
    description: str = ""
    interface_type: str = "interface"
    source_dest_check: bool = True
    requester: str | None = None
    public_address: str | None = None
    attachment: Attachment | None = None


class ElasticAddress(Tagged, frozen=True, kw_only=True):
    """A public address allocated to the account until it is released. The last three fields are set while it is associated."""

    kind: ClassVar[str] = "elastic-ip"
    indexed: ClassVar[tuple[str, ...]] = ("interface_id",)

    address: str
    association_id: str | None = None
    interface_id: str | None = None
    private_address: str | None = None


class NatGateway(InVpc, frozen=True, kw_only=True):
    """`state` follows `nat_gateways.LIFECYCLE`."""

    kind: ClassVar[str] = "natgateway"

    subnet_id: str
    interface_id: str
    connectivity: str
    state: str
    created: datetime
    addresses: tuple[NatAddress, ...] = ()
    deleted: datetime | None = None
    failure_code: str | None = None
    failure_message: str | None = None


class NatAddress(msgspec.Struct, frozen=True):
    """An address of a NAT gateway. It is copied here because `DescribeNatGateways` returns it for an hour after the deletion."""

    private: str
    public: str | None = None
    allocation_id: str | None = None
    association_id: str | None = None


class DhcpOptions(Tagged, frozen=True, kw_only=True):
    kind: ClassVar[str] = "dhcp-options"

    configurations: tuple[tuple[str, tuple[str, ...]], ...]


class FabricNetwork(Record, frozen=True, kw_only=True):
    """Marks that the fabric may hold parts of a VPC's network; its id is the VPC's.

    It is written with the VPC and deleted only after the fabric has removed the network, so that a crash in between leaves no orphan.
    """

    kind: ClassVar[str] = "vpc-network"


class RegionDefaults(Record, frozen=True, kw_only=True):
    """Marks that the region's default VPC was created once; the only record has the id `account`."""

    kind: ClassVar[str] = "ec2-region"

    made: datetime


class ClientToken(Record, frozen=True, kw_only=True):
    """A request that must not run twice: its digest, and the id of the resource that it created."""

    kind: ClassVar[str] = "ec2-client-token"

    digest: str
    resource_id: str
    used: datetime
