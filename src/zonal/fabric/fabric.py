"""The facade of the fabric: zone faults, networks by plan, hosts, monitoring hosts and names.

`start` finds or creates the internet, the management network and the monitoring hosts, and finds what an earlier region process left in the
kernel. `stop` releases sockets and threads but removes nothing, because programs on hosts outlive the region process. One thread does the
kernel work in order; only zone faults do not wait for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from zonal.fabric import vpc_networks
from zonal.fabric.device_names import mac, zone_name
from zonal.fabric.dns import NameTable, Resolver, open_sockets
from zonal.fabric.exposure import Exposure
from zonal.fabric.hosts import HostNetworking, Hosts, LinuxHost
from zonal.fabric.impairments import Impairments
from zonal.fabric.internet import INTERNET, INTERNET_RESOLVER
from zonal.fabric.linux.namespaces import Keep, inside
from zonal.fabric.management import management_plan, monitor_name
from zonal.fabric.monitors import MonitorHosts
from zonal.fabric.networks import Networks, switch_off
from zonal.fabric.plan import HostSpec, InterfacePlan, VpcPlan
from zonal.fabric.zones import ZONES, Zone, ZoneFault, Zones, check

T = TypeVar("T")

RUN = "run"
"""The directory below the state directory on which the sandbox mounts a tmpfs."""


class Fabric:
    """The fabric of one region. Belongs to one event loop."""

    def __init__(self, state: Path, *, faults: Mapping[str, ZoneFault] | None = None, ttl_seconds: int = 5) -> None:
        """`state` is the region's state directory; `faults` are the recorded faults by zone name."""
        self.state = state
        self.zones = Zones()
        self.zones.faults.update(faults or {})
        self.monitors = MonitorHosts()
        self.names = NameTable(ttl_seconds, memory=state / RUN)
        self.exposure = Exposure(state, state / RUN)
        host_networking = HostNetworking(plug=self._plug, unplug=self._unplug, resolver=self._resolver)
        self.hosts = Hosts(self.zones, host_networking, records=state / RUN / "hosts", state=state)
        self._keep = Keep(state / RUN / "net")
        self._impairments = Impairments()
        zone_names = tuple(zone.name for zone in ZONES)
        self._networks = Networks(self._keep, zone_names, self._open_host, self._core_made)
        self._plans: dict[str, VpcPlan] = {}
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._resolvers: dict[str, Resolver] = {}
        self._thread = ThreadPoolExecutor(1, "fabric")

    async def start(self) -> None:
        """Find or create the basic networks, and load the hosts of an earlier region process."""
        self.hosts.load()
        await self._work(self._start)
        for zone, fault in self.zones.faults.items():
            if fault.is_loss_of_zone:
                self.names.freeze(zone)
        await self._open_resolver(INTERNET, (INTERNET_RESOLVER,), Resolver(self.names))
        self.exposure.start(self._networks.namespace(INTERNET))

    async def stop(self) -> None:
        """Release sockets and threads; networks and hosts stay in the kernel."""
        self.monitors.close()
        await self.exposure.stop()
        for resolver in self._resolvers.values():
            resolver.close()
        await self._work(self._close)
        self._thread.shutdown(wait=False)

    async def apply_vpc(self, plan: VpcPlan) -> None:
        """Make the kernel match the plan. Existing connections survive every change that does not concern them.

        May be called concurrently for one VPC: its changes are made one after the other, so that nothing is created twice.
        """
        self._plans[plan.id] = plan
        async with self._changing[plan.id]:
            latest = self._plans.get(plan.id)
            if latest is None:
                return  # The VPC was removed.
            await self._work(lambda: self._networks.apply(latest))
            await self._resolve(latest)

    async def remove_vpc(self, id: str) -> None:
        """Remove a VPC. Does nothing when there is none."""
        self._plans.pop(id, None)
        async with self._changing[id]:
            if id in self._plans:
                return  # The VPC was created again.
            self._impairments.forget(id)
            for zone in ZONES:
                await self._close_resolver(zone_name(id, zone.name))
            await self._work(lambda: self._networks.remove(id))

    async def expose(self, public_address: str, port: int) -> str:
        """Let the host reach a public endpoint. Returns its loopback address. Raises `NotExposed`."""
        return await self.exposure.expose(public_address, port)

    async def unexpose(self, public_address: str, port: int) -> None:
        """Undo `expose`. Does nothing when the endpoint is not exposed."""
        await self.exposure.unexpose(public_address, port)

    async def fail_zone(self, zone: str, fault: ZoneFault) -> Zone:
        """Inject a zone fault, which the caller has recorded; it is in force on return. A repetition applies it to new hosts as well.

        Raises `UnknownZone`, `BadFault`, and `NoDelay` when the kernel cannot delay packets (nothing is changed then).
        """
        check(fault)
        found = self.zones.find(zone)
        before = dict(self.zones.faults)
        self.zones.faults[found.name] = fault
        try:
            self._impairments.apply(self.zones.faults)
        except Exception:
            self.zones.faults.clear()
            self.zones.faults.update(before)
            self._impairments.apply(before)
            raise
        if fault.is_loss_of_zone:
            self.names.freeze(found.name)
        else:
            self.names.thaw(found.name)
        if fault.kind == "power":
            hosts = [host for host in self.hosts.all() if host.zone == found.name]
            for host in hosts:
                host.init.send(signal.SIGKILL)  # All at once; `lose_power` then completes each of them.
            await asyncio.gather(*(host.lose_power() for host in hosts))
        return found

    async def recover_zone(self, zone: str) -> Zone:
        """Remove the fault of a zone. Hosts that lost power stay off until they are powered on. Raises `UnknownZone`."""
        found = self.zones.find(zone)
        self.zones.faults.pop(found.name, None)
        self._impairments.apply(self.zones.faults)
        self.names.thaw(found.name)
        return found

    async def _resolve(self, plan: VpcPlan) -> None:
        """Serve the VPC's resolver in every zone, at the plan's addresses."""
        for zone in ZONES:
            resolver = Resolver(self.names, zone=zone.name, cidrs=plan.cidrs)
            await self._open_resolver(zone_name(plan.id, zone.name), vpc_networks.resolver_addresses(plan), resolver)

    async def _open_resolver(self, network: str, addresses: tuple[str, ...], resolver: Resolver) -> None:
        """Serve a resolver at these addresses of a network. Its sockets stay open while the addresses are the same."""
        known = self._resolvers.get(network)
        if known is not None and known.addresses == addresses:
            known.networks = resolver.networks
            return
        await self._close_resolver(network)

        def work() -> list[socket.socket]:
            with inside(self._networks.namespace(network)):
                return open_sockets(addresses)

        await resolver.serve(await self._work(work), addresses)
        self._resolvers[network] = resolver

    async def _close_resolver(self, network: str) -> None:
        if network in self._resolvers:
            self._resolvers.pop(network).close()
            await asyncio.sleep(0)  # The event loop closes a listener's socket in its next iteration; until then the address is in use.

    def _start(self) -> None:
        for core in self._networks.cores():  # Existing networks must have the recorded zone faults before their plans are known again.
            self._core_made(core, self._networks.namespace(core))
        self._networks.start_internet()
        for zone in ZONES:
            self._networks.make_host_namespace(monitor_name(zone.name))
        self._networks.apply(self._management_plan())
        for zone in ZONES:
            namespace = self._keep.descriptor(monitor_name(zone.name))
            assert namespace is not None
            self.monitors.add(zone.name, namespace)

    def _close(self) -> None:
        self._impairments.close()
        self._networks.close()
        self._keep.close()

    def _management_plan(self) -> VpcPlan:
        return management_plan(host.spec for host in self.hosts.all())

    async def _plug(self, host: LinuxHost) -> None:
        """Connect every interface of a host that was powered on."""
        await self._work(lambda: self._plug_now(host))

    def _plug_now(self, host: LinuxHost) -> None:
        if host.management_address:
            self._networks.apply(self._management_plan())
        for plan in list(self._plans.values()):
            if any(each.host == host.name for each in plan.interfaces):
                self._networks.apply(plan)
        namespace = host.open_namespace() if host.spec.internet_address else None
        if namespace is not None:
            try:
                self._networks.plug_into_internet(_internet_interface(host), namespace)
            finally:
                os.close(namespace)

    async def _unplug(self, host: LinuxHost) -> None:
        """Switch off every interface inside the host, which needs no plan. The other ends are removed with its namespace."""
        namespace = host.open_namespace()
        if namespace is not None:
            try:
                await self._work(lambda: switch_off(namespace))
            finally:
                os.close(namespace)

    def _resolver(self, spec: HostSpec) -> tuple[str, ...]:
        if spec.internet_address:
            return (INTERNET_RESOLVER,)
        plan = self._plans.get(spec.vpc_id or "")
        return vpc_networks.resolver_addresses(plan)[:1] if plan else (vpc_networks.RESOLVER,)

    def _open_host(self, name: str) -> int | None:
        host = self.hosts.get(name)
        return host.open_namespace() if host else None

    def _core_made(self, network: str, namespace: int) -> None:
        self._impairments.add(network, namespace, self.zones.faults)

    async def _work(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _internet_interface(host: LinuxHost) -> InterfacePlan:
    assert host.spec.internet_address
    return InterfacePlan(f"internet-{host.name}", INTERNET, mac("internet", host.name), (host.spec.internet_address,), (), host.name)
