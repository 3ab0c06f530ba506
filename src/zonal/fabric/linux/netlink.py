"""A netlink client: devices, addresses, neighbours, routes and routing rules of one network namespace.

A `Netlink` holds one socket, created inside its namespace and usable from anywhere. Changes are collected in a batch: the messages are sent
in one `send`, and the kernel applies them in order and acknowledges each. The present state is read by dumps. The rows (`Address`,
`KernelRoute`, …) are the same in both directions, so that desired and present state can be compared as sets.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from zonal.fabric.linux import rtnetlink_attributes as rt
from zonal.fabric.linux.namespaces import inside
from zonal.foundation.errors import ZonalError

MAIN = 254

_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_REPLACE, _CREATE, _EXCLUSIVE = 0x100, 0x400, 0x200
_ERROR, _DONE = 2, 3
NESTED = 0x8000

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWNEIGHBOUR = 28
_NEWRULE, _DELRULE, _GETRULE = 32, 33, 34
_NEWQUEUE, _DELQUEUE = 36, 37

_UP = 1
_BOOT, _STATIC = 3, 4
_PERMANENT = 0x80
_NO_PREFIX_ROUTE = 0x200
_ON_LINK = 4
_ROUTE_TYPES = {"unicast": 1, "blackhole": 6, "throw": 9}
_ROUTE_NAMES = {number: name for name, number in _ROUTE_TYPES.items()}


class KernelRefused(ZonalError):
    """The kernel rejected a change; `number` is its errno."""

    def __init__(self, tried: str, number: int) -> None:
        super().__init__(f"the kernel refused to {tried}: {os.strerror(number)}")
        self.number = number


class Device(NamedTuple):
    number: int
    up: bool
    mac: str


class Address(NamedTuple):
    """`address` with its prefix length: `10.0.1.5/24`."""

    device: str
    address: str


class Neighbour(NamedTuple):
    """A permanent entry: the hardware address of `address` on `device`, so that ARP is not needed."""

    device: str
    address: str
    mac: str


class KernelRoute(NamedTuple):
    """`kind` is `unicast`, `blackhole` (dropped without an answer) or `throw` (continue with the next rule). Of two routes for
    one network, the one with the smaller `metric` is used.
    """

    table: int
    cidr: str
    kind: str = "unicast"
    device: str = ""
    gateway: str = ""
    source: str = ""
    metric: int = 0


class RoutingRule(NamedTuple):
    """Packets from `cidr` (empty: all) that arrive on `device` (empty: any) use `table`."""

    priority: int
    table: int
    cidr: str = ""
    device: str = ""


class NetlinkBatch:
    """Changes that `Netlink.run` sends together, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, int, bytes, str]] = []

    def __bool__(self) -> bool:
        return bool(self.messages)

    def add(self, kind: int, flags: int, body: bytes, tried: str) -> None:
        self.messages.append((kind, flags, body, tried))


class Netlink:
    """The routing side of one network namespace."""

    def __init__(self, namespace: int) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def devices(self) -> dict[str, Device]:
        found = {}
        for body in self._dump(_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
            _, _, index, flags, _ = struct.unpack_from("=BxHiII", body)
            values = dict(attributes(body, 16))
            found[values[rt.IFLA_IFNAME].rstrip(b"\0").decode()] = Device(
                index, bool(flags & _UP), _mac_text(values.get(rt.IFLA_ADDRESS, b""))
            )
        return found

    def addresses(self) -> set[Address]:
        names = self._names()
        found = set()
        for body in self._dump(_GETADDR, struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0)):
            _, length, _, _, index = struct.unpack_from("=BBBBI", body)
            local = dict(attributes(body, 8))[rt.IFA_LOCAL]
            found.add(Address(names.get(index, ""), f"{IPv4Address(local)}/{length}"))
        return found

    def routes(self) -> set[KernelRoute]:
        """Every static route, in all tables."""
        names = self._names()
        found = set()
        for body in self._dump(_GETROUTE, struct.pack("=BBBBBBBBI", socket.AF_INET, *(0,) * 8)):
            _, length, _, _, _, protocol, _, kind, _ = struct.unpack_from("=BBBBBBBBI", body)
            if protocol == _STATIC and kind in _ROUTE_NAMES:
                found.add(_route(length, kind, dict(attributes(body, 12)), names))
        return found

    def rules(self) -> set[RoutingRule]:
        """Every rule except the kernel's default three."""
        found = set()
        for body in self._dump(_GETRULE, struct.pack("=BBBBBBBBI", socket.AF_INET, *(0,) * 8)):
            length = body[2]
            values = dict(attributes(body, 12))
            priority = _number(values.get(rt.FRA_PRIORITY, b"\0\0\0\0"))
            if 0 < priority < 32766:
                cidr = f"{IPv4Address(values[rt.FRA_SRC])}/{length}" if rt.FRA_SRC in values else ""
                device = values.get(rt.FRA_IIFNAME, b"").rstrip(b"\0").decode()
                found.add(RoutingRule(priority, _number(values[rt.FRA_TABLE]), cidr, device))
        return found

    def run(self, batch: NetlinkBatch, *, forgive: tuple[int, ...] = ()) -> None:
        """Apply a batch in order. Raises `KernelRefused` for the first rejection whose errno is not in `forgive`; the rest is applied."""
        refused: list[tuple[str, int]] = []
        for start in range(0, len(batch.messages), 64):
            self._run_some(batch.messages[start : start + 64], forgive, refused)
        if refused:
            raise KernelRefused(*refused[0])

    def _run_some(self, messages: list[tuple[int, int, bytes, str]], forgive: tuple[int, ...], refused: list[tuple[str, int]]) -> None:
        waiting, data = {}, b""
        for kind, flags, body, tried in messages:
            self._sequence += 1
            waiting[self._sequence] = tried
            data += _message(kind, flags | _REQUEST | _ACK, self._sequence, body)
        self._socket.send(data)
        while waiting:
            for kind, sequence, body in _messages(self._socket.recv(1 << 16)):
                if kind == _ERROR and sequence in waiting:
                    tried, number = waiting.pop(sequence), -struct.unpack_from("=i", body)[0]
                    if number and number not in forgive:
                        refused.append((tried, number))

    def _names(self) -> dict[int, str]:
        return {device.number: name for name, device in self.devices().items()}

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        self._sequence += 1
        self._socket.send(_message(kind, _REQUEST | _DUMP, self._sequence, body))
        bodies: list[bytes] = []
        while True:
            for answer, sequence, content in _messages(self._socket.recv(1 << 18)):
                if sequence != self._sequence:
                    continue
                if answer == _DONE:
                    return iter(bodies)
                if answer == _ERROR:
                    raise KernelRefused("list its network", -struct.unpack_from("=i", content)[0])
                bodies.append(content)


def add_pair(batch: NetlinkBatch, name: str, *, mac: str, peer: str, peer_mac: str, peer_namespace: int, mtu: int) -> None:
    """Create a veth pair: `name` here, up; `peer` in another namespace."""
    end = _link(0) + text(rt.IFLA_IFNAME, peer) + attribute(rt.IFLA_ADDRESS, _mac(peer_mac)) + number(rt.IFLA_MTU, mtu)
    end += number(rt.IFLA_NET_NS_FD, peer_namespace)
    kind = text(rt.IFLA_INFO_KIND, "veth") + nested(rt.IFLA_INFO_DATA, attribute(rt.VETH_INFO_PEER, end))
    body = _link(_UP) + text(rt.IFLA_IFNAME, name) + attribute(rt.IFLA_ADDRESS, _mac(mac)) + number(rt.IFLA_MTU, mtu)
    body += nested(rt.IFLA_LINKINFO, kind)
    batch.add(_NEWLINK, _CREATE | _EXCLUSIVE, body, f"make the device {name}")


def set_up(batch: NetlinkBatch, index: int, *, up: bool = True) -> None:
    batch.add(_NEWLINK, 0, _link(_UP if up else 0, index, _UP), "switch a device")


def delete_device(batch: NetlinkBatch, index: int) -> None:
    batch.add(_DELLINK, 0, _link(0, index), "remove a device")


def address(batch: NetlinkBatch, row: Address, index: int, *, there: bool = True) -> None:
    """Add an address to a device, or remove it."""
    plain, _, length = row.address.partition("/")
    packed = IPv4Address(plain).packed
    body = struct.pack("=BBBBI", socket.AF_INET, int(length), 0, 0, index)
    body += attribute(rt.IFA_LOCAL, packed) + attribute(rt.IFA_ADDRESS, packed)
    body += number(rt.IFA_FLAGS, _NO_PREFIX_ROUTE)  # No address adds a route: all routes are set explicitly.
    batch.add(_NEWADDR if there else _DELADDR, _CREATE | _REPLACE if there else 0, body, f"set the address {row.address}")


def neighbour(batch: NetlinkBatch, row: Neighbour, index: int) -> None:
    body = struct.pack("=BxxxiHBB", socket.AF_INET, index, _PERMANENT, 0, 0)
    body += attribute(rt.NDA_DST, IPv4Address(row.address).packed) + attribute(rt.NDA_LLADDR, _mac(row.mac))
    batch.add(_NEWNEIGHBOUR, _CREATE | _REPLACE, body, f"set the neighbour {row.address}")


def route(batch: NetlinkBatch, row: KernelRoute, index: int | None, *, there: bool = True) -> None:
    network = IPv4Network(row.cidr)
    scope = 253 if row.kind == "unicast" and not row.gateway else 0
    flags = _ON_LINK if row.gateway else 0
    kind = _ROUTE_TYPES[row.kind]
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, network.prefixlen, 0, 0, 0, _STATIC, scope, kind, flags)
    body += attribute(rt.RTA_DST, network.network_address.packed) + number(rt.RTA_TABLE, row.table)
    if index is not None:
        body += number(rt.RTA_OIF, index)
    if row.gateway:
        body += attribute(rt.RTA_GATEWAY, IPv4Address(row.gateway).packed)
    if row.source:
        body += attribute(rt.RTA_PREFSRC, IPv4Address(row.source).packed)
    if row.metric:
        body += number(rt.RTA_PRIORITY, row.metric)
    batch.add(_NEWROUTE if there else _DELROUTE, _CREATE | _REPLACE if there else 0, body, f"set the route {row.cidr}")


def rule(batch: NetlinkBatch, row: RoutingRule, *, there: bool = True) -> None:
    network = IPv4Network(row.cidr) if row.cidr else None
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, network.prefixlen if network else 0, 0, 0, 0, 0, 1, 0)
    body += number(rt.FRA_PRIORITY, row.priority) + number(rt.FRA_TABLE, row.table)
    if network:
        body += attribute(rt.FRA_SRC, network.network_address.packed)
    if row.device:
        body += text(rt.FRA_IIFNAME, row.device)
    batch.add(_NEWRULE if there else _DELRULE, _CREATE | _EXCLUSIVE if there else 0, body, f"set the rule {row.priority}")


def delay(batch: NetlinkBatch, index: int, milliseconds: float | None) -> None:
    """Delay the packets that leave by a device (None: no more). The kernel needs netem."""
    head = struct.pack("=BxHiIII", 0, 0, index, 0, 0xFFFFFFFF, 0)
    if milliseconds is None:
        batch.add(_DELQUEUE, 0, head, "end a delay")
        return
    options = struct.pack("=IIIIII", 0, 100_000, 0, 0, 0, 0) + attribute(rt.TCA_NETEM_LATENCY64, struct.pack("=q", int(milliseconds * 1e6)))
    batch.add(_NEWQUEUE, _CREATE | _REPLACE, head + text(rt.TCA_KIND, "netem") + attribute(rt.TCA_OPTIONS, options), "delay packets")


def attribute(kind: int, data: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, content: bytes) -> bytes:
    return attribute(kind | NESTED, content)


def attributes(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data` from `offset` on."""
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & ~NESTED & 0x7FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", len(body) + 16, kind, flags, sequence, 0) + body + b"\0" * (-len(body) % 4)


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, offset)
        yield kind, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _route(length: int, kind: int, values: dict[int, bytes], names: dict[int, str]) -> KernelRoute:
    cidr = f"{IPv4Address(values.get(rt.RTA_DST, bytes(4)))}/{length}"
    device = names.get(_number(values[rt.RTA_OIF]), "") if rt.RTA_OIF in values else ""
    gateway = str(IPv4Address(values[rt.RTA_GATEWAY])) if rt.RTA_GATEWAY in values else ""
    source = str(IPv4Address(values[rt.RTA_PREFSRC])) if rt.RTA_PREFSRC in values else ""
    metric = _number(values[rt.RTA_PRIORITY]) if rt.RTA_PRIORITY in values else 0
    return KernelRoute(_number(values[rt.RTA_TABLE]), cidr, _ROUTE_NAMES[kind], device, gateway, source, metric)


def _link(flags: int, index: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change or flags)


def _number(data: bytes) -> int:
    value: int = struct.unpack("=I", data)[0]
    return value


def _mac(address_text: str) -> bytes:
    return bytes.fromhex(address_text.replace(":", ""))


def _mac_text(data: bytes) -> str:
    return data.hex(":")


ABSENT_ERRNOS = (errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENOENT)
"""The kernel's errors for removing something that is missing."""
