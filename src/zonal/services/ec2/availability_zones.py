"""DescribeAvailabilityZones, DescribeRegions, DescribeAccountAttributes.

Zone *names* (us-east-1a) and zone *ids* (use1-az1) differ: AWS maps names to zones differently in each account, ids are the same for all.
This account's names map to the ids in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import REGION
from zonal.services.ec2 import filters
from zonal.services.ec2.listing import strings
from zonal.services.ec2.lookups import default_vpc
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AvailabilityZoneTypeDef,
        DescribeAccountAttributesRequestTypeDef,
        DescribeAvailabilityZonesRequestTypeDef,
        DescribeRegionsRequestTypeDef,
        RegionTypeDef,
    )

ZONES: Mapping[str, str] = {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2", "us-east-1c": "use1-az3"}
"""Zone ids by zone names."""

_ZONE_PATHS = {
    "group-name": "GroupName",
    "group-long-name": "GroupLongName",
    "message": "Messages.Message",
    "opt-in-status": "OptInStatus",
    "parent-zone-id": "ParentZoneId",
    "parent-zone-name": "ParentZoneName",
    "region-name": "RegionName",
    "state": "State",
    "zone-id": "ZoneId",
    "zone-name": "ZoneName",
    "zone-type": "ZoneType",
}
_REGION_PATHS = {"endpoint": "Endpoint", "opt-in-status": "OptInStatus", "region-name": "RegionName"}


def zone_named(*, name: str | None, id: str | None) -> str | None:
    """The zone's name, given its name or its id; None if neither is given.

    Raises `InvalidParameterValue`, and `InvalidParameterCombination` if both are given.
    """
    if name and id:
        raise AwsError(
            "InvalidParameterCombination", "You cannot specify both availabilityZone and availabilityZoneId in the same request."
        )
    if id:
        for known, zone_id in ZONES.items():
            if zone_id == id:
                return known
        raise AwsError("InvalidParameterValue", _unknown(id, "availabilityZoneId", ZONES.values()))
    if name and name not in ZONES:
        raise AwsError("InvalidParameterValue", _unknown(name, "availabilityZone", ZONES))
    return name or None


def _unknown(value: str, parameter: str, known: Iterable[str]) -> str:
    return (
        f"Value ({value}) for parameter {parameter} is invalid. Subnets can currently only be created in the following"
        f" availability zones: {', '.join(known)}."
    )


def answer_zone(name: str) -> AvailabilityZoneTypeDef:
    """A zone as DescribeAvailabilityZones shows it.

    The state is `available` even while a fault cuts the zone off: AWS's API does not show an outage there either.
    """
    return {
        "ZoneName": name,
        "ZoneId": ZONES[name],
        "State": "available",
        "RegionName": REGION,
        "OptInStatus": "opt-in-not-required",
        "GroupName": f"{REGION}-zg-1",
        "GroupLongName": "US East (N. Virginia) 1",
        "NetworkBorderGroup": REGION,
        "ZoneType": "availability-zone",
        "Messages": [],
    }


def answer_region() -> RegionTypeDef:
    return {"RegionName": REGION, "Endpoint": f"ec2.{REGION}.amazonaws.com", "OptInStatus": "opt-in-not-required"}


class AvailabilityZones:
    """The read-only operations on zones, regions and the account."""

    @operation("DescribeAvailabilityZones")
    def describe_zones(self, call: ControlCall, request: DescribeAvailabilityZonesRequestTypeDef) -> ResponseMembers:
        names, ids = strings(request, "ZoneNames"), strings(request, "ZoneIds")
        for value in [name for name in names if name not in ZONES] + [id for id in ids if id not in ZONES.values()]:
            raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{value}]")
        asked = list(request.get("Filters") or ())
        shown = [answer_zone(name) for name, id in ZONES.items() if (not names or name in names) and (not ids or id in ids)]
        return {"AvailabilityZones": filters.passing(shown, asked, _ZONE_PATHS)}

    @operation("DescribeRegions")
    def describe_regions(self, call: ControlCall, request: DescribeRegionsRequestTypeDef) -> ResponseMembers:
        """Return the only region, also with `AllRegions`."""
        for name in strings(request, "RegionNames"):
            if name != REGION:
                raise AwsError("InvalidParameterValue", f"Invalid region name: [{name}]")
        asked = list(request.get("Filters") or ())
        return {"Regions": filters.passing([answer_region()], asked, _REGION_PATHS)}

    @operation("DescribeAccountAttributes")
    def describe_account(self, call: ControlCall, request: DescribeAccountAttributesRequestTypeDef) -> ResponseMembers:
        vpc = default_vpc(call.transaction)
        attributes = {
            "supported-platforms": "VPC",
            "default-vpc": vpc.id if vpc else "none",
            "max-instances": "20",
            "vpc-max-security-groups-per-interface": "5",
            "max-elastic-ips": "5",
            "vpc-max-elastic-ips": "5",
        }
        names = strings(request, "AttributeNames")
        for name in names:
            if name not in attributes:
                raise AwsError("InvalidParameterValue", f"Value ({name}) for parameter attributeName is invalid. Invalid attribute name")
        shown = [name for name in attributes if not names or name in names]
        return {"AccountAttributes": [{"AttributeName": name, "AttributeValues": [{"AttributeValue": attributes[name]}]} for name in shown]}
