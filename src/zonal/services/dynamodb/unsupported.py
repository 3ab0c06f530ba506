"""Parameters of DynamoDB's operations that are rejected, because zonal does not do what they ask for.

`TABLE` is printed into docs/dynamodb.md. A parameter that is absent, empty, false or 0 asks for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from zonal.dynamo.items import validation


class UnsupportedParameter(NamedTuple):
    """A parameter of an operation, as a path into its request; with `values`, only these values of it are rejected."""

    operation: str
    path: str
    reason: str
    values: tuple[str, ...] = ()


_WARM = "zonal does not keep warm throughput"
_GLOBAL = "zonal has no global tables"
_VECTOR = "zonal has no vector indexes"
_POLICY = "zonal has no resource policies for DynamoDB"
_KMS = "zonal has no key management service"
TABLE = (
    UnsupportedParameter("CreateTable", "WarmThroughput", _WARM),
    UnsupportedParameter("CreateTable", "GlobalSecondaryIndexes[].WarmThroughput", _WARM),
    UnsupportedParameter("CreateTable", "ResourcePolicy", _POLICY),
    UnsupportedParameter("CreateTable", "GlobalTableSourceArn", _GLOBAL),
    UnsupportedParameter("CreateTable", "GlobalTableSettingsReplicationMode", _GLOBAL),
    UnsupportedParameter("CreateTable", "VectorIndexes", _VECTOR),
    UnsupportedParameter("CreateTable", "SSESpecification.KMSMasterKeyId", _KMS),
    UnsupportedParameter("UpdateTable", "WarmThroughput", _WARM),
    UnsupportedParameter("UpdateTable", "GlobalSecondaryIndexUpdates[].Create.WarmThroughput", _WARM),
    UnsupportedParameter("UpdateTable", "GlobalSecondaryIndexUpdates[].Update.WarmThroughput", _WARM),
    UnsupportedParameter("UpdateTable", "ReplicaUpdates", _GLOBAL),
    UnsupportedParameter("UpdateTable", "MultiRegionConsistency", _GLOBAL),
    UnsupportedParameter("UpdateTable", "GlobalTableWitnessUpdates", _GLOBAL),
    UnsupportedParameter("UpdateTable", "GlobalTableSettingsReplicationMode", _GLOBAL),
    UnsupportedParameter("UpdateTable", "DisassociationProtectionEnabled", _GLOBAL),
    UnsupportedParameter("UpdateTable", "VectorIndexUpdates", _VECTOR),
    UnsupportedParameter("UpdateTable", "SSESpecification.KMSMasterKeyId", _KMS),
    UnsupportedParameter("ExportTableToPointInTime", "ExportFormat", "zonal writes DYNAMODB_JSON", ("ION",)),
    UnsupportedParameter("ExportTableToPointInTime", "FilterSpecification", "zonal exports all items"),
    UnsupportedParameter("ExportTableToPointInTime", "S3SseAlgorithm", _KMS, ("KMS",)),
    UnsupportedParameter("ExportTableToPointInTime", "S3SseKmsKeyId", _KMS),
    UnsupportedParameter("ImportTable", "InputFormat", "zonal reads DYNAMODB_JSON and CSV", ("ION",)),
    UnsupportedParameter("ImportTable", "InputCompressionType", "zonal reads NONE and GZIP", ("ZSTD",)),
    UnsupportedParameter("ImportTable", "TableCreationParameters.GlobalSecondaryIndexes[].WarmThroughput", _WARM),
    UnsupportedParameter("ImportTable", "TableCreationParameters.VectorIndexes", _VECTOR),
    UnsupportedParameter("ImportTable", "TableCreationParameters.SSESpecification.KMSMasterKeyId", _KMS),
    UnsupportedParameter("RestoreTableFromBackup", "GlobalSecondaryIndexOverride[].WarmThroughput", _WARM),
    UnsupportedParameter("RestoreTableFromBackup", "VectorIndexOverride", _VECTOR),
    UnsupportedParameter("RestoreTableFromBackup", "SSESpecificationOverride.KMSMasterKeyId", _KMS),
    UnsupportedParameter("RestoreTableToPointInTime", "GlobalSecondaryIndexOverride[].WarmThroughput", _WARM),
    UnsupportedParameter("RestoreTableToPointInTime", "VectorIndexOverride", _VECTOR),
    UnsupportedParameter("RestoreTableToPointInTime", "SSESpecificationOverride.KMSMasterKeyId", _KMS),
)


def reject_unsupported(operation: str, request: Any) -> None:
    """Raise `ValidationException` for the first unsupported parameter that the request sets."""
    for row in TABLE:
        if row.operation != operation:
            continue
        for value in _values(request, row.path.replace("[]", ".[]").split(".")):
            if value in row.values if row.values else value:
                shown = f"{row.path} {value}" if row.values else row.path
                raise validation(f"{shown} is not available in this region: {row.reason}")


def _values(request: Any, steps: list[str]) -> Iterator[Any]:
    """What stands at a path of the request; several values where the path passes through a list."""
    if not steps:
        yield request
    elif steps[0] == "[]":
        for element in request or ():
            yield from _values(element, steps[1:])
    elif isinstance(request, dict) and steps[0] in request:
        yield from _values(request[steps[0]], steps[1:])
