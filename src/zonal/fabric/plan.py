"""What the layers above may ask of the fabric: plain, frozen shapes, compared and applied as a whole.

A `VpcPlan` is the complete desired state of one VPC; `Fabric.apply_vpc(plan)` makes the kernel match it, however often it is called and
whatever was there. A `HostSpec` is a computer that can be powered on: it lives in a zone, in namespaces of its own, with a
directory that survives power-off. Addresses and networks are strings (`"10.0.1.5"`, `"10.0.0.0/16"`); protocols are
`"tcp"`, `"udp"`, `"icmp"`, a protocol number as text, or `"-1"` for all.
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
    """A stateful group: what may come in and what may go out, each an independent gate."""

    id: str
    ingress: tuple[PlannedRule, ...] = ()
    egress: tuple[PlannedRule, ...] = ()


class AclEntry(msgspec.Struct, frozen=True):
    """One numbered line of a stateless network ACL; the lowest number that matches decides."""

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
    """A network interface. `host` is the name of the host it is plugged into, or None while it is in no host.

    `addresses` are its private addresses, the primary one first. `public` pairs (private, public) are translated one to one at the
    internet gateway. `forwards` switches the source/destination check off.
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
    """A NAT gateway: an interface of its own that masquerades what is routed to it."""

    id: str
    interface_id: str


class VpcPlan(msgspec.Struct, frozen=True):
    """Everything about one VPC that packets can feel. Not existing is asked for by `Fabric.remove_vpc(id)`.

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
    """The hosts of one deployment, as the management network knows them: those with the same `id` belong together.

    `peer_ports` are where the host accepts connections of the other hosts of its group (replication), `probe_ports` where it accepts
    those of the monitoring hosts.
    """

    id: str
    peer_ports: tuple[PortRange, ...] = ()
    probe_ports: tuple[PortRange, ...] = ()


class HostSpec(msgspec.Struct, frozen=True):
    """A computer. `name` is unique in the region (`db-orders-a`), `zone` a zone name.

    `directory` is its disk: an absolute path, seen at the same path from inside, created 0700 before power-on, kept through power-off.
    `readable` are further paths seen inside, read-only (an engine's installation). `management_address` is its address on the
    management network, over which zonal probes it and replicas replicate; None for a host that has none. `management_group` says with
    whom it may talk there; without it, with nobody.
    `vpc_id` is the VPC whose resolver it uses; its interfaces come from that VPC's plan (`InterfacePlan.host`). `internet_address` puts it
    straight into the internet instead, outside every VPC. `machine_files` lets it see the machine's files as they are, writable, for
    commands of this machine (`zonal exec`); every other host sees them read-only and without the region's state.
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
    """How a one-shot program on a host ended."""

    returncode: int
    stdout: bytes
    stderr: bytes
