"""The desired state of networks and hosts, as the layers above pass it to the fabric: frozen structs, applied as a whole.

A `VpcPlan` is the complete desired state of one VPC; `Fabric.apply_vpc(plan)` makes the kernel match it and may be repeated. A `HostSpec`
is a computer in a zone that can be powered on: a set of namespaces, with a directory that is kept through power-off. Addresses and networks
are strings (`"10.0.1.5"`, `"10.0.0.0/16"`). Protocols are `"tcp"`, `"udp"`, `"icmp"`, a protocol number as text, or `"-1"` for all.
"""

from __future__ import annotations

import msgspec


class PlannedRule(msgspec.Struct, frozen=True):
    """One permission of a security group. Exactly one of `cidr` and `group_id` is set.

    `from_port`/`to_port` are ports for TCP and UDP, type and code for ICMP (-1: any); None: all.
    """

    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr: str | None = None
    group_id: str | None = None


class SecurityGroupPlan(msgspec.Struct, frozen=True):
    """A stateful group: the rules for incoming and for outgoing connections are independent."""

    id: str
    ingress: tuple[PlannedRule, ...] = ()
    egress: tuple[PlannedRule, ...] = ()


class AclEntry(msgspec.Struct, frozen=True):
    """One numbered entry of a stateless network ACL; the matching entry with the lowest number decides."""

    number: int
    allow: bool
    protocol: str
    cidr: str
    from_port: int | None = None
    to_port: int | None = None


class NetworkAclPlan(msgspec.Struct, frozen=True):
    id: str
    ingress: tuple[AclEntry, ...] = ()
    egress: tuple[AclEntry, ...] = ()


class PlannedRoute(msgspec.Struct, frozen=True):
    """Where packets for `cidr` go: `local`, `internet` (the attached gateway), `interface` (its id in `target`), or `blackhole`."""

    cidr: str
    kind: str
    target: str | None = None


class SubnetPlan(msgspec.Struct, frozen=True):
    """A network in one zone (by zone name), with its routes and its ACL's id."""

    id: str
    zone: str
    cidr: str
    routes: tuple[PlannedRoute, ...]
    network_acl_id: str


class InterfacePlan(msgspec.Struct, frozen=True):
    """A network interface. `host` is the name of the host that it is connected to, or None.

    `addresses` are its private addresses, the primary one first. `public` pairs (private, public) are translated one to one at the
    internet gateway. `forwards` disables the source/destination check.
    """

    id: str
    subnet_id: str
    mac: str
    addresses: tuple[str, ...]
    group_ids: tuple[str, ...]
    host: str | None = None
    device_index: int = 0
    public: tuple[tuple[str, str], ...] = ()
    forwards: bool = False


class NatGatewayPlan(msgspec.Struct, frozen=True):
    """A NAT gateway: an interface that masquerades the packets that are routed to it."""

    id: str
    interface_id: str


class VpcPlan(msgspec.Struct, frozen=True):
    """Everything of one VPC that affects packets. `Fabric.remove_vpc(id)` removes it.

    `link_local_services` are the resolver and the metadata service, which every zone of a VPC has.
    """

    id: str
    cidrs: tuple[str, ...]
    subnets: tuple[SubnetPlan, ...] = ()
    interfaces: tuple[InterfacePlan, ...] = ()
    security_groups: tuple[SecurityGroupPlan, ...] = ()
    network_acls: tuple[NetworkAclPlan, ...] = ()
    nat_gateways: tuple[NatGatewayPlan, ...] = ()
    internet_gateway: bool = False
    dns: bool = True
    link_local_services: bool = True


class PortRange(msgspec.Struct, frozen=True):
    """Ports of `tcp` or `udp`, the first and the last included."""

    protocol: str
    first: int
    last: int


class ManagementGroup(msgspec.Struct, frozen=True):
    """Membership of a host in a group on the management network: hosts with the same `id` form a group.

    The host accepts connections of the other hosts of its group on `peer_ports` (replication) and those of the monitoring hosts on
    `probe_ports`.
    """

    id: str
    peer_ports: tuple[PortRange, ...] = ()
    probe_ports: tuple[PortRange, ...] = ()


class HostSpec(msgspec.Struct, frozen=True):
    """A computer. `name` is unique in the region (`db-orders-a`), `zone` a zone name.

    `directory` is its disk: an absolute path, seen at the same path from inside, created 0700 before power-on, kept through power-off.
    `readable` are further paths that it sees, read-only (an engine's installation). `management_address` is its address on the management
    network, over which it is probed and replicates, or None. `management_group` decides which hosts reach it there; without one, none do.
    `vpc_id` is the VPC whose resolver it uses; its interfaces come from that VPC's plan (`InterfacePlan.host`). `internet_address` places
    it in the internet instead, outside every VPC. With `machine_files` it sees the machine's files as they are, writable, for commands of
    this machine (`zonal exec`); every other host sees them read-only and without the region's state.
    """

    name: str
    zone: str
    directory: str
    readable: tuple[str, ...] = ()
    management_address: str | None = None
    management_group: ManagementGroup | None = None
    vpc_id: str | None = None
    internet_address: str | None = None
    machine_files: bool = False


class ProcessSpec(msgspec.Struct, frozen=True):
    """A program on a host. `name` is unique on that host; output is appended to `log` (a path); it runs as an ordinary user
    (uid and gid 1000 in a nested user namespace) unless `privileged`.
    """

    name: str
    argv: tuple[str, ...]
    log: str
    environment: tuple[tuple[str, str], ...] = ()
    privileged: bool = False


class Completed(msgspec.Struct, frozen=True):
    """The result of a program that ran to its end on a host."""

    returncode: int
    stdout: bytes
    stderr: bytes
