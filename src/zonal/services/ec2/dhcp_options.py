"""Sets of DHCP options: a VPC's name servers and domain name.

zonal's hosts always use their VPC's resolver, so the only accepted values are `AmazonProvidedDNS` and the region's domain,
`ec2.internal`. Any other server, domain or option is rejected, because no host would use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, resource_id
from zonal.records.store import Transaction
from zonal.services.ec2 import model
from zonal.services.ec2.listing import Listing
from zonal.services.ec2.lookups import find, has_dependencies
from zonal.services.ec2.model import DhcpOptions
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AssociateDhcpOptionsRequestTypeDef,
        CreateDhcpOptionsRequestTypeDef,
        DeleteDhcpOptionsRequestTypeDef,
        DescribeDhcpOptionsRequestTypeDef,
        DhcpOptionsTypeDef,
    )

STANDARD: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("domain-name", ("ec2.internal",)),
    ("domain-name-servers", ("AmazonProvidedDNS",)),
)
"""The default set of every account in us-east-1."""

_LISTING = Listing(
    DhcpOptions,
    ids="DhcpOptionsIds",
    id="DhcpOptionsId",
    answers="DhcpOptions",
    paths={
        "dhcp-options-id": "DhcpOptionsId",
        "key": "DhcpConfigurations.Key",
        "value": "DhcpConfigurations.Values.Value",
        "owner-id": "OwnerId",
    },
)


def standard(transaction: Transaction) -> DhcpOptions:
    """The account's default set, created if there is none."""
    found = transaction.select(DhcpOptions, lambda options: options.configurations == STANDARD)
    if found:
        return found[0]
    options = DhcpOptions(id=resource_id("dopt"), configurations=STANDARD)
    transaction.put(options)
    return options


def answer_options(options: DhcpOptions) -> DhcpOptionsTypeDef:
    """A set as DescribeDhcpOptions shows it."""
    return {
        "DhcpOptionsId": options.id,
        "OwnerId": ACCOUNT,
        "DhcpConfigurations": [{"Key": key, "Values": [{"Value": value} for value in values]} for key, values in options.configurations],
        "Tags": answer_tags(options),
    }


NO_OPTIONS = "default"
"""AssociateDhcpOptions accepts it instead of an id and leaves the VPC without a set of options; Terraform uses it to disassociate."""


class DhcpOptionSets:
    """The operations on sets of DHCP options."""

    @operation("CreateDhcpOptions")
    def create(self, call: ControlCall, request: CreateDhcpOptionsRequestTypeDef) -> ResponseMembers:
        given = tuple((str(each.get("Key")), tuple(each.get("Values") or ())) for each in request["DhcpConfigurations"])
        if not given:
            raise AwsError("MissingParameter", "The request must contain the parameter dhcpConfiguration")
        for key, values in given:
            if (key, values) not in STANDARD:
                raise AwsError(
                    "InvalidParameterValue",
                    f"Value ({', '.join(values)}) for DHCP option {key} is not supported: zonal's hosts use their VPC's resolver"
                    " (domain-name-servers AmazonProvidedDNS, domain-name ec2.internal)",
                )
        options = DhcpOptions(id=resource_id("dopt"), configurations=given, tags=given_tags(request, DhcpOptions))
        call.transaction.put(options)
        return {"DhcpOptions": answer_options(options)}

    @operation("AssociateDhcpOptions")
    def associate(self, call: ControlCall, request: AssociateDhcpOptionsRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        vpc = find(tx, model.Vpc, request["VpcId"])
        id = request["DhcpOptionsId"]
        if id != NO_OPTIONS:
            find(tx, DhcpOptions, id)
        tx.put(replace(vpc, dhcp_options_id=id))
        return {}

    @operation("DeleteDhcpOptions")
    def delete(self, call: ControlCall, request: DeleteDhcpOptionsRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        options = find(tx, DhcpOptions, request["DhcpOptionsId"])
        if tx.select(model.Vpc, lambda vpc: vpc.dhcp_options_id == options.id):
            raise has_dependencies("dhcpOptions", options.id)
        tx.delete(DhcpOptions, options.id)
        return {}

    @operation("DescribeDhcpOptions")
    def describe(self, call: ControlCall, request: DescribeDhcpOptionsRequestTypeDef) -> ResponseMembers:
        return _LISTING.describe(call, request, answer_options)
