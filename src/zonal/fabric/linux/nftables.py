"""Writes rulesets into the kernel: encodes a `fabric.ruleset` for nf_tables and replaces a table in one transaction.

One batch adds the table (so that deleting it cannot fail), deletes it, and creates it anew; the kernel switches from the old table to the
new one between two packets. Tracked connections stay tracked. The comment of the table holds a digest of its ruleset, so that the kernel
can be asked whether it has this ruleset. Numbers are those of `linux/netfilter/nf_tables.h`.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

import msgspec

from zonal.fabric.linux import nftables_attributes as nft
from zonal.fabric.linux.namespaces import inside
from zonal.fabric.linux.netlink import KernelRefused, attribute, attributes, nested, text
from zonal.fabric.ruleset import (
    AddressMap,
    Chain,
    Chance,
    Dispatch,
    Established,
    InRange,
    InSet,
    Is,
    Masquerade,
    Match,
    PacketRule,
    PacketSet,
    Ruleset,
    RuleStatement,
    StartsWith,
    Translate,
    Untracked,
    Verdict,
    VerdictMap,
    Within,
)

_NETFILTER = 12
_SUBSYSTEM = 10
_BEGIN, _END, _ERROR = 0x10, 0x11, 2
_REQUEST, _ACK, _CREATE, _APPEND = 1, 4, 0x400, 0x800
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
_REGISTER, _VERDICT_REGISTER = 8, 0
_EQUAL, _NOT_EQUAL, _LESS = 0, 1, 2
_INVERTED, _RANDOM, _TO_NETWORK = 1, 1, 1
_CT_STATE, _CT_ESTABLISHED, _CT_RELATED = 0, 2, 4
_SOURCE_NAT, _DESTINATION_NAT = 0, 1
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
        """Replace the kernel's table by this ruleset, atomically. Returns False when the kernel has it already."""
        wanted = digest(ruleset)
        if self._digest(ruleset.name) == wanted:
            return False
        self._commit(_messages(ruleset, wanted), f"load the rules of {ruleset.name}")
        return True

    def remove(self, name: str) -> None:
        """Remove a table. Does nothing when there is none."""
        self._commit([_table(_NEWTABLE, name), _table(_DELTABLE, name)], f"remove the rules of {name}")

    def _digest(self, name: str) -> str:
        kind, flags, body = _table(_GETTABLE, name, flags=_REQUEST)
        self._socket.send(_pack(_SUBSYSTEM << 8 | kind, flags, 1, _IPV4, 0, body))
        data = self._socket.recv(1 << 16)
        _, answer = struct.unpack_from("=IH", data)
        if answer == _ERROR:
            return ""
        comment = dict(attributes(data, 20)).get(nft.NFTA_TABLE_USERDATA, b"")
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
                answer = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)  # All answers have arrived when `send` returns.
            except BlockingIOError:
                break
            sequence, code = struct.unpack_from("=8xI4xi", answer)
            if code:
                raise KernelRefused(f"{tried} (message {sequence} of {len(messages)})", -code)
            acknowledged = acknowledged or sequence == len(messages)
        if not acknowledged:
            raise KernelRefused(tried, 5)


def digest(ruleset: Ruleset) -> str:
    """The comment of the table when the kernel has this ruleset."""
    return hashlib.sha256(msgspec.msgpack.encode(ruleset)).hexdigest()[:24]


def _messages(ruleset: Ruleset, comment: str) -> list[tuple[int, int, bytes]]:
    name = ruleset.name
    user_data = comment.encode() + b"\0"
    messages = [_table(_NEWTABLE, name), _table(_DELTABLE, name), _table(_NEWTABLE, name, bytes((0, len(user_data))) + user_data)]
    groups: list[PacketSet | VerdictMap | AddressMap] = [*ruleset.sets, *ruleset.verdict_maps, *ruleset.address_maps]
    messages += [_set(name, group, number) for number, group in enumerate(groups, start=1)]
    messages += [_chain(name, chain) for chain in ruleset.chains]
    for group in groups:
        messages += _elements(name, group)
    messages += [_rule(name, chain.name, rule) for chain in ruleset.chains for rule in chain.rules]
    return messages


def _table(kind: int, name: str, comment: bytes = b"", flags: int = _REQUEST | _CREATE) -> tuple[int, int, bytes]:
    return (
        kind,
        flags if kind != _DELTABLE else _REQUEST,
        text(nft.NFTA_TABLE_NAME, name) + (attribute(nft.NFTA_TABLE_USERDATA, comment) if comment else b""),
    )


def _chain(table: str, chain: Chain) -> tuple[int, int, bytes]:
    body = text(nft.NFTA_CHAIN_TABLE, table) + text(nft.NFTA_CHAIN_NAME, chain.name)
    if chain.hook:
        hook = _number(nft.NFTA_HOOK_HOOKNUM, _HOOKS[chain.hook]) + attribute(nft.NFTA_HOOK_PRIORITY, struct.pack(">i", chain.priority))
        body += nested(nft.NFTA_CHAIN_HOOK, hook)
        body += _number(nft.NFTA_CHAIN_POLICY, 1 if chain.accepts else 0) + text(nft.NFTA_CHAIN_TYPE, chain.kind)
    return _NEWCHAIN, _REQUEST | _CREATE, body


def _set(table: str, group: PacketSet | VerdictMap | AddressMap, number: int) -> tuple[int, int, bytes]:
    match group:
        case PacketSet(kinds=kinds):
            key, flags, data = _key_type(kinds), 0, b""
        case VerdictMap():
            key, flags, data = _key_type(("name",)), _MAP, _set_data(_VERDICT_TYPE, 0)
        case AddressMap():
            key, flags, data = _key_type(("address",)), _MAP, _set_data(*_TYPES["address"])
    body = text(nft.NFTA_SET_TABLE, table) + text(nft.NFTA_SET_NAME, group.name) + _number(nft.NFTA_SET_FLAGS, flags)
    return _NEWSET, _REQUEST | _CREATE, body + key + data + _number(nft.NFTA_SET_ID, number)


def _set_data(type: int, length: int) -> bytes:
    return _number(nft.NFTA_SET_DATA_TYPE, type) + _number(nft.NFTA_SET_DATA_LEN, length)


def _key_type(kinds: tuple[str, ...]) -> bytes:
    number = length = 0
    for kind in kinds:
        number = number << 6 | _TYPES[kind][0]
        length += _TYPES[kind][1]
    return _number(nft.NFTA_SET_KEY_TYPE, number) + _number(nft.NFTA_SET_KEY_LEN, length)


def _elements(table: str, group: PacketSet | VerdictMap | AddressMap) -> list[tuple[int, int, bytes]]:
    match group:
        case PacketSet(kinds=kinds, elements=rows):
            entries = [_value_key(b"".join(_packed(kind, word) for kind, word in zip(kinds, row, strict=True))) for row in rows]
        case VerdictMap(elements=verdicts):
            entries = [_value_key(_packed("name", name)) + nested(nft.NFTA_SET_ELEM_DATA, _verdict(verdict)) for name, verdict in verdicts]
        case AddressMap(elements=pairs):
            entries = [
                _value_key(_packed("address", key)) + nested(nft.NFTA_SET_ELEM_DATA, _data_value(_packed("address", value)))
                for key, value in pairs
            ]
    messages = []
    for start in range(0, len(entries), 500):
        rows_data = b"".join(nested(nft.NFTA_LIST_ELEM, entry) for entry in entries[start : start + 500])
        head = text(nft.NFTA_SET_ELEM_LIST_TABLE, table) + text(nft.NFTA_SET_ELEM_LIST_SET, group.name)
        messages.append((_NEWELEMENT, _REQUEST | _CREATE, head + nested(nft.NFTA_SET_ELEM_LIST_ELEMENTS, rows_data)))
    return messages


def _rule(table: str, chain: str, rule: PacketRule) -> tuple[int, int, bytes]:
    expressions = [part for match in rule.matches for part in _match(match)] + list(_statement(rule.statement))
    content = b"".join(
        nested(nft.NFTA_LIST_ELEM, text(nft.NFTA_EXPR_NAME, name) + nested(nft.NFTA_EXPR_DATA, data)) for name, data in expressions
    )
    body = text(nft.NFTA_RULE_TABLE, table) + text(nft.NFTA_RULE_CHAIN, chain) + nested(nft.NFTA_RULE_EXPRESSIONS, content)
    return _NEWRULE, _REQUEST | _CREATE | _APPEND, body


_Expression = tuple[str, bytes]


def _match(match: Match) -> Iterable[_Expression]:
    match match:
        case Is(key, value, negated):
            yield _load(key, _REGISTER)
            yield _compare(_NOT_EQUAL if negated else _EQUAL, _encoded(key, value))
        case StartsWith(key, prefix):
            yield _load(key, _REGISTER)
            yield _compare(_EQUAL, prefix.encode())
        case Within(key, cidr, negated):
            network = IPv4Network(cidr)
            yield _load(key, _REGISTER)
            yield _mask(network.netmask.packed)
            yield _compare(_NOT_EQUAL if negated else _EQUAL, network.network_address.packed)
        case InRange(key, low, high):
            yield _load(key, _REGISTER)
            ends = nested(nft.NFTA_RANGE_FROM_DATA, _data_value(_encoded(key, low)))
            ends += nested(nft.NFTA_RANGE_TO_DATA, _data_value(_encoded(key, high)))
            yield "range", _number(nft.NFTA_RANGE_SREG, _REGISTER) + _number(nft.NFTA_RANGE_OP, _EQUAL) + ends
        case InSet(keys, name, negated):
            register = _REGISTER
            for key in keys:
                yield _load(key, register)
                register += _LENGTHS[key] // 4
            flags = _number(nft.NFTA_LOOKUP_FLAGS, _INVERTED) if negated else b""
            yield "lookup", text(nft.NFTA_LOOKUP_SET, name) + _number(nft.NFTA_LOOKUP_SREG, _REGISTER) + flags
        case Established():
            yield "ct", _number(nft.NFTA_CT_DREG, _REGISTER) + _number(nft.NFTA_CT_KEY, _CT_STATE)
            yield _mask(struct.pack("=I", _CT_ESTABLISHED | _CT_RELATED))
            yield _compare(_NOT_EQUAL, bytes(4))
        case Chance(share):
            generator = _number(nft.NFTA_NG_DREG, _REGISTER) + _number(nft.NFTA_NG_MODULUS, 10_000)
            yield "numgen", generator + _number(nft.NFTA_NG_TYPE, _RANDOM) + _number(nft.NFTA_NG_OFFSET, 0)
            order = _number(nft.NFTA_BYTEORDER_SREG, _REGISTER) + _number(nft.NFTA_BYTEORDER_DREG, _REGISTER)
            order += _number(nft.NFTA_BYTEORDER_OP, _TO_NETWORK) + _number(nft.NFTA_BYTEORDER_LEN, 4) + _number(nft.NFTA_BYTEORDER_SIZE, 4)
            yield "byteorder", order
            yield _compare(_LESS, struct.pack(">I", share))


def _statement(statement: RuleStatement) -> Iterable[_Expression]:
    match statement:
        case Verdict():
            yield "immediate", _number(nft.NFTA_IMMEDIATE_DREG, _VERDICT_REGISTER) + nested(nft.NFTA_IMMEDIATE_DATA, _verdict(statement))
        case Dispatch(key, name):
            yield _load(key, _REGISTER)
            source = _number(nft.NFTA_LOOKUP_SREG, _REGISTER)
            yield "lookup", text(nft.NFTA_LOOKUP_SET, name) + source + _number(nft.NFTA_LOOKUP_DREG, _VERDICT_REGISTER)
        case Translate(side, name):
            yield _load("saddr" if side == "source" else "daddr", _REGISTER)
            registers = _number(nft.NFTA_LOOKUP_SREG, _REGISTER) + _number(nft.NFTA_LOOKUP_DREG, _REGISTER)
            yield "lookup", text(nft.NFTA_LOOKUP_SET, name) + registers
            kind = _number(nft.NFTA_NAT_TYPE, _SOURCE_NAT if side == "source" else _DESTINATION_NAT) + _number(nft.NFTA_NAT_FAMILY, _IPV4)
            yield "nat", kind + _number(nft.NFTA_NAT_REG_ADDR_MIN, _REGISTER) + _number(nft.NFTA_NAT_REG_ADDR_MAX, _REGISTER)
        case Masquerade():
            yield "masq", b""
        case Untracked():
            yield "notrack", b""


def _load(key: str, register: int) -> _Expression:
    if key in _META:
        return "meta", _number(nft.NFTA_META_KEY, _META[key]) + _number(nft.NFTA_META_DREG, register)
    base, offset, length = _PAYLOAD[key]
    place = _number(nft.NFTA_PAYLOAD_BASE, base) + _number(nft.NFTA_PAYLOAD_OFFSET, offset) + _number(nft.NFTA_PAYLOAD_LEN, length)
    return "payload", _number(nft.NFTA_PAYLOAD_DREG, register) + place


def _compare(operator: int, value: bytes) -> _Expression:
    registers = _number(nft.NFTA_CMP_SREG, _REGISTER) + _number(nft.NFTA_CMP_OP, operator)
    return "cmp", registers + nested(nft.NFTA_CMP_DATA, _data_value(value))


def _mask(mask: bytes) -> _Expression:
    """Keep these bits of the register's four bytes."""
    registers = _number(nft.NFTA_BITWISE_SREG, _REGISTER) + _number(nft.NFTA_BITWISE_DREG, _REGISTER) + _number(nft.NFTA_BITWISE_LEN, 4)
    change = nested(nft.NFTA_BITWISE_MASK, _data_value(mask)) + nested(nft.NFTA_BITWISE_XOR, _data_value(bytes(4)))
    return "bitwise", registers + change


def _encoded(key: str, value: str | int) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(_LENGTHS[key], "big")
    return _packed("address" if key in ("saddr", "daddr") else "name", value)


def _packed(kind: str, word: str) -> bytes:
    return IPv4Address(word).packed if kind == "address" else word.encode().ljust(16, b"\0")


def _value_key(value: bytes) -> bytes:
    return nested(nft.NFTA_SET_ELEM_KEY, _data_value(value))


def _data_value(value: bytes) -> bytes:
    return attribute(nft.NFTA_DATA_VALUE, value)


def _verdict(verdict: Verdict) -> bytes:
    code = attribute(nft.NFTA_VERDICT_CODE, struct.pack(">i", _VERDICTS[verdict.kind]))
    return nested(nft.NFTA_DATA_VERDICT, code + (text(nft.NFTA_VERDICT_CHAIN, verdict.chain) if verdict.chain else b""))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _pack(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes) -> bytes:
    return struct.pack("=IHHIIBB", len(body) + 20, kind, flags, sequence, 0, family, 0) + struct.pack(">H", resource) + body
