"""The desired network state of a namespace, and its application.

A `NetworkState` holds the addresses, neighbours, routes and routing rules of one namespace. `Router.settle` compares it with the kernel's
and sends the difference in one batch: additions first, then removals. Entries that match are not touched, so connections survive every
change that does not concern them. Routes over a missing device (the port of a host that is off) are left out.
"""

from __future__ import annotations

from typing import NamedTuple

from zonal.fabric.linux import netlink
from zonal.fabric.linux.namespaces import inside, set_kernel_variable
from zonal.fabric.linux.netlink import Address, Device, KernelRoute, Neighbour, Netlink, NetlinkBatch, RoutingRule
from zonal.fabric.linux.nftables import Nftables


class NetworkState(NamedTuple):
    addresses: frozenset[Address] = frozenset()
    neighbours: tuple[Neighbour, ...] = ()
    routes: frozenset[KernelRoute] = frozenset()
    rules: frozenset[RoutingRule] = frozenset()


class Router:
    """The network side of one namespace: its devices and routes (`netlink`) and its packet rules (`rules`)."""

    def __init__(self, namespace: int) -> None:
        self.namespace = namespace
        self.netlink = Netlink(namespace)
        self.rules = Nftables(namespace)
        self.delayed: set[str] = set()

    def close(self) -> None:
        self.netlink.close()
        self.rules.close()

    def prepare(self) -> None:
        """Let a new namespace forward packets, without redirects and source filters of its own."""
        with inside(self.namespace):
            for name, value in FORWARDING.items():
                set_kernel_variable(name, value)
        self.switch("lo")

    def switch(self, device: str, *, up: bool = True) -> None:
        """Switch a device on or off. Does nothing when it is missing."""
        found = self.netlink.devices().get(device)
        if found is not None and found.up != up:
            batch = NetlinkBatch()
            netlink.set_up(batch, found.number, up=up)
            self.netlink.run(batch, forgive=netlink.ABSENT_ERRNOS)

    def delete(self, *names: str) -> None:
        """Remove devices; missing ones are ignored."""
        if not names:
            return
        devices = self.netlink.devices()
        batch = NetlinkBatch()
        for name in names:
            if name in devices:
                netlink.delete_device(batch, devices[name].number)
        if batch:
            self.netlink.run(batch, forgive=netlink.ABSENT_ERRNOS)

    def settle(self, wanted: NetworkState, *, only_devices: frozenset[str] | None = None) -> None:
        """Apply a state to the namespace; see the function `settle`."""
        settle(self.netlink, wanted, only_devices=only_devices)


def settle(socket: Netlink, wanted: NetworkState, *, only_devices: frozenset[str] | None = None) -> None:
    """Apply a state to a namespace. `only_devices` limits removals to entries of these devices ("": entries without one)."""
    devices = socket.devices()
    routes, rules = socket.routes(), socket.rules()
    addresses = {row for row in socket.addresses() if row.address != "127.0.0.1/8"}
    mine = [row for rows in (addresses, routes, rules) for row in rows if only_devices is None or row.device in only_devices]
    possible = {row for row in wanted.routes if not row.device or row.device in devices}
    batch = NetlinkBatch()
    _add(batch, wanted, devices, addresses, possible - routes, wanted.rules - rules)
    replaced = {(row.table, row.cidr, row.metric) for row in possible - routes}
    gone = [row for row in mine if row not in wanted.addresses and row not in possible and row not in wanted.rules]
    _remove(batch, devices, [row for row in gone if not (isinstance(row, KernelRoute) and (row.table, row.cidr, row.metric) in replaced)])
    if batch:
        socket.run(batch, forgive=netlink.ABSENT_ERRNOS)


def _add(
    batch: NetlinkBatch,
    wanted: NetworkState,
    devices: dict[str, Device],
    had: set[Address],
    routes: set[KernelRoute],
    rules: frozenset[RoutingRule],
) -> None:
    for address in sorted(wanted.addresses - had):
        if address.device in devices:
            netlink.address(batch, address, devices[address.device].number)
    for neighbour in wanted.neighbours:
        if neighbour.device in devices:
            netlink.neighbour(batch, neighbour, devices[neighbour.device].number)
    for route in sorted(routes, key=lambda row: (bool(row.gateway), row)):  # The kernel accepts a gateway only when it is reachable.
        netlink.route(batch, route, devices[route.device].number if route.device else None)
    for rule in sorted(rules):
        netlink.rule(batch, rule)


def _remove(batch: NetlinkBatch, devices: dict[str, Device], rows: list[Address | KernelRoute | RoutingRule]) -> None:
    for row in sorted(rows, key=lambda each: not isinstance(each, RoutingRule)):  # Rules are removed before the tables that they refer to.
        index = devices[row.device].number if row.device in devices else None
        match row:
            case RoutingRule():
                netlink.rule(batch, row, there=False)
            case KernelRoute():
                netlink.route(batch, row, index, there=False)
            case Address() if index is not None:
                netlink.address(batch, row, index, there=False)


FORWARDING = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/default/accept_redirects": "0",
    "net/netfilter/nf_conntrack_tcp_be_liberal": "1",
}
"""The firewall checks sources, so the kernel's reverse path filter is off. AWS's router sends no redirects."""
