"""Checks UpdateTable in AWS's order: which changes may be combined, and which indexes may be created.

Most kinds of change must be the only one of a request. Creating or deleting an index may be combined with a change of the billing mode or
of other indexes' throughput.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zonal.dynamo.items import validation
from zonal.dynamo.keys import KeyPart
from zonal.dynamo.table import KeyElement, TableRecord
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb.schemas import MAX_GLOBAL, check_class, check_global, check_units
from zonal.services.operation import ReadParameters

_INVALID = "One or more parameter values were invalid: "
_CHANGES = (
    *("ProvisionedThroughput", "BillingMode", "StreamSpecification", "GlobalSecondaryIndexUpdates", "SSESpecification"),
    *("DeletionProtectionEnabled", "OnDemandThroughput", "TableClass"),
)
_NO_CHANGE = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, SSESpecification,"
    " ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, DeletionProtectionEnabled,"
    " OnDemandThroughput, WarmThroughput or TableClass is required"
)
_ALONE = {
    "SSESpecification": "Server-Side Encryption",
    "TableClass": "TableClass",
    "DeletionProtectionEnabled": "DeletionProtection",
}
_ONE_KIND = (
    "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null"
)


def check_update(request: ReadParameters) -> None:
    """Check UpdateTable without its table. Raises `ValidationException` or `LimitExceededException`."""
    check_class(request)
    updates = request.get("GlobalSecondaryIndexUpdates")
    changes = {name for name in _CHANGES if name in request} - (set() if updates else {"GlobalSecondaryIndexUpdates"})
    if not changes:
        raise validation(_NO_CHANGE)
    if updates is not None and not updates:
        raise validation(_INVALID + "List of GlobalSecondaryIndexUpdates is empty")
    if request.get("BillingMode") == "PROVISIONED" and "ProvisionedThroughput" not in request:
        raise validation(_INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
    check_units(request.get("ProvisionedThroughput"))
    online = _online(updates or ())
    _check_together(changes, online=online > 0)
    if online > 1:
        raise AwsError(
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )


def _online(updates: Sequence[ReadParameters]) -> int:
    """The number of indexes that the updates create or delete."""
    names: set[str] = set()
    online = 0
    for update in updates:
        kinds = [kind for kind in ("Update", "Create", "Delete") if update.get(kind) is not None]
        if not kinds:
            raise validation(_INVALID + _ONE_KIND)
        if len(kinds) > 1:
            raise validation(_INVALID + "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object")
        change = update[kinds[0]]
        if change["IndexName"] in names:
            raise validation(
                f"{_INVALID}Only one global secondary index update per index is allowed simultaneously. Index: {change['IndexName']}"
            )
        names.add(change["IndexName"])
        check_units(change.get("ProvisionedThroughput"), change["IndexName"])
        online += kinds[0] != "Update"
    return online


def _check_together(changes: set[str], *, online: bool) -> None:
    for name, what in _ALONE.items():
        if name in changes and len(changes) > 1:
            raise validation(f"{_INVALID}{what} modification must be the only operation in the request")
    if "OnDemandThroughput" in changes and changes - {"OnDemandThroughput", "BillingMode"}:
        raise validation(_INVALID + "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request")
    if {"StreamSpecification", "ProvisionedThroughput"} <= changes:
        raise validation(_INVALID + "You cannot modify stream status while updating table IOPS")
    if online and "ProvisionedThroughput" in changes:
        raise validation(_INVALID + "You cannot create or delete index while updating table IOPS")
    if online and "StreamSpecification" in changes:
        raise validation(_INVALID + "You cannot create or delete index while changing stream status")


def new_attributes(create: ReadParameters, record: TableRecord, definitions: Sequence[ReadParameters] | None) -> tuple[KeyPart, ...]:
    """Check a new global index. Returns the table's key attributes with those of the index.

    `definitions` are those of the request; they must contain every attribute of the index's key, also known ones.
    """
    name = create["IndexName"]
    if any(index.name == name for index in record.indexes):
        raise validation("Attempting to create an index which already exists")
    if definitions is None:
        raise validation(f"{_INVALID}AttributeDefinitions is not specified for index: {name}")
    check_global(create, [each["AttributeName"] for each in definitions], set())
    _check_throughput(create, record)
    if sum(index.is_global for index in record.indexes) >= MAX_GLOBAL:
        raise AwsError(
            "LimitExceededException",
            f"Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit of {MAX_GLOBAL}",
        )
    known = {part.name: part for part in record.attributes}
    given = {each["AttributeName"]: KeyPart(each["AttributeName"], each["AttributeType"]) for each in definitions}
    for element in create["KeySchema"]:
        attribute = element["AttributeName"]
        if known.setdefault(attribute, given[attribute]) != given[attribute]:
            raise validation(_redefined(create, record, given, attribute))
    return tuple(known.values())


def _check_throughput(create: ReadParameters, record: TableRecord) -> None:
    throughput, name = create.get("ProvisionedThroughput"), create["IndexName"]
    if record.billing == "PAY_PER_REQUEST" and throughput is not None:
        raise validation(
            f"{_INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {name}"
            " when BillingMode is PAY_PER_REQUEST"
        )
    if record.billing != "PAY_PER_REQUEST" and throughput is None:
        raise validation(f"{_INVALID}Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: {name}")


def _redefined(create: ReadParameters, record: TableRecord, given: Mapping[str, KeyPart], attribute: str) -> str:
    schemas = [record.keys, *(index.keys for index in record.indexes)]
    existing = next(keys for keys in schemas if any(element.name == attribute for element in keys))
    new = [KeyElement(element["AttributeName"], element["KeyType"]) for element in create["KeySchema"]]
    types = {part.name: part for part in record.attributes}
    return (
        f"{_INVALID}Attributes cannot be redefined. Please check that your attribute has the same type as previously defined."
        f" Existing schema: {_schema(existing, types)} New schema: {_schema(new, given)}"
    )


def _schema(keys: Sequence[KeyElement], types: Mapping[str, KeyPart]) -> str:
    elements = (f"SchemaElement: key{{{element.name}:{types[element.name].type}:{element.role}}}" for element in keys)
    return f"Schema:[{', '.join(elements)}]"
