"""Names of devices and namespaces, and hardware addresses, derived from the ids of what they belong to."""

from __future__ import annotations

import base64
import hashlib
from zlib import crc32

CORE_DEVICE = "core"
"""In a zone's namespace: the device towards the VPC's core."""

GATEWAY_DEVICE = "igw"
"""In a core: the device towards the internet."""

NEXT_HOP = "169.254.0.1"
"""The next hop on every link inside the fabric. No interface has this address; permanent neighbour entries map it to hardware addresses."""

MTU = 9001
"""As inside an AWS VPC ("Network MTU for your EC2 instance")."""


def core_name(network: str) -> str:
    """The namespace of a network's core."""
    return f"{network}"


def zone_name(network: str, zone: str) -> str:
    """The namespace of a network in a zone."""
    return f"{network}@{zone}"


def port_name(interface: str) -> str:
    """The device of an interface on its zone's side. Device names have fifteen characters at most."""
    return "p" + hashlib.sha1(interface.encode()).hexdigest()[:12]


def transit_name(target: str) -> str:
    """The device in a zone that leads, through the core, to the target of a route in another zone."""
    return "t" + hashlib.sha1(target.encode()).hexdigest()[:12]


def core_transit_name(zone: str, target: str) -> str:
    """The core's end of that device. It begins with the zone's name, so that the rules of zone faults match it."""
    return f"{zone}.{base64.urlsafe_b64encode(hashlib.sha1(target.encode()).digest()[:3]).decode()}"


def internet_link_name(network: str) -> str:
    """The device in the internet towards a VPC."""
    return "v" + hashlib.sha1(network.encode()).hexdigest()[:12]


def mac(*parts: str) -> str:
    """A locally administered hardware address, derived from the parts."""
    return "02:" + hashlib.sha1("/".join(parts).encode()).digest()[:5].hex(":")


def table_number(id: str) -> int:
    """The number of the routing table of a subnet or of a route's target. It depends on the id alone and is not one of the kernel's."""
    return crc32(id.encode()) | 0x10000
