"""Checks the key schemas, indexes and throughput of CreateTable, in AWS's order and with its messages."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from zonal.dynamo.items import validation
from zonal.dynamo.table import KeyElement, TableRecord
from zonal.services.operation import ReadParameters

MAX_LOCAL, MAX_GLOBAL, MAX_PARTS, MAX_PROJECTED = 5, 20, 4, 100
MAX_UNITS = 1_000_000_000_000
_CLASSES = ("STANDARD", "STANDARD_INFREQUENT_ACCESS")
_INVALID = "One or more parameter values were invalid: "
NO_THROUGHPUT = _INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
BOTH_UNITS = _INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"


def key_elements(request: Sequence[ReadParameters]) -> tuple[KeyElement, ...]:
    """The elements of a `KeySchema`."""
    return tuple(KeyElement(each["AttributeName"], each["KeyType"]) for each in request)


def check_table(request: ReadParameters) -> None:
    """Check CreateTable. Raises `ValidationException`."""
    _check_billing(request)
    check_class(request)
    definitions = [each["AttributeName"] for each in request["AttributeDefinitions"]]
    _check_table_keys(request["KeySchema"], definitions)
    locals_, globals_ = request.get("LocalSecondaryIndexes"), request.get("GlobalSecondaryIndexes")
    if locals_ is None and globals_ is None and len(request["KeySchema"]) != len(set(definitions)):
        raise validation(
            _INVALID + "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions"
        )
    if len(set(definitions)) != len(definitions):
        twice = next(name for at, name in enumerate(definitions) if name in definitions[:at])
        raise validation(f"Attribute Name is duplicated: {twice}")
    names: set[str] = set()
    if locals_ is not None:
        _check_locals(locals_, request, definitions, names)
    if globals_ is not None:
        _check_globals(globals_, definitions, names, on_demand=request.get("BillingMode") == "PAY_PER_REQUEST")
    _check_all_used(request, definitions)
    _check_stream(request.get("StreamSpecification"))


def check_class(request: ReadParameters) -> None:
    """Check the `TableClass`, if the request has one."""
    if request.get("TableClass", "STANDARD") not in _CLASSES:
        raise validation(
            f"Invalid table-class parameter provided. Please try again with a valid table-class value: [{', '.join(_CLASSES)}]."
        )


def without_idle_attributes(record: TableRecord) -> TableRecord:
    """The record without attribute definitions that no key uses, after an index was deleted."""
    used = {element.name for element in record.keys}
    used |= {element.name for index in record.indexes for element in index.keys}
    return replace(record, attributes=tuple(part for part in record.attributes if part.name in used))


def _check_billing(request: ReadParameters) -> None:
    throughput, mode = request.get("ProvisionedThroughput"), request.get("BillingMode")
    if mode == "PAY_PER_REQUEST":
        if throughput is not None:
            raise validation(NO_THROUGHPUT)
    elif throughput is None:
        raise validation(BOTH_UNITS)
    else:
        _reject_on_demand(request, "")
        for index in request.get("GlobalSecondaryIndexes") or ():
            _reject_on_demand(index, f" for index: {index['IndexName']}")
    check_units(throughput)


def _reject_on_demand(request: ReadParameters, where: str) -> None:
    if maxima := request.get("OnDemandThroughput"):
        member = "MaxReadRequestUnits" if "MaxReadRequestUnits" in maxima else "MaxWriteRequestUnits"
        raise validation(f"{_INVALID}{member} for OnDemandThroughput{where} cannot be specified when table BillingMode is PROVISIONED.")


def check_units(throughput: ReadParameters | None, index: str = "") -> None:
    """Check the upper bound of capacity units."""
    for name in ("ReadCapacityUnits", "WriteCapacityUnits") if throughput else ():
        assert throughput is not None
        if throughput[name] > MAX_UNITS:
            where = f" for index {index}" if index else ""
            raise validation(f"Given value {throughput[name]} for {name} is out of bounds{where}")


def _check_table_keys(schema: Sequence[ReadParameters], definitions: Sequence[str]) -> None:
    names = [element["AttributeName"] for element in schema]
    if len(names) > len(definitions):
        raise validation("Invalid KeySchema: Some index key attribute have no definition")
    _check_defined(names, definitions)
    _check_roles(schema)


def _check_defined(names: Sequence[str], definitions: Sequence[str]) -> None:
    if any(name not in definitions for name in names):
        raise validation(
            f"{_INVALID}Some index key attributes are not defined in AttributeDefinitions."
            f" Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(definitions)}]"
        )


def _check_roles(schema: Sequence[ReadParameters]) -> None:
    if len(schema) == 2 and schema[0]["AttributeName"] == schema[1]["AttributeName"]:
        raise validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if schema[0]["KeyType"] != "HASH":
        raise validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(schema) == 2 and schema[1]["KeyType"] != "RANGE":
        raise validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")


def _check_locals(indexes: Sequence[ReadParameters], request: ReadParameters, definitions: Sequence[str], names: set[str]) -> None:
    if not indexes:
        raise validation(_INVALID + "List of LocalSecondaryIndexes is empty")
    if len(request["KeySchema"]) != 2:
        raise validation(_INVALID + "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
    table_hash = request["KeySchema"][0]["AttributeName"]
    for index in indexes:
        schema, name = index["KeySchema"], index["IndexName"]
        _check_defined([element["AttributeName"] for element in schema], definitions)
        _check_roles(schema)
        if len(schema) != 2:
            raise validation(f"{_INVALID}Index KeySchema does not have a range key for index: {name}")
        if schema[0]["AttributeName"] != table_hash:
            raise validation(
                f"{_INVALID}Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}."
                f" index hash key: {schema[0]['AttributeName']}, table hash key: {table_hash}"
            )
        _check_projection(index, names)
    if len(indexes) > MAX_LOCAL:
        raise validation(f"{_INVALID}Number of LocalSecondaryIndexes exceeds per-table limit of {MAX_LOCAL}")


def _check_globals(indexes: Sequence[ReadParameters], definitions: Sequence[str], names: set[str], *, on_demand: bool) -> None:
    if not indexes:
        raise validation(_INVALID + "List of GlobalSecondaryIndexes is empty")
    for index in indexes:
        check_global(index, definitions, names)
        throughput = index.get("ProvisionedThroughput")
        if on_demand and throughput is not None:
            raise validation(
                f"{_INVALID}ProvisionedThroughput should not be specified for index: {index['IndexName']}"
                " when BillingMode is PAY_PER_REQUEST"
            )
        if not on_demand and throughput is None:
            raise validation(f"{_INVALID}ProvisionedThroughput is not specified for index: {index['IndexName']}")
        check_units(throughput, index["IndexName"])
    if len(indexes) > MAX_GLOBAL:
        raise validation(f"{_INVALID}GlobalSecondaryIndex count exceeds the per-table limit of {MAX_GLOBAL}")


def check_global(index: ReadParameters, definitions: Sequence[str], names: set[str]) -> None:
    """Check the key and projection of a global index. Its name must not be in `names` and is added to them."""
    schema = index["KeySchema"]
    _check_defined([element["AttributeName"] for element in schema], definitions)
    _check_roles(schema) if len(schema) <= 2 and schema[-1]["KeyType"] == "RANGE" else _check_many(schema)
    _check_projection(index, names)


def _check_many(schema: Sequence[ReadParameters]) -> None:
    """A key of several attributes: up to four HASH, then up to four RANGE."""
    roles = [element["KeyType"] for element in schema]
    names = [element["AttributeName"] for element in schema]
    if len(set(names)) != len(names):
        raise validation("The KeySchema contains multiple key attributes with the same name")
    if roles[0] != "HASH":
        raise validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    hashes = roles.count("HASH")
    if roles != ["HASH"] * hashes + ["RANGE"] * (len(roles) - hashes):
        raise validation(_INVALID + "All HASH key attributes must precede RANGE key attributes in the KeySchema")
    for role in ("HASH", "RANGE"):
        if roles.count(role) > MAX_PARTS:
            raise validation(f"{_INVALID}The KeySchema exceeds the maximum allowed number of {role} key attributes")


def _check_projection(index: ReadParameters, names: set[str]) -> None:
    projection = index["Projection"]
    kind = projection.get("ProjectionType")
    if kind is None:
        raise validation(_INVALID + "Unknown ProjectionType: null")
    if projection.get("NonKeyAttributes") is not None and kind != "INCLUDE":
        raise validation(f"{_INVALID}ProjectionType is {kind}, but NonKeyAttributes is specified")
    if kind == "INCLUDE" and projection.get("NonKeyAttributes") is None:
        raise validation(_INVALID + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    projected = projection.get("NonKeyAttributes") or ()
    for at, name in enumerate(projected):
        if name in projected[:at]:
            raise validation(f"{_INVALID}Duplicate element in NonKeyAttributes: {name}")
    if index["IndexName"] in names:
        raise validation(f"{_INVALID}Duplicate index name: {index['IndexName']}")
    names.add(index["IndexName"])


def _check_all_used(request: ReadParameters, definitions: Sequence[str]) -> None:
    used = {element["AttributeName"] for element in request["KeySchema"]}
    for index in [*(request.get("LocalSecondaryIndexes") or ()), *(request.get("GlobalSecondaryIndexes") or ())]:
        used |= {element["AttributeName"] for element in index["KeySchema"]}
    unused = [name for name in definitions if name not in used]
    if unused:
        raise validation(
            f"{_INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: [{', '.join(definitions)}],"
            f" keys used: [{', '.join(sorted(used))}]"
        )


def _check_stream(stream: ReadParameters | None) -> None:
    if stream is None:
        return
    if stream["StreamEnabled"] and "StreamViewType" not in stream:
        raise validation(_INVALID + "Table is being created with a stream enabled, UpdateViewType is required")
    if not stream["StreamEnabled"] and "StreamViewType" in stream:
        raise validation(_INVALID + "Table is being created with a stream disabled, UpdateViewType should not be specified")
