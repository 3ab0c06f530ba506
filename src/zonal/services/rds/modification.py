"""ModifyDBInstance: changes that are applied at once, and changes that wait for the maintenance window unless `ApplyImmediately`.

Always at once: the master password, security groups, public access, deletion protection, windows, tags to snapshots. In the
window unless `ApplyImmediately`: Multi-AZ, class, storage, version, identifier ("Settings for DB instances" in the RDS User Guide).
`apply` turns changes into the spec of the deployment; the reconcilers carry it out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, DeploymentStatus
from zonal.foundation.errors import AwsError
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.common.subnet_groups import IsLost
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds import events, lifecycle, placement
from zonal.services.rds.checks import check_password, checked_identifier
from zonal.services.rds.creation import REFUSED, check_only, check_parameter_group, password_verifier
from zonal.services.rds.db_instance_description import answer_instance
from zonal.services.rds.deployment_owner import owner
from zonal.services.rds.engine_versions import EngineVersionCatalog
from zonal.services.rds.engines import ENGINES
from zonal.services.rds.instance_classes import check_class, check_storage
from zonal.services.rds.lookups import UNSUPPORTED, find_instance, instance_exists
from zonal.services.rds.model import WINDOWS, DbInstance, PendingChanges, SubnetGroup, instance_arn
from zonal.services.rds.subnet_groups import RULES, subnets_of

if TYPE_CHECKING:
    from datetime import datetime

    from types_boto3_rds.type_defs import ModifyDBInstanceMessageTypeDef

MODIFY_REFUSED = {name: reason for name, reason in REFUSED.items() if name not in ("EnableCloudwatchLogsExports",)} | {
    "DBSubnetGroupName": "zonal does not move a DB instance to another subnet group",
    "DBPortNumber": "zonal does not change the port of a DB instance",
    "AllowMajorVersionUpgrade": "zonal does not upgrade to another major version yet",
    "CloudwatchLogsExportConfiguration": "zonal has no CloudWatch Logs",
    "UseDefaultProcessorFeatures": "RDS has it for Oracle and SQL Server only",
    "CertificateRotationRestart": "zonal does not rotate certificates yet",
    "DisableDomain": "zonal has no directory service yet",
    "ReplicaMode": "RDS has it for Oracle and Db2 only",
    "AutomationMode": "zonal has no RDS Custom",
    "ResumeFullAutomationModeMinutes": "zonal has no RDS Custom",
    "AwsBackupRecoveryPointArn": "zonal has no AWS Backup",
    "RotateMasterUserPassword": "zonal has no Secrets Manager; give MasterUserPassword",
    "Engine": "the engine of a DB instance cannot be changed",
}


CHANGED_BY = {
    "DBInstanceClass": "instance_class",
    "AllocatedStorage": "allocated_storage",
    "StorageType": "storage_type",
    "MultiAZ": "multi_az",
    "EngineVersion": "engine_version",
    "NewDBInstanceIdentifier": "identifier",
}
"""The parameters that wait for the window, with the field of `PendingChanges`."""


class Modification:
    """The operation that changes a DB instance."""

    def __init__(self, catalog: EngineVersionCatalog, is_lost: IsLost) -> None:
        self._catalog = catalog
        self._is_lost = is_lost

    @operation("ModifyDBInstance")
    def modify(self, call: ControlCall, request: ModifyDBInstanceMessageTypeDef) -> ResponseMembers:
        tx = call.transaction
        instance = find_instance(tx, request["DBInstanceIdentifier"])
        if instance.status != lifecycle.AVAILABLE and not _is_stuck(tx, instance):
            raise AwsError(
                "InvalidDBInstanceState", f"Database instance is not in available state: {instance.identifier} is {instance.status}."
            )
        UNSUPPORTED.reject(request, MODIFY_REFUSED)
        check_only(request, ENGINES[instance.engine])
        changes = self._changes(call, request, instance)
        instance = self._at_once(call, request, instance)
        changes = _together(_not_named(instance.pending, request), changes)
        if request.get("ApplyImmediately"):
            instance = apply(tx, replace(instance, pending=PendingChanges()), changes, call.now, self._is_lost)
        else:
            instance = replace(instance, pending=changes)
        tx.put(instance)
        return {"DBInstance": answer_instance(tx, instance)}

    def _at_once(self, call: ControlCall, request: ModifyDBInstanceMessageTypeDef, instance: DbInstance) -> DbInstance:
        """Apply the changes that do not wait for the window."""
        tx = call.transaction
        if (password := request.get("MasterUserPassword")) is not None:
            instance = _reset_password(tx, instance, password)
        if (ids := request.get("VpcSecurityGroupIds")) is not None:
            vpc_id = tx.require(SubnetGroup, instance.subnet_group).vpc_id
            instance = replace(instance, group_ids=placement.INTERFACES.checked_groups(tx, vpc_id, ids))
            placement.set_groups(tx, instance, instance.group_ids)
        public = request.get("PubliclyAccessible")
        if public is not None and public != instance.publicly_accessible:
            if public:
                placement.check_public(tx, tx.require(SubnetGroup, instance.subnet_group).vpc_id)
            placement.set_public(tx, instance, public=public)
            instance = replace(instance, publicly_accessible=public)
        return replace(
            _rewindowed(request, instance),
            deletion_protection=request.get("DeletionProtection", instance.deletion_protection),
            auto_minor_version_upgrade=request.get("AutoMinorVersionUpgrade", instance.auto_minor_version_upgrade),
            copy_tags_to_snapshot=request.get("CopyTagsToSnapshot", instance.copy_tags_to_snapshot),
        )

    def _changes(self, call: ControlCall, request: ModifyDBInstanceMessageTypeDef, instance: DbInstance) -> PendingChanges:
        """The changes that wait for the window, validated. A parameter with the present value is not a change."""
        version = self._version(request, instance)
        installed = self._catalog.chosen(instance.engine, instance.engine_version)
        check_parameter_group(request.get("DBParameterGroupName"), ENGINES[instance.engine], installed)
        name = request.get("DBInstanceClass")
        if name is not None:
            check_class(name, engine=instance.engine, version=instance.engine_version)
        present = _together(_present(instance), instance.applying)
        multi_az = request.get("MultiAZ")
        if multi_az:
            RULES.check_coverage(subnets_of(call.transaction, call.transaction.require(SubnetGroup, instance.subnet_group)))
        new = request.get("NewDBInstanceIdentifier")
        if new is not None:
            new = checked_identifier(new, "NewDBInstanceIdentifier")
            if new != instance.identifier and instance_exists(call.transaction, new):
                raise AwsError("DBInstanceAlreadyExists", "DB instance already exists")
        storage_type = request.get("StorageType")
        storage = _storage(request, instance)
        check_storage(storage_type or instance.storage_type, storage or instance.allocated_storage, engine=instance.engine)
        return PendingChanges(
            instance_class=name if name != present.instance_class else None,
            allocated_storage=storage,
            storage_type=storage_type if storage_type != present.storage_type else None,
            multi_az=multi_az if multi_az != present.multi_az else None,
            engine_version=version,
            identifier=new if new != instance.identifier else None,
        )

    def _version(self, request: ModifyDBInstanceMessageTypeDef, instance: DbInstance) -> str | None:
        asked = request.get("EngineVersion")
        applying = instance.applying.engine_version
        if asked is None or asked == (applying or instance.engine_version):
            return None
        if applying and asked == instance.engine_version:
            return asked  # This takes back an upgrade that does not complete.
        now = self._catalog.chosen(instance.engine, instance.engine_version)
        wanted = self._catalog.chosen(instance.engine, asked)
        if wanted.version == now.version:
            return None
        if wanted not in self._catalog.upgrades(instance.engine, now):
            raise AwsError("InvalidParameterCombination", f"Cannot upgrade {instance.engine} from {now.version} to {wanted.version}")
        return wanted.version


def apply(transaction: Transaction, instance: DbInstance, changes: PendingChanges, now: datetime, is_lost: IsLost) -> DbInstance:
    """Write these changes into the deployment's spec; returns the instance with the status that shows them."""
    if changes.identifier is not None and instance_exists(transaction, changes.identifier):
        changes = replace(changes, identifier=None)  # Another instance took the name while the change waited for the window.
    if changes == PendingChanges():
        return instance
    wanted = transaction.require(DeploymentSpec, instance.id)
    if changes.instance_class is not None:
        size = check_class(changes.instance_class, engine=instance.engine, version=instance.engine_version)
        wanted = replace(wanted, memory_bytes=size.memory_bytes, revision=_next_revision(transaction, wanted))
        events.note(transaction, instance.identifier, 12)
    if changes.engine_version is not None:
        wanted = replace(wanted, engine_version=changes.engine_version, revision=_next_revision(transaction, wanted))
    if changes.multi_az is not None:
        events.note(transaction, instance.identifier, 24 if changes.multi_az else 30)
        instance, wanted = _resized(transaction, instance, wanted, now, is_lost, multi_az=changes.multi_az)
    if changes.identifier is not None:
        wanted = replace(wanted, owner=owner(changes.identifier))
        transaction.note("rds.renamed", instance_arn(changes.identifier), former=instance.identifier, identifier=changes.identifier)
        instance = replace(instance, former_identifier=instance.identifier, identifier=changes.identifier)
    transaction.put(wanted)
    event = "rename" if changes.identifier else "upgrade" if changes.engine_version else "modify"
    status = lifecycle.LIFECYCLE.next(instance.status, event) if instance.status == lifecycle.AVAILABLE else instance.status
    return replace(instance, status=status, applying=_together(instance.applying, replace(changes, identifier=None)))


def take_back(transaction: Transaction, instance: DbInstance, deployment_status: DeploymentStatus) -> DbInstance:
    """Set the deployment's spec back to the instance before a modification that failed. Other changes in progress continue."""
    wanted = transaction.require(DeploymentSpec, instance.id)
    size = check_class(instance.instance_class, engine=instance.engine, version=instance.engine_version)
    before = replace(wanted, memory_bytes=size.memory_bytes, engine_version=instance.engine_version)
    leader = deployment_status.leading
    runs_it = (leader.memory_bytes, leader.engine_version, leader.settings) == (before.memory_bytes, before.engine_version, before.settings)
    revision = leader.revision if runs_it and leader.revision != wanted.revision else _next_revision(transaction, wanted)
    transaction.put(replace(before, revision=revision))
    return replace(instance, applying=replace(instance.applying, instance_class=None, engine_version=None))


def _next_revision(view: RecordView, wanted: DeploymentSpec) -> int:
    """A revision number that no spec had before, not even that of a failed modification."""
    return max(wanted.revision, view.require(DeploymentStatus, wanted.id).failed_revision) + 1


def _is_stuck(view: RecordView, instance: DbInstance) -> bool:
    """Whether a change in progress waits for something. Then another modification is permitted."""
    deployment_status = view.get(DeploymentStatus, instance.id)
    return instance.status in lifecycle.CHANGING and deployment_status is not None and bool(deployment_status.why)


def _present(instance: DbInstance) -> PendingChanges:
    """The present values of an instance, as changes."""
    return PendingChanges(
        instance_class=instance.instance_class,
        allocated_storage=instance.allocated_storage,
        storage_type=instance.storage_type,
        multi_az=instance.multi_az,
        engine_version=instance.engine_version,
    )


def _resized(
    transaction: Transaction, instance: DbInstance, wanted: DeploymentSpec, now: datetime, is_lost: IsLost, *, multi_az: bool
) -> tuple[DbInstance, DeploymentSpec]:
    """The instance and its spec with a second place in another zone, or with the leader's place only."""
    deployment_status = transaction.require(DeploymentStatus, instance.id)
    if not multi_az:
        return instance, replace(wanted, places=(deployment_status.leading.place,))
    group = transaction.require(SubnetGroup, instance.subnet_group)
    here = deployment_status.leading.place
    [zone] = placement.chosen_zones(transaction, group, count=1, is_lost=is_lost, but=(here.zone,))
    instance, place = placement.add_node(transaction, instance, group, zone, now)
    return instance, replace(wanted, places=(here, place))


def _reset_password(transaction: Transaction, instance: DbInstance, password: str) -> DbInstance:
    check_password(password)
    wanted = transaction.require(DeploymentSpec, instance.id)
    transaction.put(replace(wanted, password=wanted.password + 1))
    kept = transaction.require(DeploymentSecrets, instance.id)
    verifier = password_verifier(ENGINES[instance.engine], password)
    transaction.put(replace(kept, members=kept.members | {"master": verifier}))
    status = lifecycle.LIFECYCLE.next(instance.status, "reset") if instance.status == lifecycle.AVAILABLE else instance.status
    return replace(instance, password_pending=wanted.password + 1, status=status)


def _rewindowed(request: ModifyDBInstanceMessageTypeDef, instance: DbInstance) -> DbInstance:
    maintenance, backup = request.get("PreferredMaintenanceWindow"), request.get("PreferredBackupWindow")
    maintenance = WINDOWS.checked_maintenance(maintenance) if maintenance else instance.maintenance_window
    backup = WINDOWS.checked_daily(backup) if backup else instance.backup_window
    WINDOWS.check_apart(maintenance, backup)
    return replace(instance, maintenance_window=maintenance, backup_window=backup)


def _storage(request: ModifyDBInstanceMessageTypeDef, instance: DbInstance) -> int | None:
    """The requested storage, raised to at least ten percent more than the present one (ModifyDBInstance, AllocatedStorage)."""
    asked = request.get("AllocatedStorage")
    if asked is None or asked == instance.allocated_storage:
        return None
    if asked < instance.allocated_storage:
        raise AwsError(
            "InvalidParameterCombination",
            f"Invalid storage size: {asked}. Allocated storage cannot be decreased from {instance.allocated_storage} GiB.",
        )
    return max(asked, math.ceil(instance.allocated_storage * 1.1))


def _not_named(pending: PendingChanges, request: ModifyDBInstanceMessageTypeDef) -> PendingChanges:
    """The pending changes of the parameters that the request does not have.

    A parameter in the request replaces its pending change; with the present value it cancels it ("Using the schedule modifications setting"
    in the RDS User Guide).
    """
    return replace(pending, **{field: None for name, field in CHANGED_BY.items() if name in request})


def _together(first: PendingChanges, second: PendingChanges) -> PendingChanges:
    """Both changes merged; the second one wins."""
    mine = {name: value for name, value in msgspec.structs.asdict(second).items() if value is not None}
    return replace(first, **mine)
