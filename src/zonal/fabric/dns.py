"""DNS: the resolver of every VPC, at its base plus two and at 169.254.169.253, and that of the internet.

`NameTable` holds the names of endpoints. A `Resolver` answers from it on sockets that were opened inside a network, served by the region's
event loop. Inside a VPC a name resolves to its private address; outside to its public one or, where it has none, to the private one, as RDS
answers for an instance that is not publicly accessible. Names of addresses (`ip-10-0-1-5.ec2.internal`) and reverse names (PTR) are
computed, not stored. Other names are REFUSED: no query is forwarded to the host's network.

The resolver of a lost zone keeps answering from the names as they were when the zone was lost, because changes cannot reach it.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import cast

import dnslib
import msgspec

DOMAINS = ("zonal.internal", "ec2.internal")
"""The domains for which zonal is authoritative, besides every name in the table."""

ADDRESS_TTL_SECONDS = 60
_IDLE_SECONDS = 10.0
_PAYLOAD = 1232
_PRIVATE_NAME = re.compile(r"ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})\.ec2\.internal")


class NameEntry(msgspec.Struct, frozen=True):
    """The addresses of a name. `public` is None when it has no public address."""

    private: str
    public: str | None
    ttl_seconds: int


class NameTable:
    """The table of names. A change is in force for the next query."""

    def __init__(self, ttl_seconds: int = 5, *, memory: Path | None = None) -> None:
        """`memory` is a directory for the frozen names of lost zones, which a restarted region reads."""
        self.ttl_seconds = ttl_seconds
        self._entries: dict[str, NameEntry] = {}
        self._frozen: dict[str, dict[str, NameEntry]] = {}
        self._memory = memory

    def set(self, name: str, *, private: str, public: str | None = None, ttl: int | None = None) -> None:
        """Set the addresses of a name."""
        self._entries[_folded(name)] = NameEntry(private, public, self.ttl_seconds if ttl is None else ttl)

    def remove(self, name: str) -> None:
        """Remove a name. Does nothing when there is none."""
        self._entries.pop(_folded(name), None)

    def freeze(self, zone: str) -> None:
        """Freeze the names that resolvers in a lost zone answer from."""
        if zone in self._frozen:
            return
        path = self._memory / f"names-{zone}.json" if self._memory else None
        if path is not None and path.exists():
            self._frozen[zone] = msgspec.json.decode(path.read_bytes(), type=dict[str, NameEntry])
            return
        self._frozen[zone] = dict(self._entries)
        if path is not None:
            path.write_bytes(msgspec.json.encode(self._entries))

    def thaw(self, zone: str) -> None:
        """Let resolvers in the zone answer from the present names again."""
        self._frozen.pop(zone, None)
        if self._memory:
            (self._memory / f"names-{zone}.json").unlink(missing_ok=True)

    def seen_from(self, zone: str | None) -> dict[str, NameEntry]:
        """The names from which a resolver in that zone answers."""
        return self._frozen.get(zone, self._entries) if zone else self._entries


class Resolver:
    """The resolver of a VPC in a zone, or of the internet (`cidrs` empty, `zone` None)."""

    def __init__(self, names: NameTable, *, zone: str | None = None, cidrs: Iterable[str] = ()) -> None:
        self._names = names
        self._zone = zone
        self.networks = [IPv4Network(cidr) for cidr in cidrs]
        self.addresses: tuple[str, ...] = ()
        self._transports: list[asyncio.BaseTransport] = []
        self._servers: list[asyncio.Server] = []

    async def serve(self, sockets: Iterable[socket.socket], addresses: tuple[str, ...] = ()) -> None:
        """Answer on bound UDP sockets and listening TCP sockets until `close`. `addresses` are what they are bound to."""
        self.addresses = addresses
        loop = asyncio.get_running_loop()
        for each in sockets:
            if each.type == socket.SOCK_DGRAM:
                transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=each)
                self._transports.append(transport)
            else:
                self._servers.append(await asyncio.start_server(self._converse, sock=each))

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        for server in self._servers:
            server.close()
        self._transports, self._servers = [], []

    def answer(self, question: bytes) -> bytes | None:
        """The response to one DNS message (RFC 1035; negative responses as in RFC 2308). None for a message that is not a query."""
        try:
            asked = dnslib.DNSRecord.parse(question)
        except (dnslib.DNSError, ValueError, IndexError, struct.error, UnicodeError):
            return _malformed(question)
        if asked.header.qr:
            return None
        reply = asked.reply(ra=1, aa=1)
        if asked.header.opcode != 0:
            reply.header.rcode = dnslib.RCODE.NOTIMP
        elif len(asked.questions) != 1:
            reply.header.rcode = dnslib.RCODE.FORMERR
        else:
            self._fill(reply, str(asked.q.qname).rstrip(".").lower(), asked.q.qtype)
        if any(record.rtype == dnslib.QTYPE.OPT for record in asked.ar):
            reply.add_ar(dnslib.EDNS0(udp_len=_PAYLOAD))
        packed: bytes = reply.pack()
        return packed

    def _fill(self, reply: dnslib.DNSRecord, name: str, kind: int) -> None:
        entries = self._names.seen_from(self._zone)
        found = self._find(entries, name)
        if found is not None:
            ttl, address = found
            if kind in (dnslib.QTYPE.A, dnslib.QTYPE.ANY) and not name.endswith(".in-addr.arpa"):
                reply.add_answer(dnslib.RR(reply.q.qname, dnslib.QTYPE.A, ttl=ttl, rdata=dnslib.A(address)))
            elif kind in (dnslib.QTYPE.PTR, dnslib.QTYPE.ANY) and name.endswith(".in-addr.arpa"):
                reply.add_answer(dnslib.RR(reply.q.qname, dnslib.QTYPE.PTR, ttl=ttl, rdata=dnslib.PTR(address)))
            else:
                self._deny(reply, name)
        elif self._is_above(entries, name):
            self._deny(reply, name)
        elif self._is_ours(name):
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
            self._deny(reply, name)
        else:
            reply.header.rcode = dnslib.RCODE.REFUSED
            reply.header.aa = 0

    def _find(self, entries: dict[str, NameEntry], name: str) -> tuple[int, str] | None:
        """The TTL and the address of a name; for a reverse name, the TTL and the name."""
        entry = entries.get(name)
        if entry is not None:
            return entry.ttl_seconds, entry.private if self.networks else entry.public or entry.private
        if match := _PRIVATE_NAME.fullmatch(name):
            address = _address(".".join(match.groups()))
            return (ADDRESS_TTL_SECONDS, str(address)) if address and self._contains(address) else None
        if name.endswith(".in-addr.arpa"):
            address = _address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
            return (ADDRESS_TTL_SECONDS, private_name(address)) if address and self._contains(address) else None
        return None

    def _contains(self, address: IPv4Address) -> bool:
        return any(address in network for network in self.networks)

    def _is_above(self, entries: dict[str, NameEntry], name: str) -> bool:
        """Whether there are names below this one, so that it exists without having an address."""
        return name in DOMAINS or any(known.endswith(f".{name}") for known in entries)

    def _is_ours(self, name: str) -> bool:
        if name.endswith(".in-addr.arpa"):
            address = _address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
            return address is not None and self._contains(address)
        return any(name.endswith(f".{domain}") for domain in DOMAINS)

    def _deny(self, reply: dnslib.DNSRecord, name: str) -> None:
        """Add the SOA record that limits negative caching to the TTL of a positive response."""
        apex = next((domain for domain in DOMAINS if name == domain or name.endswith(f".{domain}")), name.partition(".")[2] or name)
        times = (1, 3600, 600, 86400, self._names.ttl_seconds)
        soa = dnslib.SOA(f"ns.{apex}", f"operator.{apex}", times)
        reply.add_auth(dnslib.RR(apex, dnslib.QTYPE.SOA, ttl=self._names.ttl_seconds, rdata=soa))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer queries over TCP, each preceded by its length, until the client closes the connection."""
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    (length,) = struct.unpack(">H", await reader.readexactly(2))
                    answer = self.answer(await reader.readexactly(length))
                    if answer is None:
                        return
                    writer.write(struct.pack(">H", len(answer)) + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass  # The client closed the connection or was idle.
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's transports are no subclasses.

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        answer = self._resolver.answer(data)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def open_sockets(addresses: Iterable[str], port: int = 53) -> list[socket.socket]:
    """UDP and TCP sockets for a resolver, in the calling thread's network namespace."""
    found = []
    try:
        for address in addresses:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                each = socket.socket(socket.AF_INET, kind)
                found.append(each)
                each.setblocking(False)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                each.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    each.listen(64)
    except OSError:
        for each in found:
            each.close()
        raise
    return found


def private_name(address: IPv4Address | str) -> str:
    """The private name of an address ("Amazon EC2 instance hostname types": IP names in us-east-1)."""
    return f"ip-{str(address).replace('.', '-')}.ec2.internal"


def _folded(name: str) -> str:
    return name.rstrip(".").lower()


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def _malformed(question: bytes) -> bytes | None:
    """A FORMERR response, if the message has a header at least."""
    if len(question) < 12 or question[2] & 0x80:
        return None
    return question[:2] + struct.pack(">HHHHH", 0x8001, 0, 0, 0, 0)
