"""Packet rules as values: `firewall` compiles them, `linux.nftables` writes them into the kernel, and tests evaluate them.

A `Ruleset` is one table of one network namespace and is always replaced as a whole, in one transaction. It holds chains (those with a hook
are called by the kernel, the others by jumps), sets (of addresses, device names or both joined) and maps from device names to verdicts. A
rule has matches, all of which must hold, and one statement. `text()` renders the table in the syntax of nft.

Keys of matches: `iifname`, `oifname`, `saddr`, `daddr`, `protocol` (a number), `sport`, `dport`, `icmp_type`, `icmp_code`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Is(msgspec.Struct, frozen=True):
    """The key has this value (a name, an address or a number)."""

    key: str
    value: str | int
    negated: bool = False


class StartsWith(msgspec.Struct, frozen=True):
    """The device's name begins with this."""

    key: str
    prefix: str


class Within(msgspec.Struct, frozen=True):
    """The address lies in this network."""

    key: str
    cidr: str
    negated: bool = False


class InRange(msgspec.Struct, frozen=True):
    """The number lies between these, both included."""

    key: str
    low: int
    high: int


class InSet(msgspec.Struct, frozen=True):
    """The keys, joined, are in the named set."""

    keys: tuple[str, ...]
    set: str
    negated: bool = False


class Established(msgspec.Struct, frozen=True):
    """The packet belongs to an accepted connection, or is an ICMP error about one."""


class Chance(msgspec.Struct, frozen=True):
    """Holds for so many of 10,000 packets, at random."""

    of_ten_thousand: int


Match: TypeAlias = Is | StartsWith | Within | InRange | InSet | Established | Chance


class Verdict(msgspec.Struct, frozen=True):
    """`accept`, `drop`, `return`, `continue` with the next rule, or `jump`/`goto` a chain."""

    kind: str
    chain: str = ""


class Dispatch(msgspec.Struct, frozen=True):
    """Look the key up in a verdict map; without an entry, continue with the next rule."""

    key: str
    map: str


class Translate(msgspec.Struct, frozen=True):
    """Replace the source or destination address (`side`) by the map's entry; without one, continue with the next rule."""

    side: str
    map: str


class Masquerade(msgspec.Struct, frozen=True):
    """Replace the source address by that of the outgoing device."""


class Untracked(msgspec.Struct, frozen=True):
    """Exclude the packet from connection tracking."""


RuleStatement: TypeAlias = Verdict | Dispatch | Translate | Masquerade | Untracked


class PacketRule(msgspec.Struct, frozen=True):
    statement: RuleStatement
    matches: tuple[Match, ...] = ()


class Chain(msgspec.Struct, frozen=True):
    """`hook` is prerouting, input, forward, output or postrouting; None for a target of jumps. `kind` is `filter` or `nat`."""

    name: str
    rules: tuple[PacketRule, ...]
    hook: str | None = None
    priority: int = 0
    kind: str = "filter"
    accepts: bool = True


class PacketSet(msgspec.Struct, frozen=True):
    """Elements are tuples of the keys' values; `kinds` are `address` or `name`, one for each key."""

    name: str
    kinds: tuple[str, ...]
    elements: tuple[tuple[str, ...], ...]


class VerdictMap(msgspec.Struct, frozen=True):
    """From a device's name to a verdict."""

    name: str
    elements: tuple[tuple[str, Verdict], ...]


class AddressMap(msgspec.Struct, frozen=True):
    """From an address to an address."""

    name: str
    elements: tuple[tuple[str, str], ...]


class Ruleset(msgspec.Struct, frozen=True):
    """One table: `name` is unique in its namespace."""

    name: str
    chains: tuple[Chain, ...]
    sets: tuple[PacketSet, ...] = ()
    verdict_maps: tuple[VerdictMap, ...] = ()
    address_maps: tuple[AddressMap, ...] = ()

    def text(self) -> str:
        """The table in the syntax of nft."""
        lines = [f"table ip {self.name} {{"]
        for group in self.sets:
            kinds = " . ".join("ipv4_addr" if kind == "address" else "ifname" for kind in group.kinds)
            elements = ", ".join(
                " . ".join(_quoted(kind, word) for kind, word in zip(group.kinds, row, strict=True)) for row in group.elements
            )
            lines.append(f"  set {group.name} {{ type {kinds}; elements = {{ {elements} }} }}")
        for verdicts in self.verdict_maps:
            elements = ", ".join(f'"{key}" : {_statement(verdict)}' for key, verdict in verdicts.elements)
            lines.append(f"  map {verdicts.name} {{ type ifname : verdict; elements = {{ {elements} }} }}")
        for addresses in self.address_maps:
            elements = ", ".join(f"{key} : {value}" for key, value in addresses.elements)
            lines.append(f"  map {addresses.name} {{ type ipv4_addr : ipv4_addr; elements = {{ {elements} }} }}")
        for chain in self.chains:
            lines += [f"  chain {chain.name} {{", *(f"    {line}" for line in _chain(chain)), "  }"]
        return "\n".join([*lines, "}"])


_KEYS = {
    "saddr": "ip saddr",
    "daddr": "ip daddr",
    "protocol": "meta l4proto",
    "sport": "th sport",
    "dport": "th dport",
    "icmp_type": "icmp type",
    "icmp_code": "icmp code",
}


def _chain(chain: Chain) -> list[str]:
    head = []
    if chain.hook:
        policy = "accept" if chain.accepts else "drop"
        head = [f"type {chain.kind} hook {chain.hook} priority {chain.priority}; policy {policy};"]
    return head + [" ".join([*map(_match, rule.matches), _statement(rule.statement)]) for rule in chain.rules]


def _match(match: Match) -> str:
    match match:
        case Is(key, value, negated):
            word = f'"{value}"' if key.endswith("ifname") else value
            return f"{_KEYS.get(key, key)} {'!= ' if negated else ''}{word}"
        case StartsWith(key, prefix):
            return f'{key} "{prefix}*"'
        case Within(key, cidr, negated):
            return f"{_KEYS[key]} {'!= ' if negated else ''}{cidr}"
        case InRange(key, low, high):
            return f"{_KEYS[key]} {low}" if low == high else f"{_KEYS[key]} {low}-{high}"
        case InSet(keys, name, negated):
            return f"{' . '.join(_KEYS.get(key, key) for key in keys)} {'!= ' if negated else ''}@{name}"
        case Established():
            return "ct state established,related"
        case Chance(share):
            return f"numgen random mod 10000 < {share}"


def _statement(statement: RuleStatement) -> str:
    match statement:
        case Verdict(kind, chain):
            return f"{kind} {chain}".rstrip()
        case Dispatch(key, name):
            return f"{key} vmap @{name}"
        case Translate(side, name):
            return f"{'snat' if side == 'source' else 'dnat'} ip to ip {'saddr' if side == 'source' else 'daddr'} map @{name}"
        case Masquerade():
            return "masquerade"
        case Untracked():
            return "notrack"


def _quoted(kind: str, word: str) -> str:
    return word if kind == "address" else f'"{word}"'
