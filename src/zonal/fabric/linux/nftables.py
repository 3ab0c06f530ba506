"""Writing a ruleset into the kernel: the encoding of `fabric.ruleset` for nf_tables, and the transaction that replaces a table.

One batch adds the table (so that deleting it cannot fail), deletes it, and builds it anew; the kernel switches from the old table to the
new one between two packets. Connections that are followed stay followed. The table carries a digest of its ruleset as comment, so that
whether the kernel has what is wanted can be asked of the kernel. Numbers are those of `linux/netfilter/nf_tables.h`.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

import msgspec

from zonal.fabric.linux.namespaces import inside
from zonal.fabric.linux.netlink import KernelRefused, attribute, attributes, nested, text
from zonal.fabric.ruleset import (
    AddressMap,
    Between,
    Chain,
    Chance,
    Dispatch,
    Established,
    Is,
    Masquerade,
    Match,
    Member,
    PacketRule,
    PacketSet,
    Ruleset,
    StartsWith,
    Statement,
    Translate,
    Untracked,
    Verdict,
    VerdictMap,
    Within,
)

_NETFILTER = 12
_SUBSYSTEM = 10
_BEGIN, _END, _ERROR = 0x10, 0x11, 2
_REQUEST, _ACK, _CREATE = 1, 4, 0x400
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _NEWSET, _NEWELEMENT = 0, 1, 2, 3, 6, 9, 12
_IPV4 = 2

_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
_VERDICTS = {"drop": 0, "accept": 1, "jump": -3, "goto": -4, "return": -5, "continue": -1}
_META = {"iifname": 6, "oifname": 7, "protocol": 16}
_PAYLOAD = {
    "saddr": (1, 12, 4),
    "daddr": (1, 16, 4),
    "sport": (2, 0, 2),
    "dport": (2, 2, 2),
    "icmp_type": (2, 0, 1),
    "icmp_code": (2, 1, 1),
}
_TYPES = {"address": (7, 4), "name": (41, 16)}
_LENGTHS = {"iifname": 16, "oifname": 16, "protocol": 1} | {key: length for key, (_, _, length) in _PAYLOAD.items()}
_REGISTER = 8
_MAP, _VERDICT_TYPE = 8, 0xFFFFFF00


class Nftables:
    """The packet rules of one network namespace."""

    def __init__(self, namespace: int) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def close(self) -> None:
        self._socket.close()

    def apply(self, ruleset: Ruleset) -> bool:
        """Make the kernel's table this ruleset; False where it is already. All of it or nothing, between two packets."""
        wanted = digest(ruleset)
        if self._digest(ruleset.name) == wanted:
            return False
        self._commit(_messages(ruleset, wanted), f"load the rules of {ruleset.name}")
        return True

    def remove(self, name: str) -> None:
        """Remove a table; nothing happens where there is none."""
        self._commit([_table(_NEWTABLE, name), _table(_DELTABLE, name)], f"remove the rules of {name}")

    def _digest(self, name: str) -> str:
        kind, flags, body = _table(_GETTABLE, name, flags=_REQUEST)
        self._socket.send(_pack(_SUBSYSTEM << 8 | kind, flags, 1, _IPV4, 0, body))
        data = self._socket.recv(1 << 16)
        _, answer = struct.unpack_from("=IH", data)
        if answer == _ERROR:
            return ""
        comment = dict(attributes(data, 20)).get(6, b"")
        return comment[2:].rstrip(b"\0").decode()

    def _commit(self, messages: list[tuple[int, int, bytes]], tried: str) -> None:
        data = _pack(_BEGIN, _REQUEST, 0, 0, _SUBSYSTEM, b"")
        for sequence, (kind, flags, body) in enumerate(messages, start=1):
            last = _ACK if sequence == len(messages) else 0
            data += _pack(_SUBSYSTEM << 8 | kind, flags | last, sequence, _IPV4, 0, body)
        self._socket.send(data + _pack(_END, _REQUEST, len(messages) + 1, 0, _SUBSYSTEM, b""))
        acknowledged = False
        while True:
            try:
                answer = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)  # Every answer is there when `send` returns.
            except BlockingIOError:
                break
            sequence, code = struct.unpack_from("=8xI4xi", answer)
            if code:
                raise KernelRefused(f"{tried} (message {sequence} of {len(messages)})", -code)
            acknowledged = acknowledged or sequence == len(messages)
        if not acknowledged:
            raise KernelRefused(tried, 5)


def digest(ruleset: Ruleset) -> str:
    """What the table's comment says when the kernel has this ruleset."""
    return hashlib.sha256(msgspec.msgpack.encode(ruleset)).hexdigest()[:24]


def _messages(ruleset: Ruleset, comment: str) -> list[tuple[int, int, bytes]]:
    name = ruleset.name
    words = comment.encode() + b"\0"
    messages = [_table(_NEWTABLE, name), _table(_DELTABLE, name), _table(_NEWTABLE, name, bytes((0, len(words))) + words)]
    groups: list[PacketSet | VerdictMap | AddressMap] = [*ruleset.sets, *ruleset.verdict_maps, *ruleset.address_maps]
    messages += [_set(name, group, number) for number, group in enumerate(groups, start=1)]
    messages += [_chain(name, chain) for chain in ruleset.chains]
    for group in groups:
        messages += _elements(name, group)
    messages += [_rule(name, chain.name, rule) for chain in ruleset.chains for rule in chain.rules]
    return messages


def _table(kind: int, name: str, comment: bytes = b"", flags: int = _REQUEST | _CREATE) -> tuple[int, int, bytes]:
    return kind, flags if kind != _DELTABLE else _REQUEST, text(1, name) + (attribute(6, comment) if comment else b"")


def _chain(table: str, chain: Chain) -> tuple[int, int, bytes]:
    body = text(1, table) + text(3, chain.name)
    if chain.hook:
        body += nested(4, _number(1, _HOOKS[chain.hook]) + attribute(2, struct.pack(">i", chain.priority)))
        body += _number(5, 1 if chain.accepts else 0) + text(7, chain.kind)
    return _NEWCHAIN, _REQUEST | _CREATE, body


def _set(table: str, group: PacketSet | VerdictMap | AddressMap, number: int) -> tuple[int, int, bytes]:
    match group:
        case PacketSet(kinds=kinds):
            key, flags, data = _key_type(kinds), 0, b""
        case VerdictMap():
            key, flags, data = _key_type(("name",)), _MAP, _number(6, _VERDICT_TYPE) + _number(7, 0)
        case AddressMap():
            key, flags, data = _key_type(("address",)), _MAP, _number(6, 7) + _number(7, 4)
    return _NEWSET, _REQUEST | _CREATE, text(1, table) + text(2, group.name) + _number(3, flags) + key + data + _number(10, number)


def _key_type(kinds: tuple[str, ...]) -> bytes:
    number = length = 0
    for kind in kinds:
        number = number << 6 | _TYPES[kind][0]
        length += _TYPES[kind][1]
    return _number(4, number) + _number(5, length)


def _elements(table: str, group: PacketSet | VerdictMap | AddressMap) -> list[tuple[int, int, bytes]]:
    match group:
        case PacketSet(kinds=kinds, elements=rows):
            entries = [_value_key(b"".join(_packed(kind, word) for kind, word in zip(kinds, row, strict=True))) for row in rows]
        case VerdictMap(elements=verdicts):
            entries = [_value_key(_packed("name", name)) + nested(2, _verdict(verdict)) for name, verdict in verdicts]
        case AddressMap(elements=pairs):
            entries = [_value_key(_packed("address", key)) + nested(2, attribute(1, _packed("address", value))) for key, value in pairs]
    messages = []
    for start in range(0, len(entries), 500):
        rows_data = b"".join(nested(1, entry) for entry in entries[start : start + 500])
        messages.append((_NEWELEMENT, _REQUEST | _CREATE, text(1, table) + text(2, group.name) + nested(3, rows_data)))
    return messages


def _rule(table: str, chain: str, rule: PacketRule) -> tuple[int, int, bytes]:
    expressions = [part for match in rule.matches for part in _match(match)] + list(_statement(rule.statement))
    content = b"".join(nested(1, text(1, name) + nested(2, data)) for name, data in expressions)
    return _NEWRULE, _REQUEST | _CREATE | 0x800, text(1, table) + text(2, chain) + nested(4, content)


_Expression = tuple[str, bytes]


def _match(match: Match) -> Iterable[_Expression]:
    match match:
        case Is(key, value, negated):
            yield _load(key, _REGISTER)
            yield _compare(1 if negated else 0, _encoded(key, value))
        case StartsWith(key, prefix):
            yield _load(key, _REGISTER)
            yield _compare(0, prefix.encode())
        case Within(key, cidr, negated):
            network = IPv4Network(cidr)
            yield _load(key, _REGISTER)
            mask = nested(4, attribute(1, network.netmask.packed)) + nested(5, attribute(1, bytes(4)))
            yield "bitwise", _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, 4) + mask
            yield _compare(1 if negated else 0, network.network_address.packed)
        case Between(key, low, high):
            yield _load(key, _REGISTER)
            ends = nested(3, attribute(1, _encoded(key, low))) + nested(4, attribute(1, _encoded(key, high)))
            yield "range", _number(1, _REGISTER) + _number(2, 0) + ends
        case Member(keys, name, negated):
            register = _REGISTER
            for key in keys:
                yield _load(key, register)
                register += _LENGTHS[key] // 4
            yield "lookup", text(1, name) + _number(2, _REGISTER) + (_number(5, 1) if negated else b"")
        case Established():
            yield "ct", _number(1, _REGISTER) + _number(2, 0)
            mask = nested(4, attribute(1, struct.pack("=I", 2 | 4))) + nested(5, attribute(1, bytes(4)))
            yield "bitwise", _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, 4) + mask
            yield _compare(1, bytes(4))
        case Chance(share):
            yield "numgen", _number(1, _REGISTER) + _number(2, 10_000) + _number(3, 1) + _number(4, 0)
            order = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, 1) + _number(4, 4) + _number(5, 4)
            yield "byteorder", order
            yield _compare(2, struct.pack(">I", share))


def _statement(statement: Statement) -> Iterable[_Expression]:
    match statement:
        case Verdict():
            yield "immediate", _number(1, 0) + nested(2, _verdict(statement))
        case Dispatch(key, name):
            yield _load(key, _REGISTER)
            yield "lookup", text(1, name) + _number(2, _REGISTER) + _number(3, 0)
        case Translate(side, name):
            yield _load("saddr" if side == "source" else "daddr", _REGISTER)
            yield "lookup", text(1, name) + _number(2, _REGISTER) + _number(3, _REGISTER)
            kind = _number(1, 0 if side == "source" else 1)
            yield "nat", kind + _number(2, _IPV4) + _number(3, _REGISTER) + _number(4, _REGISTER)
        case Masquerade():
            yield "masq", b""
        case Untracked():
            yield "notrack", b""


def _load(key: str, register: int) -> _Expression:
    if key in _META:
        return "meta", _number(2, _META[key]) + _number(1, register)
    base, offset, length = _PAYLOAD[key]
    return "payload", _number(1, register) + _number(2, base) + _number(3, offset) + _number(4, length)


def _compare(operator: int, value: bytes) -> _Expression:
    return "cmp", _number(1, _REGISTER) + _number(2, operator) + nested(3, attribute(1, value))


def _encoded(key: str, value: str | int) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(_LENGTHS[key], "big")
    return _packed("address" if key in ("saddr", "daddr") else "name", value)


def _packed(kind: str, word: str) -> bytes:
    return IPv4Address(word).packed if kind == "address" else word.encode().ljust(16, b"\0")


def _value_key(value: bytes) -> bytes:
    return nested(1, attribute(1, value))


def _verdict(verdict: Verdict) -> bytes:
    code = attribute(1, struct.pack(">i", _VERDICTS[verdict.kind]))
    return nested(2, code + (text(2, verdict.chain) if verdict.chain else b""))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _pack(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes) -> bytes:
    return struct.pack("=IHHIIBB", len(body) + 20, kind, flags, sequence, 0, family, 0) + struct.pack(">H", resource) + body
