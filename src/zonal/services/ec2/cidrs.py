"""IPv4 CIDR blocks: parsing, canonical form, and AWS's rules for VPCs and subnets.

The block of a VPC or subnet has between 16 (/28) and 65,536 (/16) addresses. In each subnet AWS reserves the first four addresses and the
last ("Subnet CIDR blocks" in the Amazon VPC User Guide).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from zonal.foundation.errors import AwsError

LARGEST_PREFIX = 28
SMALLEST_PREFIX = 16
RESERVED_ADDRESSES = 5
"""Addresses that AWS reserves in each subnet: network, router, resolver, one for future use, and the last."""

_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_FORBIDDEN = tuple(
    map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "100.64.0.0/16", "198.51.100.0/24", "203.0.113.0/24"))
)
"""Ranges that no VPC may overlap. The first four are AWS's list; the others are zonal's management and public addresses."""


def network(text: str, parameter: str) -> IPv4Network:
    """A range in canonical form: `100.68.0.18/18` becomes `100.68.0.0/18`, as on EC2. Raises `InvalidParameterValue`."""
    try:
        if "/" not in text:
            raise ValueError(text)
        return IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise AwsError(
            "InvalidParameterValue", f"Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."
        ) from None


def address(text: str, parameter: str) -> str:
    """An IPv4 address. Raises `InvalidParameterValue`."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise AwsError("InvalidParameterValue", f"Value ({text}) for parameter {parameter} is invalid. Invalid IPv4 address.") from None


def vpc_range(text: str) -> str:
    """A valid range for a VPC. Raises `InvalidVpc.Range`."""
    chosen = network(text, "cidrBlock")
    if not SMALLEST_PREFIX <= chosen.prefixlen <= LARGEST_PREFIX or any(chosen.overlaps(each) for each in _FORBIDDEN):
        raise AwsError("InvalidVpc.Range", f"The CIDR '{text}' is invalid.")
    return str(chosen)


def further_vpc_range(text: str, present: Iterable[str]) -> str:
    """A valid additional range for a VPC with the ranges `present`.

    It may not overlap them, nor belong to another RFC 1918 range than the primary one ("IPv4 CIDR block association restrictions" in the
    Amazon VPC User Guide). Raises `InvalidVpc.Range`.
    """
    chosen = IPv4Network(vpc_range(text))
    ranges = [IPv4Network(each) for each in present]
    if any(chosen.overlaps(each) for each in ranges):
        raise AwsError("InvalidVpc.Range", f"The CIDR '{chosen}' conflicts with another CIDR of the VPC.")
    home = next((private for private in _PRIVATE if ranges[0].subnet_of(private)), None)
    other = next((private for private in _PRIVATE if chosen.overlaps(private)), None)
    if home is not None and other is not None and home != other:
        raise AwsError(
            "InvalidVpc.Range",
            f"The CIDR '{chosen}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR,"
            " or use a publicly-routable CIDR.",
        )
    return str(chosen)


def subnet_range(text: str, *, within: Iterable[str], beside: Iterable[str]) -> str:
    """A valid range for a subnet: inside one of the VPC's ranges, not overlapping any other subnet.

    Raises `InvalidSubnet.Range` and `InvalidSubnet.Conflict`.
    """
    chosen = network(text, "cidrBlock")
    inside = any(chosen.subnet_of(IPv4Network(each)) for each in within)
    if not inside or not SMALLEST_PREFIX <= chosen.prefixlen <= LARGEST_PREFIX:
        raise AwsError("InvalidSubnet.Range", f"The CIDR '{text}' is invalid.")
    if any(chosen.overlaps(IPv4Network(each)) for each in beside):
        raise AwsError("InvalidSubnet.Conflict", f"The CIDR '{text}' conflicts with another subnet")
    return str(chosen)


def overlap(one: str, other: str) -> bool:
    return IPv4Network(one).overlaps(IPv4Network(other))


def contains(outer: str, inner: str) -> bool:
    """Whether `inner` equals `outer` or is a part of it."""
    return IPv4Network(inner).subnet_of(IPv4Network(outer))


def usable(cidr: str) -> Iterator[str]:
    """The addresses of a subnet that interfaces may use, in ascending order."""
    return (str(IPv4Address(number)) for number in _usable_numbers(cidr))


def usable_count(cidr: str) -> int:
    return IPv4Network(cidr).num_addresses - RESERVED_ADDRESSES


def is_usable(cidr: str, address: str) -> bool:
    """Whether an address is in a subnet and not reserved there."""
    return int(IPv4Address(address)) in _usable_numbers(cidr)


def is_inside(cidr: str, address: str) -> bool:
    return IPv4Address(address) in IPv4Network(cidr)


def _usable_numbers(cidr: str) -> range:
    first = int(IPv4Network(cidr).network_address)
    return range(first + 4, int(IPv4Network(cidr).broadcast_address))
