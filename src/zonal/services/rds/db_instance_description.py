"""Renders DB instances as DescribeDBInstances answers them, from the instance's record and its deployment.

Clients poll, and little changes between two requests. So a description is rendered again only after one of the records that it shows has
changed; that is known by identity, because a changed record is another object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus
from zonal.control.failover import Redundancy
from zonal.records.record_view import RecordView
from zonal.services.rds import lifecycle
from zonal.services.rds.certificates import AUTHORITY
from zonal.services.rds.engines import ENGINES
from zonal.services.rds.model import HOSTED_ZONE, DbInstance, SubnetGroup
from zonal.services.rds.subnet_groups import answer_group
from zonal.services.rds.tags import answer_tags
from zonal.wire.xml import CachedXml

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DBInstanceTypeDef, DBSubnetGroupTypeDef, PendingModifiedValuesTypeDef

HIDDEN = "****"
STORAGE_FULL = "storage-full"
"""The status of an available instance whose storage is exhausted ("Viewing Amazon RDS DB instance status"). It is not recorded: it follows
the disk, and every operation that `available` permits is still permitted."""

IsStorageFull = Callable[[str], bool]
"""Whether the disk of an instance, by its resource id, is full."""


class _Known(NamedTuple):
    """A rendered description and the records that it shows. A changed record is another object."""

    records: tuple[object, ...]
    shown: CachedXml

    def shows(self, *records: object) -> bool:
        return all(mine is theirs for mine, theirs in zip(self.records, records, strict=True))


class Descriptions:
    """Cache of rendered descriptions, one for each DB instance."""

    def __init__(self, is_storage_full: IsStorageFull) -> None:
        self._is_storage_full = is_storage_full
        self._instances: dict[str, _Known] = {}
        self._groups: dict[str, CachedXml] = {}

    def of(self, view: RecordView) -> Callable[[DbInstance], Mapping[str, Any]]:
        """The function that describes an instance in this view."""
        self._refresh(view)

        def describe(instance: DbInstance) -> CachedXml:
            group = self._groups[instance.subnet_group]
            is_full = self._is_storage_full(instance.id)
            records = instance, view.get(DeploymentStatus, instance.id), view.get(DeploymentSpec, instance.id), group, is_full
            known = self._instances.get(instance.id)
            if known is None or not known.shows(*records):
                shown = answer_instance(view, instance, group=cast("DBSubnetGroupTypeDef", group))
                shown["DBInstanceStatus"] = shown_status(instance, is_storage_full=is_full)
                known = _Known(records, CachedXml(shown))
                self._instances[instance.id] = known
            return known.shown

        return describe

    def _refresh(self, view: RecordView) -> None:
        """Render the subnet groups, which show EC2's subnets too, and drop the descriptions of deleted instances."""
        for group in view.select(SubnetGroup):
            shown = answer_group(view, group)
            if self._groups.get(group.id) != shown:
                self._groups[group.id] = CachedXml(shown)
        for gone in [id for id in self._instances if view.get(DbInstance, id) is None]:
            del self._instances[gone]


def shown_status(instance: DbInstance, *, is_storage_full: bool) -> str:
    """The status that RDS answers: the recorded one, or `storage-full` for an available instance that cannot write."""
    return STORAGE_FULL if is_storage_full and instance.status == lifecycle.AVAILABLE else instance.status


def answer_instance(view: RecordView, instance: DbInstance, *, group: DBSubnetGroupTypeDef | None = None) -> DBInstanceTypeDef:
    """An instance as DescribeDBInstances answers it. `group` is the description of its subnet group, if it is rendered already."""
    engine, deployment_status = ENGINES[instance.engine], view.get(DeploymentStatus, instance.id)
    shown: DBInstanceTypeDef = {
        "DBInstanceIdentifier": instance.identifier,
        "DBInstanceClass": instance.instance_class,
        "Engine": instance.engine,
        "DBInstanceStatus": instance.status,
        "MasterUsername": instance.master_username,
        "AllocatedStorage": instance.allocated_storage,
        "PreferredBackupWindow": instance.backup_window,
        "BackupRetentionPeriod": 0,
        "DBSecurityGroups": [],
        "VpcSecurityGroups": [{"VpcSecurityGroupId": id, "Status": "active"} for id in instance.group_ids],
        "DBParameterGroups": [{"DBParameterGroupName": _parameter_group(instance), "ParameterApplyStatus": "in-sync"}],
        "DBSubnetGroup": group or answer_group(view, view.require(SubnetGroup, instance.subnet_group)),
        "PreferredMaintenanceWindow": instance.maintenance_window,
        "PendingModifiedValues": _pending(view, instance),
        "MultiAZ": instance.multi_az,
        "EngineVersion": instance.engine_version,
        "AutoMinorVersionUpgrade": instance.auto_minor_version_upgrade,
        "ReadReplicaDBInstanceIdentifiers": [],
        "LicenseModel": engine.license,
        "OptionGroupMemberships": [{"OptionGroupName": engine.option_group(_major(instance)), "Status": "in-sync"}],
        "PubliclyAccessible": instance.publicly_accessible,
        "StorageType": instance.storage_type,
        "DbInstancePort": 0,
        "StorageEncrypted": False,
        "DbiResourceId": instance.id,
        "CACertificateIdentifier": AUTHORITY,
        "CertificateDetails": {"CAIdentifier": AUTHORITY, "ValidTill": instance.certificate_until},
        "DomainMemberships": [],
        "CopyTagsToSnapshot": instance.copy_tags_to_snapshot,
        "MonitoringInterval": 0,
        "DBInstanceArn": instance.arn,
        "IAMDatabaseAuthenticationEnabled": False,
        "DatabaseInsightsMode": "standard",
        "PerformanceInsightsEnabled": False,
        "DeletionProtection": instance.deletion_protection,
        "AssociatedRoles": [],
        "TagList": answer_tags(instance.tags),
        "CustomerOwnedIpEnabled": False,
        "NetworkType": "IPV4",
        "ActivityStreamStatus": "stopped",
        "BackupTarget": "region",
        "StatusInfos": [],
        "DedicatedLogVolume": False,
        "IsStorageConfigUpgradeAvailable": False,
        "EngineLifecycleSupport": "open-source-rds-extended-support",
    }
    if instance.database:
        shown["DBName"] = instance.database
    if instance.status != lifecycle.CREATING:
        shown["Endpoint"] = {"Address": instance.endpoint, "Port": instance.port, "HostedZoneId": HOSTED_ZONE}
        shown["InstanceCreateTime"] = instance.created
    _show_zones(shown, instance, deployment_status)
    return shown


def _show_zones(shown: DBInstanceTypeDef, instance: DbInstance, deployment_status: DeploymentStatus | None) -> None:
    """Add the leader's zone, and the standby's zone while the standby holds every acknowledged write."""
    if deployment_status is None or not deployment_status.members:
        if instance.interfaces:
            shown["AvailabilityZone"] = instance.interfaces[0].zone
        return
    leader = next((member for member in deployment_status.members if member.name == deployment_status.leader), deployment_status.members[0])
    shown["AvailabilityZone"] = leader.place.zone
    if deployment_status.standby is not None and deployment_status.redundancy is Redundancy.SYNCHRONOUS:
        shown["SecondaryAvailabilityZone"] = deployment_status.standby.place.zone


def _pending(view: RecordView, instance: DbInstance) -> PendingModifiedValuesTypeDef:
    shown: PendingModifiedValuesTypeDef = {}
    for changes in (instance.applying, instance.pending):
        if changes.instance_class is not None:
            shown["DBInstanceClass"] = changes.instance_class
        if changes.allocated_storage is not None:
            shown["AllocatedStorage"] = changes.allocated_storage
        if changes.storage_type is not None:
            shown["StorageType"] = changes.storage_type
        if changes.multi_az is not None:
            shown["MultiAZ"] = changes.multi_az
        if changes.engine_version is not None:
            shown["EngineVersion"] = changes.engine_version
        if changes.identifier is not None:
            shown["DBInstanceIdentifier"] = changes.identifier
    deployment_status, deployment_spec = view.get(DeploymentStatus, instance.id), view.get(DeploymentSpec, instance.id)
    if instance.password_pending and deployment_status and deployment_spec and deployment_status.password < instance.password_pending:
        shown["MasterUserPassword"] = HIDDEN
    return shown


def _major(instance: DbInstance) -> str:
    return instance.engine_version.partition(".")[0]


def _parameter_group(instance: DbInstance) -> str:
    return ENGINES[instance.engine].parameter_group(_major(instance))
