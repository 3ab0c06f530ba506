"""Hosts on which commands of this machine run inside the region (`zonal exec`, the clients of a drill).

Such a host sees this machine's files and has one network interface: in a subnet, with security groups and recorded as EC2 records every
interface (its requester is `zonal-exec`), so that rules and routes apply to it as to any other; or in the internet, outside every VPC. Its
`HostRecord` is written in the same transaction, and `control.host_reconciler` powers it on. `fabric.nsenter` moves a command onto it. A
command may also run on a host of the region that exists already; that host is never removed here.

The caller releases its host. When a caller ends without doing so (it was killed, or its terminal was closed), the host and the command on
it are removed within a second: the caller holds a lease (`foundation.leases`) that the record names, so that a restarted region finds out
as well. A host without a lease is removed after a while when no process runs on it. On a host that existed already, only the command is
killed; it is found by the id in its environment.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from msgspec.structs import replace

from zonal.control.host_records import VOLATILE_DISKS, HostRecord, RootFileSystem, allocate_internet_address, create_host
from zonal.fabric.hosts import EXEC_VARIABLE, LinuxHost
from zonal.fabric.plan import VpcPlan
from zonal.foundation import leases
from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError, ZonalError
from zonal.operator_api.schemas import CommandRequest, PreparedCommand
from zonal.records.record_view import RecordView
from zonal.records.store import Record, Store, Transaction
from zonal.services.ec2 import lookups, network_interfaces
from zonal.services.ec2.model import Subnet
from zonal.services.ec2.vpc_reconciler import vpc_plan

REQUESTER = "zonal-exec"
INTERNET = "internet"
DEFAULT = "default"
EXEC = "exec"
"""The kind of owner of these hosts; the owner's id is that of the `ExecHost`."""

EMPTY_SECONDS = 60.0
EMPTINESS_CHECK_SECONDS = 30.0

_log = logging.getLogger(__name__)


class ExecHostUnknown(ZonalError):
    """There is no such place to run a command in, or it cannot be used now; the message names what can be used."""


class ExecHost(Record, frozen=True, kw_only=True):
    """A host for a command; the id is the host's name. `vpc_id` and `interface_id` are empty in the internet.

    `host` is the name of the host that existed already, where the command runs on one. `lease` is the caller's, if it holds one. `made` is
    a monotonic clock reading.
    """

    kind: ClassVar[str] = "command-place"

    zone: str
    address: str = ""
    vpc_id: str = ""
    interface_id: str = ""
    host: str = ""
    lease: str = ""
    made: float


class HostLookup(Protocol):
    """Hosts by name (`fabric.hosts.Hosts`)."""

    def get(self, name: str) -> LinuxHost | None: ...


class HostPowerControl(Protocol):
    """Powers recorded hosts on and removes them (`control.host_reconciler.HostReconciler`)."""

    async def power_on(self, id: str) -> None: ...

    async def remove(self, id: str) -> None: ...


class ExecFabric(Protocol):
    """The part of the fabric that commands need (`fabric.fabric.Fabric`)."""

    @property
    def hosts(self) -> HostLookup: ...

    async def apply_vpc(self, plan: VpcPlan) -> None: ...


def is_needed_by_command(view: RecordView, record: HostRecord) -> bool:
    """Whether the command that owns a host is still recorded."""
    return view.get(ExecHost, record.owner_id) is not None


class ExecHosts:
    """Creates hosts for commands and removes them."""

    def __init__(
        self, store: Store, fabric: ExecFabric, hosts: HostPowerControl, clock: Clock, *, leases: Path, lost: Callable[[str], bool]
    ) -> None:
        """`leases` is the directory of the callers' leases."""
        self._store = store
        self._hosts = hosts
        self._leases = leases
        self._preparing: set[str] = set()
        self._emptiness_checked = float("-inf")
        self._fabric = fabric
        self._clock = clock
        self._lost = lost

    async def prepare(self, request: CommandRequest) -> PreparedCommand:
        """Create the requested host, powered on. Raises `ExecHostUnknown`, and `HostUnreachable` when its zone is lost."""
        host = self._fabric.hosts.get(request.place)
        if request.security_groups and (host is not None or request.place == INTERNET):
            raise ExecHostUnknown(f"{request.place} takes no security groups: only a place in a subnet has an interface of its own")
        if request.lease and not leases.is_name(request.lease):
            raise ExecHostUnknown(f"{request.lease!r} is not the name of a lease")
        if host is not None and not request.lease:
            return PreparedCommand("", host.init.pid, (), host.management_address, host.zone)
        record = self._record(request, host)
        if host is not None:
            return _place(record, host)
        self._preparing.add(record.id)
        try:
            return _place(record, await self._open(record))
        finally:
            self._preparing.discard(record.id)

    async def release(self, id: str) -> None:
        """Remove a host and kill the command on it. Does nothing when there is none."""
        record = self._store.get(ExecHost, id)
        if record is None:
            return
        host = self._fabric.hosts.get(record.host or record.id)
        if not record.host:
            await self._hosts.remove(record.id)
        elif host is not None:
            await host.end_command(record.id)
        with self._store.transaction() as tx:
            if record.interface_id:
                network_interfaces.delete(tx, record.interface_id)
            tx.delete(ExecHost, id)
        if record.lease:
            leases.discard(self._leases, record.lease)

    async def tidy(self) -> None:
        """Remove the hosts whose callers ended and, every `EMPTINESS_CHECK_SECONDS`, those without a lease on which nothing runs."""
        for record in self._store.select(ExecHost):
            if record.lease and record.id not in self._preparing and not leases.is_held(self._leases, record.lease):
                await self._remove_abandoned(record, "its caller ended")
        if self._clock.monotonic() - self._emptiness_checked < EMPTINESS_CHECK_SECONDS:
            return
        self._emptiness_checked = self._clock.monotonic()
        for record in self._store.select(ExecHost):
            if not record.lease and self._is_abandoned(record):
                await self._remove_abandoned(record, "nothing runs in it")
        leases.discard_stray(self._leases, known={record.lease for record in self._store.select(ExecHost)})

    def _is_abandoned(self, record: ExecHost) -> bool:
        """Whether a host without a lease is older than `EMPTY_SECONDS` and either gone or without processes.

        A younger one may not be powered on yet, because it is recorded first. A reading of an earlier boot's clock counts as old.
        """
        host = self._fabric.hosts.get(record.id)
        is_young = 0 <= self._clock.monotonic() - record.made < EMPTY_SECONDS
        return not is_young and (host is None or not _runs_anything(host))

    async def _remove_abandoned(self, record: ExecHost, reason: str) -> None:
        try:
            await self.release(record.id)
        except Exception:  # The others are removed nevertheless, and this one is tried again.
            _log.warning("the host %s of a command could not be removed", record.id, exc_info=True)
            return
        with self._store.transaction() as tx:
            tx.note("place.abandoned", record.id, zone=record.zone, reason=reason)

    def _record(self, request: CommandRequest, host: LinuxHost | None) -> ExecHost:
        """Choose where the command runs, and record it with its host and its interface."""
        name = f"exec-{secrets.token_hex(4)}"
        with self._store.transaction() as tx:
            if host is not None:
                exec_host = ExecHost(id=name, zone=host.zone, address=host.management_address, host=host.name, made=self._clock.monotonic())
            elif request.place == INTERNET:
                address = allocate_internet_address(tx)
                exec_host = ExecHost(id=name, zone="", address=address, made=self._clock.monotonic())
                create_host(tx, _host_record(exec_host, internet_address=address))
            else:
                exec_host = self._in_subnet(tx, name, self._subnet(tx, request.place), request.security_groups)
                create_host(tx, _host_record(exec_host))
            exec_host = replace(exec_host, lease=request.lease)
            tx.put(exec_host)
            tx.note("place.made", exec_host.id, where=request.place, zone=exec_host.zone, address=exec_host.address)
        return exec_host

    def _in_subnet(self, tx: Transaction, name: str, subnet: Subnet, groups: tuple[str, ...]) -> ExecHost:
        if self._lost(subnet.zone):
            raise ExecHostUnknown(f"{subnet.id} is in {subnet.zone}, which is lost; `zonal recover {subnet.zone}` puts it back")
        chosen = groups or (lookups.default_security_group(tx, subnet.vpc_id).id,)
        try:
            interface = network_interfaces.create_managed(tx, subnet, chosen, requester=REQUESTER, description=f"zonal exec {name}")
        except AwsError as error:
            raise ExecHostUnknown(error.message) from error
        network_interfaces.plug(tx, interface.id, name, now=self._clock.now())
        return ExecHost(
            id=name,
            zone=subnet.zone,
            address=interface.addresses[0],
            vpc_id=subnet.vpc_id,
            interface_id=interface.id,
            made=self._clock.monotonic(),
        )

    def _subnet(self, view: RecordView, exec_host: str) -> Subnet:
        if exec_host != DEFAULT:
            subnet = view.get(Subnet, exec_host)
            if subnet is None:
                raise ExecHostUnknown(f"there is no place '{exec_host}'; give a subnet's id, a host's name, {INTERNET} or {DEFAULT}")
            return subnet
        vpc = lookups.default_vpc(view)
        subnets = [each for each in lookups.subnets(view, vpc.id) if each.is_default] if vpc else []
        there = sorted((each for each in subnets if not self._lost(each.zone)), key=lambda each: each.zone)
        if not there:
            raise ExecHostUnknown("there is no default subnet in a zone that can be reached; give a subnet's id with --in")
        return there[0]

    async def _open(self, record: ExecHost) -> LinuxHost:
        try:
            plan = vpc_plan(self._store, record.vpc_id) if record.vpc_id else None
            if plan is not None:
                await self._fabric.apply_vpc(plan)
            await self._hosts.power_on(record.id)
            host = self._fabric.hosts.get(record.id)
            if host is None:
                raise ExecHostUnknown(f"{record.id} was removed before its command could start")
            return host
        except BaseException:
            await self.release(record.id)
            raise


def _place(record: ExecHost, host: LinuxHost) -> PreparedCommand:
    return PreparedCommand(record.id, host.init.pid, ((EXEC_VARIABLE, record.id),), record.address, record.zone)


def _host_record(exec_host: ExecHost, *, internet_address: str = "") -> HostRecord:
    return HostRecord(
        id=exec_host.id,
        owner_kind=EXEC,
        owner_id=exec_host.id,
        zone=exec_host.zone,
        vpc_id=exec_host.vpc_id,
        interface_ids=(exec_host.interface_id,) if exec_host.interface_id else (),
        internet_address=internet_address,
        root=RootFileSystem(f"{VOLATILE_DISKS}/{exec_host.id}", machine_files=True),
    )


def _runs_anything(host: LinuxHost) -> bool:
    """Whether a process runs on the host besides its init and the init's `sleep`."""
    inside = _process_namespace(Path(f"/proc/{host.init.pid}"))
    if inside is None:
        return False
    return sum(_process_namespace(path) == inside for path in Path("/proc").iterdir() if path.name.isdigit()) > 2


def _process_namespace(process: Path) -> Path | None:
    try:
        return (process / "ns" / "pid").readlink()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None  # The process has ended.
