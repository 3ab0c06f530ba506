"""DescribeDBInstances, RebootDBInstance, StopDBInstance, StartDBInstance and DeleteDBInstance.

Each change is written into the deployment's spec (`control.deployment_records.DeploymentSpec`), with a status that shows it;
`db_instance_reconciler` ends the status when the deployment matches the spec.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Power
from zonal.control.failover import Redundancy
from zonal.foundation.errors import AwsError
from zonal.services.common.filters import has_values
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds import lifecycle
from zonal.services.rds.db_instance_description import Descriptions, IsStorageFull, answer_instance
from zonal.services.rds.lookups import UNSUPPORTED, filters, find_instance, page
from zonal.services.rds.model import DbInstance, instance_arn

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import (
        DeleteDBInstanceMessageTypeDef,
        DescribeDBInstancesMessageTypeDef,
        RebootDBInstanceMessageTypeDef,
        StartDBInstanceMessageTypeDef,
        StopDBInstanceMessageTypeDef,
    )

_FILTERS = ("db-cluster-id", "db-instance-id", "dbi-resource-id", "domain", "engine")


class DbInstances:
    """The operations on existing DB instances."""

    def __init__(self, is_storage_full: IsStorageFull) -> None:
        self._descriptions = Descriptions(is_storage_full)

    @operation("DescribeDBInstances")
    def describe(self, call: ControlCall, request: DescribeDBInstancesMessageTypeDef) -> ResponseMembers:
        tx = call.transaction
        asked = filters(request, _FILTERS)
        named = request.get("DBInstanceIdentifier")
        found = [find_instance(tx, named)] if named else tx.select(DbInstance)
        chosen = [instance for instance in found if _passes(instance, asked)]
        return page(chosen, request, "DBInstances", lambda instance: instance.identifier, self._descriptions.of(tx))

    @operation("RebootDBInstance")
    def reboot(self, call: ControlCall, request: RebootDBInstanceMessageTypeDef) -> ResponseMembers:
        instance = _in(call, request["DBInstanceIdentifier"], lifecycle.AVAILABLE)
        deployment_spec = call.transaction.require(DeploymentSpec, instance.id)
        if request.get("ForceFailover"):
            if not instance.multi_az:
                raise AwsError(
                    "InvalidParameterCombination", "You can't enable force failover if the instance isn't configured for Multi-AZ."
                )
            deployment_status = call.transaction.require(DeploymentStatus, instance.id)
            if deployment_status.redundancy is not Redundancy.SYNCHRONOUS:
                raise AwsError(
                    "InvalidDBInstanceState",
                    f"Instance {instance.identifier} cannot fail over now: "
                    f"its standby does not hold every write ({deployment_status.redundancy}).",
                )
            deployment_spec = replace(deployment_spec, failover=deployment_spec.failover + 1)
        else:
            deployment_spec = replace(deployment_spec, restart=deployment_spec.restart + 1)
        return _request_change(call, instance, "reboot", deployment_spec)

    @operation("StopDBInstance")
    def stop(self, call: ControlCall, request: StopDBInstanceMessageTypeDef) -> ResponseMembers:
        UNSUPPORTED.reject(request, {"DBSnapshotIdentifier": "zonal has no snapshots yet"})
        instance = _in(call, request["DBInstanceIdentifier"], lifecycle.AVAILABLE)
        return _request_change(call, instance, "stop", replace(call.transaction.require(DeploymentSpec, instance.id), power=Power.OFF))

    @operation("StartDBInstance")
    def start(self, call: ControlCall, request: StartDBInstanceMessageTypeDef) -> ResponseMembers:
        UNSUPPORTED.reject(request, {"DBCapacityReservationIdentifier": "zonal has no capacity reservations"})
        instance = _in(call, request["DBInstanceIdentifier"], lifecycle.STOPPED)
        return _request_change(call, instance, "start", replace(call.transaction.require(DeploymentSpec, instance.id), power=Power.ON))

    @operation("DeleteDBInstance")
    def delete(self, call: ControlCall, request: DeleteDBInstanceMessageTypeDef) -> ResponseMembers:
        instance = find_instance(call.transaction, request["DBInstanceIdentifier"])
        _check_final_snapshot(request)
        if instance.deletion_protection:
            raise AwsError(
                "InvalidParameterCombination", "Cannot delete protected DB Instance, please disable deletion protection and try again."
            )
        if instance.status == lifecycle.DELETING:
            raise AwsError("InvalidDBInstanceState", f"Instance {instance.identifier} is already being deleted.")
        deployment_spec = call.transaction.require(DeploymentSpec, instance.id)
        return _request_change(call, instance, "delete", replace(deployment_spec, power=Power.DELETED))


def _in(call: ControlCall, identifier: str, status: str) -> DbInstance:
    """The instance; it must have this status. Raises `InvalidDBInstanceState`."""
    instance = find_instance(call.transaction, identifier)
    if instance.status != status:
        raise AwsError("InvalidDBInstanceState", f"Instance {instance.identifier} is not in {status} state.")
    return instance


def _request_change(call: ControlCall, instance: DbInstance, event: str, deployment_spec: DeploymentSpec) -> ResponseMembers:
    instance = replace(instance, status=lifecycle.LIFECYCLE.next(instance.status, event))
    call.transaction.put(instance)
    call.transaction.put(deployment_spec)
    return {"DBInstance": answer_instance(call.transaction, instance)}


def _check_final_snapshot(request: DeleteDBInstanceMessageTypeDef) -> None:
    snapshot, skip = request.get("FinalDBSnapshotIdentifier"), request.get("SkipFinalSnapshot")
    if snapshot and skip:
        raise AwsError("InvalidParameterCombination", "FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is true.")
    if not snapshot and not skip:
        raise AwsError("InvalidParameterCombination", "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
    if snapshot:
        raise AwsError(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier is not supported: zonal has no snapshots yet; delete with SkipFinalSnapshot, see docs/limits.md",
        )


def _passes(instance: DbInstance, asked: Mapping[str, Collection[str]]) -> bool:
    properties = {
        "db-cluster-id": (),
        "domain": (),
        "db-instance-id": (instance.identifier, instance_arn(instance.identifier)),
        "dbi-resource-id": (instance.id,),
        "engine": (instance.engine,),
    }
    return has_values(properties, asked)
