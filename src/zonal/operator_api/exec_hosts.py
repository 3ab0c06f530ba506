"""Places for commands of this machine inside the region (`zonal exec`, a drill's clients).

A place is a host of its own that sees this machine's files, with one network interface: in a subnet, with security groups, recorded as
EC2 records every interface (its requester is `zonal-exec`), so that rules and routes hold for it as for anything else; or in the internet,
outside every VPC. `fabric.nsenter` says how a command gets there.

Whoever asked for a place gives it back. A place whose asker ended without that (killed, or its terminal was closed) is taken back within
a second, with the command that still runs in it: the asker holds a lease (`foundation.leases`), which the record of the place names, so a
region that was started again meanwhile finds out as well. A place without a lease is found by its emptiness: a host on which nothing runs
any more is removed after a while. In a host of the region that is there anyway, only the command is ended, by the id in its environment.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from msgspec.structs import replace

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
EMPTY_SECONDS = 60.0
EMPTINESS_CHECK_SECONDS = 30.0

_log = logging.getLogger(__name__)


class ExecHostUnknown(ZonalError):
    """There is no such place to run a command in, or it cannot be used now; the message says what there is."""


class ExecHost(Record, frozen=True, kw_only=True):
    """A place that was made, by its host's name. What it has of a VPC is empty for one in the internet; `made` is a stopwatch reading.

    `host` names the host of a place in one that is there anyway; `lease` is its asker's, if there is one.
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

    async def remove(self, name: str) -> None: ...


class ExecFabric(Protocol):
    """What is asked of the fabric (`fabric.fabric.Fabric`)."""

    @property
    def hosts(self) -> HostLookup: ...

    async def apply_vpc(self, plan: VpcPlan) -> None: ...

    async def prepare_exec(self, name: str, *, zone: str, vpc_id: str | None) -> LinuxHost: ...


class ExecHosts:
    """Makes places and takes them back."""

    def __init__(self, store: Store, fabric: ExecFabric, clock: Clock, *, leases: Path, lost: Callable[[str], bool]) -> None:
        """`leases` is the directory of the askers' leases."""
        self._store = store
        self._leases = leases
        self._preparing: set[str] = set()
        self._emptiness_checked = float("-inf")
        self._fabric = fabric
        self._clock = clock
        self._lost = lost

    async def prepare(self, request: CommandRequest) -> PreparedCommand:
        """Make the place that was asked for. Raises `ExecHostUnknown`, and `HostUnreachable` where its zone is lost."""
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
        """Take a place back, with whatever still runs in it; nothing happens where there is none."""
        record = self._store.get(ExecHost, id)
        if record is None:
            return
        host = self._fabric.hosts.get(record.host or record.id)
        if not record.host:
            await self._fabric.hosts.remove(record.id)
        elif host is not None:
            await host.end_command(record.id)
        with self._store.transaction() as tx:
            if record.interface_id:
                network_interfaces.delete(tx, record.interface_id)
            tx.delete(ExecHost, id)
        if record.lease:
            leases.discard(self._leases, record.lease)

    async def tidy(self) -> None:
        """Take back the places whose askers are gone, and now and then those without a lease in which nothing runs."""
        for record in self._store.select(ExecHost):
            if record.lease and record.id not in self._preparing and not leases.is_held(self._leases, record.lease):
                await self._take_back(record, "its caller ended")
        if self._clock.monotonic() - self._emptiness_checked < EMPTINESS_CHECK_SECONDS:
            return
        self._emptiness_checked = self._clock.monotonic()
        for record in self._store.select(ExecHost):
            if not record.lease and self._is_abandoned(record):
                await self._take_back(record, "nothing runs in it")
        leases.discard_stray(self._leases, known={record.lease for record in self._store.select(ExecHost)})

    def _is_abandoned(self, record: ExecHost) -> bool:
        """Whether a place without a lease is a minute old and has no host any more, or one in which nothing runs.

        A younger one may be on its way: it is recorded before it is made. The stopwatch of an earlier boot of the machine counts as old.
        """
        host = self._fabric.hosts.get(record.id)
        is_young = 0 <= self._clock.monotonic() - record.made < EMPTY_SECONDS
        return not is_young and (host is None or not _runs_anything(host))

    async def _take_back(self, record: ExecHost, reason: str) -> None:
        try:
            await self.release(record.id)
        except Exception:  # The others are taken back all the same, and this one is tried again.
            _log.warning("the place %s could not be taken back", record.id, exc_info=True)
            return
        with self._store.transaction() as tx:
            tx.note("place.abandoned", record.id, zone=record.zone, reason=reason)

    def _record(self, request: CommandRequest, host: LinuxHost | None) -> ExecHost:
        """Choose and record the place, with its interface."""
        name = f"exec-{secrets.token_hex(4)}"
        with self._store.transaction() as tx:
            if host is not None:
                exec_host = ExecHost(id=name, zone=host.zone, address=host.management_address, host=host.name, made=self._clock.monotonic())
            elif request.place == INTERNET:
                exec_host = ExecHost(id=name, zone="", made=self._clock.monotonic())
            else:
                exec_host = self._in_subnet(tx, name, self._subnet(tx, request.place), request.security_groups)
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
            return await self._fabric.prepare_exec(record.id, zone=record.zone, vpc_id=record.vpc_id or None)
        except BaseException:
            await self.release(record.id)
            raise


def _place(record: ExecHost, host: LinuxHost) -> PreparedCommand:
    address = record.address or host.spec.internet_address or ""
    return PreparedCommand(record.id, host.init.pid, ((EXEC_VARIABLE, record.id),), address, record.zone)


def _runs_anything(host: LinuxHost) -> bool:
    """Whether a process lives on the host besides its init and the init's sleep."""
    inside = _process_namespace(Path(f"/proc/{host.init.pid}"))
    if inside is None:
        return False
    return sum(_process_namespace(path) == inside for path in Path("/proc").iterdir() if path.name.isdigit()) > 2


def _process_namespace(process: Path) -> Path | None:
    try:
        return (process / "ns" / "pid").readlink()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None  # It has ended meanwhile.
