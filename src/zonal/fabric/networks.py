"""Makes the kernel's networks match the plans: namespaces, links between them, ports into hosts, rules, routes.

All functions block and may be repeated: they read the kernel's state and add what is missing. `Fabric` calls them from one thread. Rules
are loaded before any interface is connected and any route is set, so that no packet passes a port without rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing

from zonal.fabric import firewall, vpc_networks
from zonal.fabric.device_names import (
    CORE_DEVICE,
    GATEWAY_DEVICE,
    MTU,
    core_name,
    core_transit_name,
    internet_link_name,
    mac,
    port_name,
    transit_name,
    zone_name,
)
from zonal.fabric.internet import INTERNET, INTERNET_NETWORK, INTERNET_RESOLVER, INTERNET_ROUTER
from zonal.fabric.linux import netlink
from zonal.fabric.linux.namespaces import Keep
from zonal.fabric.linux.netlink import MAIN, Address, KernelRoute, Neighbour, Netlink, NetlinkBatch
from zonal.fabric.management import MANAGEMENT, MANAGEMENT_NETWORK
from zonal.fabric.network_state import NetworkState, Router, settle
from zonal.fabric.plan import InterfacePlan, SubnetPlan, VpcPlan
from zonal.fabric.ruleset import Chain, Is, Masquerade, PacketRule, Ruleset, Verdict

OpenNamespace = Callable[[str], int | None]
"""Returns a new descriptor of the network namespace of a host by its name (the caller closes it), or None while it is off."""


class Networks:
    """All networks of the region."""

    def __init__(self, keep: Keep, zones: tuple[str, ...], open_host: OpenNamespace, core_made: Callable[[str, int], None]) -> None:
        self._keep = keep
        self._core_made = core_made
        self._zones = zones
        self._open_host = open_host
        self._routers: dict[str, Router] = {}

    def close(self) -> None:
        """Close every socket; the networks stay in the kernel."""
        while self._routers:
            self._routers.popitem()[1].close()

    def namespace(self, name: str) -> int:
        """The descriptor of a kept namespace, for creating sockets in it."""
        return self._router(name).namespace

    def cores(self) -> list[str]:
        """The networks whose cores exist, created by this region process or an earlier one."""
        return [name for name in self._keep.names() if not set(name) & {"@", "+"} and name != INTERNET]

    def start_internet(self) -> None:
        """Create the internet: a namespace with a router, from which connections of the outside world come as well."""
        router = self._router(INTERNET)
        addresses = frozenset({Address("lo", f"{INTERNET_ROUTER}/32"), Address("lo", f"{INTERNET_RESOLVER}/32")})
        nowhere = frozenset({KernelRoute(MAIN, "0.0.0.0/0", "blackhole")})
        router.settle(NetworkState(addresses, routes=nowhere), only_devices=frozenset({"", "lo"}))

    def apply(self, plan: VpcPlan) -> None:
        """Make one network match its plan."""
        core = self._router(core_name(plan.id))
        self._core_made(plan.id, core.namespace)  # Zone faults apply before the core is linked.
        for zone in self._zones:
            self._router(zone_name(plan.id, zone)).rules.apply(firewall.ruleset(plan, zone))
        self._join_zones(plan, core)
        self._join_transits(plan, core)
        if plan.id != MANAGEMENT:
            self._join_internet(plan, core)
        core.settle(vpc_networks.core_network_state(plan, self._zones))
        for gateway in plan.nat_gateways:
            self._start_nat(plan, gateway.id)
        self._plug_all(plan)
        for zone in self._zones:
            self._router(zone_name(plan.id, zone)).settle(vpc_networks.zone_network_state(plan, zone))
        self._forget_nats(plan)

    def remove(self, id: str) -> None:
        """Remove a network. Does nothing when there is none."""
        if INTERNET in self._routers:
            self._router(INTERNET).delete(internet_link_name(id))
        for name in self._keep.names():
            if name == core_name(id) or name.startswith((f"{id}@", f"{id}+")):
                if name in self._routers:
                    self._routers.pop(name).close()
                self._keep.remove(name)

    def make_host_namespace(self, name: str) -> int:
        """Create a kept namespace for a host without processes (a monitoring host). Returns its descriptor."""
        namespace = self._keep.make(name)
        with closing(Netlink(namespace)) as inner:
            _switch_on(inner, "lo")
        return namespace

    def plug(self, network: str, subnet: SubnetPlan, interface: InterfacePlan, host: int) -> None:
        """Connect an interface to the host with this namespace. Does nothing when it is connected."""
        with closing(Netlink(host)) as inner:  # Closed at once, because a socket keeps its namespace alive.
            here = self._router(INTERNET if network == INTERNET else zone_name(network, subnet.zone))
            if not any(device.mac == interface.mac for device in inner.devices().values()):
                here.delete(port_name(interface.id))
                batch = NetlinkBatch()
                netlink.add_pair(
                    batch,
                    port_name(interface.id),
                    mac=mac("port", interface.id),
                    peer=vpc_networks.device_name(interface),
                    peer_mac=interface.mac,
                    peer_namespace=host,
                    mtu=MTU,
                )
                here.netlink.run(batch)
            _settle_host(network, subnet, interface, inner)

    def plug_into_internet(self, interface: InterfacePlan, host: int) -> None:
        """Connect an interface to the internet, outside every VPC."""
        subnet = SubnetPlan(INTERNET, "", INTERNET_NETWORK, (), "")
        self.plug(INTERNET, subnet, interface, host)
        port = port_name(interface.id)
        neighbours = tuple(Neighbour(port, address, interface.mac) for address in interface.addresses)
        routes = frozenset(KernelRoute(MAIN, f"{address}/32", device=port) for address in interface.addresses)
        self._router(INTERNET).settle(NetworkState(neighbours=neighbours, routes=routes), only_devices=frozenset({port}))

    def _router(self, name: str) -> Router:
        """The namespace of that name, created and prepared if it is missing."""
        if name not in self._routers:
            is_new = self._keep.descriptor(name) is None
            router = Router(self._keep.make(name))
            if is_new or not router.netlink.devices()["lo"].up:  # The region may have been killed between the two.
                router.prepare()
            self._routers[name] = router
        return self._routers[name]

    def _join_zones(self, plan: VpcPlan, core: Router) -> None:
        devices = core.netlink.devices()
        batch = NetlinkBatch()
        for zone in self._zones:
            if zone not in devices:
                peer_mac, peer = mac(plan.id, zone, "zone side"), self.namespace(zone_name(plan.id, zone))
                netlink.add_pair(
                    batch,
                    zone,
                    mac=mac(plan.id, zone, "core side"),
                    peer=CORE_DEVICE,
                    peer_mac=peer_mac,
                    peer_namespace=peer,
                    mtu=MTU,
                )
        core.netlink.run(batch)
        for zone in self._zones:
            self._router(zone_name(plan.id, zone)).switch(CORE_DEVICE)

    def _join_transits(self, plan: VpcPlan, core: Router) -> None:
        """Create the links for routes to interfaces in other zones, and remove those without a route."""
        links = vpc_networks.transit_links(plan)
        for zone in self._zones:
            router, wanted = self._router(zone_name(plan.id, zone)), {transit_name(link.target.id) for link in links if link.zone == zone}
            router.delete(*(name for name in router.netlink.devices() if name.startswith("t") and name not in wanted))
        devices = core.netlink.devices() if links else {}
        missing = [link for link in links if core_transit_name(link.zone, link.target.id) not in devices]
        batch = NetlinkBatch()
        for link in missing:
            netlink.add_pair(
                batch,
                core_transit_name(link.zone, link.target.id),
                mac=mac(plan.id, link.zone, link.target.id, "core side"),
                peer=transit_name(link.target.id),
                peer_mac=mac(plan.id, link.zone, link.target.id, "zone side"),
                peer_namespace=self.namespace(zone_name(plan.id, link.zone)),
                mtu=MTU,
            )
        core.netlink.run(batch)
        for link in links:
            self._router(zone_name(plan.id, link.zone)).switch(transit_name(link.target.id))
        if missing:
            self._core_made(plan.id, core.namespace)  # Delays of zones apply to the new links, too.

    def _join_internet(self, plan: VpcPlan, core: Router) -> None:
        link, internet = internet_link_name(plan.id), self._router(INTERNET)
        if not plan.internet_gateway:
            core.delete(GATEWAY_DEVICE)
            core.rules.remove("gateway")
            return
        core.rules.apply(vpc_networks.gateway_rules(plan))
        if GATEWAY_DEVICE not in core.netlink.devices():
            internet.delete(link)
            ends = {"mac": mac(plan.id, "gateway side"), "peer_mac": mac(plan.id, "internet side")}
            batch = NetlinkBatch()
            netlink.add_pair(batch, GATEWAY_DEVICE, peer=link, peer_namespace=internet.namespace, mtu=MTU, **ends)
            core.netlink.run(batch)
        internet.switch(link)
        internet.settle(vpc_networks.internet_network_state(plan, link), only_devices=frozenset({link}))

    def _start_nat(self, plan: VpcPlan, gateway: str) -> None:
        rules = (PacketRule(Masquerade(), (Is("oifname", "eth0"),)),)
        mute = (PacketRule(Verdict("drop"), (Is("iifname", "eth0"),)),)
        chains = (Chain("masquerade", rules, "postrouting", 100, "nat"), Chain("input", mute, "input", 0))
        self._router(f"{plan.id}+{gateway}").rules.apply(Ruleset("nat", chains))

    def _forget_nats(self, plan: VpcPlan) -> None:
        wanted = {f"{plan.id}+{gateway.id}" for gateway in plan.nat_gateways}
        for name in self._keep.names():
            if name.startswith(f"{plan.id}+") and name not in wanted:
                if name in self._routers:
                    self._routers.pop(name).close()
                self._keep.remove(name)

    def _plug_all(self, plan: VpcPlan) -> None:
        """Connect every interface whose host is on, and remove every port that is not in the plan."""
        subnets = {subnet.id: subnet for subnet in plan.subnets}
        nats = {gateway.interface_id: gateway.id for gateway in plan.nat_gateways}
        plugged: dict[str, set[str]] = {zone: set() for zone in self._zones}
        for interface in plan.interfaces:
            host = self._open(plan.id, interface, nats.get(interface.id))
            if host is not None:
                subnet = subnets[interface.subnet_id]
                plugged[subnet.zone].add(port_name(interface.id))
                try:
                    self.plug(plan.id, subnet, interface, host)
                finally:
                    os.close(host)
        for zone in self._zones:
            router = self._router(zone_name(plan.id, zone))
            router.delete(*(name for name in router.netlink.devices() if name.startswith("p") and name not in plugged[zone]))

    def _open(self, network: str, interface: InterfacePlan, nat: str | None) -> int | None:
        if nat is not None:
            return os.dup(self.namespace(f"{network}+{nat}"))
        if interface.host is None:
            return None
        kept = self._keep.descriptor(interface.host)
        return os.dup(kept) if kept is not None else self._open_host(interface.host)


def _settle_host(network: str, subnet: SubnetPlan, interface: InterfacePlan, inner: Netlink) -> None:
    _switch_on(inner, vpc_networks.device_name(interface))
    reaches = MANAGEMENT_NETWORK if network == MANAGEMENT else "0.0.0.0/0"
    wanted = vpc_networks.host_network_state(subnet.cidr, interface, reaches=reaches)
    settle(inner, wanted, only_devices=frozenset({vpc_networks.device_name(interface)}))


def switch_off(host: int) -> None:
    """Switch off all interfaces of the host with this namespace, except `lo`: it neither receives nor sends."""
    with closing(Netlink(host)) as inner:
        batch = NetlinkBatch()
        for name, device in inner.devices().items():
            if name != "lo":
                netlink.set_up(batch, device.number, up=False)
        inner.run(batch, forgive=netlink.ABSENT_ERRNOS)


def _switch_on(socket: Netlink, device: str) -> None:
    batch = NetlinkBatch()
    netlink.set_up(batch, socket.devices()[device].number)
    socket.run(batch)
