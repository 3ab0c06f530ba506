"""CreateDBInstance: validates the request, chooses zones and addresses, and records the instance, its secrets and its deployment's spec.

The reconcilers create the engines. Each parameter is either honoured or refused; `REFUSED` has the reason for each that is refused.
"""

from __future__ import annotations

import base64
import random
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec
from zonal.foundation.errors import AwsError
from zonal.services.common.subnet_groups import IsLost
from zonal.services.ec2.availability_zones import ZONES
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds import lifecycle
from zonal.services.rds.certificates import CertificateIssuer, check_authority
from zonal.services.rds.checks import check_database, check_master_username, check_password, check_port, checked_identifier
from zonal.services.rds.db_instance_description import answer_instance
from zonal.services.rds.deployment_owner import owner
from zonal.services.rds.engine_versions import EngineVersionCatalog, Installed
from zonal.services.rds.engines import ENGINES, RdsEngine
from zonal.services.rds.instance_classes import DEFAULT_STORAGE_TYPE, check_class, check_storage
from zonal.services.rds.lookups import UNSUPPORTED, find_subnet_group, instance_exists
from zonal.services.rds.model import DOMAIN, WINDOWS, DbInstance, SubnetGroup
from zonal.services.rds.placement import INTERFACES, add_node, check_public, chosen_zones
from zonal.services.rds.subnet_groups import DEFAULT, RULES, default_group, subnets_of
from zonal.services.rds.tags import merged

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import CreateDBInstanceMessageTypeDef

MOST_INSTANCES = 1000
"""AWS's default quota is 40 ("Quotas and constraints for Amazon RDS") and can be raised. zonal's limit is that of the machine."""

_NO_BACKUPS = "zonal has no automated backups yet"
REFUSED = {
    "DBSecurityGroups": "DB security groups were for EC2-Classic; use VpcSecurityGroupIds",
    "BackupRetentionPeriod": f"{_NO_BACKUPS}; use 0",
    "Iops": "zonal does not measure out provisioned IOPS",
    "StorageThroughput": "zonal does not measure out storage throughput",
    "OptionGroupName": "PostgreSQL has no option groups here",
    "CharacterSetName": "RDS has it for Oracle only",
    "NcharCharacterSetName": "RDS has it for Oracle only",
    "DBClusterIdentifier": "zonal has no DB clusters",
    "TdeCredentialArn": "RDS has it for Oracle and SQL Server only",
    "TdeCredentialPassword": "RDS has it for Oracle and SQL Server only",
    "StorageEncrypted": "zonal does not encrypt storage",
    "KmsKeyId": "zonal does not encrypt storage",
    "Domain": "zonal has no directory service yet",
    "DomainFqdn": "zonal has no directory service yet",
    "DomainOu": "zonal has no directory service yet",
    "DomainAuthSecretArn": "zonal has no directory service yet",
    "DomainDnsIps": "zonal has no directory service yet",
    "DomainIAMRoleName": "zonal has no directory service yet",
    "MonitoringInterval": "zonal has no Enhanced Monitoring; use 0",
    "MonitoringRoleArn": "zonal has no Enhanced Monitoring",
    "Timezone": "RDS has it for Db2 and SQL Server only",
    "EnableIAMDatabaseAuthentication": "zonal has no IAM database authentication",
    "EnablePerformanceInsights": "zonal has no Performance Insights",
    "PerformanceInsightsKMSKeyId": "zonal has no Performance Insights",
    "PerformanceInsightsRetentionPeriod": "zonal has no Performance Insights",
    "EnableCloudwatchLogsExports": "zonal has no CloudWatch Logs",
    "ProcessorFeatures": "RDS has them for Oracle and SQL Server only",
    "MaxAllocatedStorage": "zonal has no storage autoscaling",
    "EnableCustomerOwnedIp": "zonal has no Outposts",
    "CustomIamInstanceProfile": "zonal has no RDS Custom",
    "DBSystemId": "RDS has it for Oracle only",
    "ManageMasterUserPassword": "zonal has no Secrets Manager; give MasterUserPassword",
    "MasterUserSecretKmsKeyId": "zonal has no Secrets Manager",
    "MultiTenant": "RDS has it for Oracle only",
    "DedicatedLogVolume": "zonal has no dedicated log volumes",
    "AdditionalStorageVolumes": "zonal has no additional storage volumes",
    "DBCapacityReservationIdentifier": "zonal has no capacity reservations",
    "PromotionTier": "RDS has it for Aurora only",
    "TagSpecifications": f"they tag automated backups, and {_NO_BACKUPS}; give Tags",
}
ONLY = {
    "NetworkType": "IPV4",
    "BackupTarget": "region",
    "DatabaseInsightsMode": "standard",
    "MasterUserAuthenticationType": "password",
    "EngineLifecycleSupport": "open-source-rds-extended-support",
}
"""Parameters of which zonal supports one value only."""


class Creation:
    """The operation that creates a DB instance."""

    def __init__(self, catalog: EngineVersionCatalog, authority: CertificateIssuer, is_lost: IsLost) -> None:
        self._catalog = catalog
        self._authority = authority
        self._is_lost = is_lost

    @operation("CreateDBInstance")
    def create(self, call: ControlCall, request: CreateDBInstanceMessageTypeDef) -> ResponseMembers:
        tx = call.transaction
        identifier = checked_identifier(request["DBInstanceIdentifier"])
        UNSUPPORTED.reject(request, REFUSED)
        version = self._catalog.chosen(request["Engine"], request.get("EngineVersion"))
        engine = ENGINES[request["Engine"]]
        check_only(request, engine)
        _check_contents(request, version)
        if instance_exists(tx, identifier):
            raise AwsError("DBInstanceAlreadyExists", "DB instance already exists")
        if len(tx.select(DbInstance)) >= MOST_INSTANCES:
            raise AwsError("InstanceQuotaExceeded", "You have exceeded the number of DB instances that can be created.")
        group = _subnet_group(call, request)
        instance = self._instance(call, request, identifier, version, group)
        places = []
        for zone in self._zones(call, request, group):
            instance, place = add_node(tx, instance, group, zone, call.now)
            places.append(place)
        memory = check_class(instance.instance_class, engine=instance.engine, version=version.version).memory_bytes
        tx.put(instance)
        tx.put(
            DeploymentSpec(
                id=instance.id,
                owner=owner(identifier),
                engine=instance.engine,
                engine_version=version.version,
                port=instance.port,
                places=tuple(places),
                vpc_id=group.vpc_id,
                options=engine.definition.stored_options(master_user=instance.master_username, database=instance.database),
                memory_bytes=memory,
            )
        )
        return {"DBInstance": answer_instance(tx, instance)}

    def _instance(
        self, call: ControlCall, request: CreateDBInstanceMessageTypeDef, identifier: str, version: Installed, group: SubnetGroup
    ) -> DbInstance:
        """The instance's record. Also records the secrets, with a verifier in place of the password."""
        tx = call.transaction
        public = _is_public(request)
        if public:
            check_public(tx, group.vpc_id)
        maintenance, backup = WINDOWS.settled(
            request.get("PreferredMaintenanceWindow"), request.get("PreferredBackupWindow"), random.Random()
        )
        id, engine = new_resource_id(), ENGINES[request["Engine"]]
        credentials = self._authority.issue((f"{identifier}.{DOMAIN}", f"*.{DOMAIN}"))
        tx.put(
            DeploymentSecrets(
                id=id,
                members=engine.definition.stored_secrets(
                    operator=secrets.token_urlsafe(24),
                    replication=secrets.token_urlsafe(24),
                    master=password_verifier(engine, request["MasterUserPassword"]),
                    certificate=credentials.certificate,
                    private_key=credentials.private_key,
                ),
            )
        )
        return DbInstance(
            id=id,
            identifier=identifier,
            status=lifecycle.CREATING,
            created=call.now,
            engine=request["Engine"],
            engine_version=version.version,
            instance_class=request["DBInstanceClass"],
            allocated_storage=request["AllocatedStorage"],
            storage_type=request.get("StorageType") or DEFAULT_STORAGE_TYPE,
            master_username=request["MasterUsername"],
            port=request.get("Port") or engine.port,
            subnet_group=group.id,
            group_ids=INTERFACES.checked_groups(tx, group.vpc_id, request.get("VpcSecurityGroupIds")),
            multi_az=bool(request.get("MultiAZ")),
            publicly_accessible=public,
            maintenance_window=maintenance,
            backup_window=backup,
            certificate_until=credentials.valid_until,
            database=request.get("DBName"),
            deletion_protection=bool(request.get("DeletionProtection")),
            auto_minor_version_upgrade=request.get("AutoMinorVersionUpgrade", True),
            copy_tags_to_snapshot=bool(request.get("CopyTagsToSnapshot")),
            tags=merged({}, request.get("Tags") or ()),
        )

    def _zones(self, call: ControlCall, request: CreateDBInstanceMessageTypeDef, group: SubnetGroup) -> list[str]:
        zone, multi_az = request.get("AvailabilityZone"), bool(request.get("MultiAZ"))
        if zone and zone not in ZONES:
            raise AwsError("InvalidVPCNetworkStateFault", f"{zone} is not a valid Availability Zone.")
        if zone and multi_az:
            raise AwsError("InvalidParameterCombination", "Requesting a specific availability zone is not valid for Multi-AZ instances.")
        if multi_az:
            RULES.check_coverage(subnets_of(call.transaction, group))
        return chosen_zones(call.transaction, group, count=2 if multi_az else 1, is_lost=self._is_lost, wanted=zone)


def check_only(request: Mapping[str, object], engine: RdsEngine) -> None:
    """Raise `InvalidParameterCombination` for a parameter with another value than the one that zonal supports."""
    UNSUPPORTED.require_only(request, ONLY | {"LicenseModel": engine.license})
    check_authority(cast("str | None", request.get("CACertificateIdentifier")))


def password_verifier(engine: RdsEngine, password: str) -> str:
    """What the engine's nodes keep of the master user's password."""
    verifier = engine.definition.password_verifier
    assert verifier is not None, f"{engine.name} has no passwords"
    return verifier(password)


def check_parameter_group(name: str | None, engine: RdsEngine, version: Installed) -> None:
    """Raises `DBParameterGroupNotFound` for any but the version's default group."""
    if name not in (None, "", engine.parameter_group(version.major)):
        raise AwsError("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}", status=404)


def new_resource_id() -> str:
    """A DbiResourceId: `db-` and 26 letters and digits."""
    return "db-" + base64.b32encode(secrets.token_bytes(20)).decode()[:26]


def _check_contents(request: CreateDBInstanceMessageTypeDef, version: Installed) -> None:
    """Validate names, password and sizes, which depend on the request alone."""
    for member in ("AllocatedStorage", "MasterUsername", "MasterUserPassword"):
        if request.get(member) is None:
            raise AwsError(
                "InvalidParameterValue" if member != "AllocatedStorage" else "MissingParameter",
                f"The parameter {member} must be provided and must not be blank.",
            )
    engine = ENGINES[request["Engine"]]
    check_master_username(request["MasterUsername"], engine)
    check_password(request["MasterUserPassword"])
    if (name := request.get("DBName")) is not None:
        check_database(name, engine)
    if (port := request.get("Port")) is not None:
        check_port(port)
    check_class(request["DBInstanceClass"], engine=request["Engine"], version=version.version)
    check_storage(request.get("StorageType") or DEFAULT_STORAGE_TYPE, request["AllocatedStorage"], engine=request["Engine"])
    check_parameter_group(request.get("DBParameterGroupName"), engine, version)


def _subnet_group(call: ControlCall, request: CreateDBInstanceMessageTypeDef) -> SubnetGroup:
    name = request.get("DBSubnetGroupName")
    if not name or name.lower() == DEFAULT:
        return default_group(call.transaction)
    return find_subnet_group(call.transaction, name)


def _is_public(request: CreateDBInstanceMessageTypeDef) -> bool:
    """The requested value; by default public in the default subnet group, private in any other (CreateDBInstance, PubliclyAccessible)."""
    asked = request.get("PubliclyAccessible")
    return asked if asked is not None else (request.get("DBSubnetGroupName") or DEFAULT).lower() == DEFAULT
