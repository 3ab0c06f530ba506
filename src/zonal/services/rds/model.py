"""The records of RDS: DB subnet groups and DB instances.

A DB instance records the customer's request and AWS's status. Its engines are a deployment of the same id (`control.deployment_records`):
`DeploymentSpec` is their desired state, `DeploymentStatus` their observed one.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import ClassVar

import msgspec

from zonal.foundation.identifiers import ACCOUNT, REGION, arn, parse_arn
from zonal.records.store import Record
from zonal.services.common.maintenance_windows import WindowRules
from zonal.services.common.subnet_groups import SubnetGroupRecord

ENDPOINT_HASH = "c" + hashlib.sha256(f"{ACCOUNT}/{REGION}".encode()).hexdigest()[:11]
"""The part of every endpoint's name that is specific to the account and the region."""

DOMAIN = f"{ENDPOINT_HASH}.{REGION}.rds.zonal.internal"
HOSTED_ZONE = "Z2R2ITUGPM61AM"
"""The hosted zone of RDS endpoints in us-east-1 ("Amazon RDS endpoints and quotas")."""


WINDOWS = WindowRules("backup")
"""RDS's rules for maintenance and backup windows."""


class SubnetGroup(SubnetGroupRecord, frozen=True, kw_only=True):
    """A DB subnet group, by its name in lower case."""

    kind: ClassVar[str] = "db-subnet-group"

    @property
    def arn(self) -> str:
        return arn("rds", f"subgrp:{self.id}")


class NodeInterface(msgspec.Struct, frozen=True):
    """The network interface of one node in the customer's VPC."""

    node: str
    interface_id: str
    subnet_id: str
    zone: str


class PendingChanges(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes that wait for the maintenance window; None where nothing changes."""

    instance_class: str | None = None
    allocated_storage: int | None = None
    storage_type: str | None = None
    multi_az: bool | None = None
    engine_version: str | None = None
    identifier: str | None = None


class DbInstance(Record, frozen=True, kw_only=True):
    """A DB instance, by its DbiResourceId. `status` follows `lifecycle.LIFECYCLE`.

    `identifier` is unique and may change. `numbers` counts all nodes ever created, so that no node's name is used twice. `pending` waits
    for the maintenance window, `applying` is being carried out; both are answered as pending. `password_pending` is the value of
    `DeploymentSpec.password` whose change is answered as pending until it is carried out. `former_identifier` is the identifier before a
    rename that is not finished. `certificate_until` is the end of the server certificate's validity.
    """

    kind: ClassVar[str] = "db-instance"

    identifier: str
    status: str
    created: datetime
    engine: str
    engine_version: str
    instance_class: str
    allocated_storage: int
    storage_type: str
    master_username: str
    port: int
    subnet_group: str
    group_ids: tuple[str, ...]
    multi_az: bool
    publicly_accessible: bool
    maintenance_window: str
    backup_window: str
    certificate_until: datetime
    database: str | None = None
    deletion_protection: bool = False
    auto_minor_version_upgrade: bool = True
    copy_tags_to_snapshot: bool = False
    interfaces: tuple[NodeInterface, ...] = ()
    numbers: int = 0
    pending: PendingChanges = PendingChanges()
    applying: PendingChanges = PendingChanges()
    former_identifier: str = ""
    password_pending: int = 0
    tags: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def arn(self) -> str:
        return instance_arn(self.identifier)

    @property
    def endpoint(self) -> str:
        return f"{self.identifier}.{DOMAIN}"


def instance_arn(identifier: str) -> str:
    return arn("rds", f"db:{identifier}")


def instance_identifier(subject: str) -> str | None:
    """The identifier of the DB instance that is a journal entry's subject; None where the subject is another resource.

    A subject that is not an ARN is an identifier: versions before ARNs wrote it so, and only DB instances had deployments then.
    """
    parsed = parse_arn(subject)
    if parsed is None:
        return subject
    resource_type, _, identifier = parsed[3].partition(":")
    return identifier if (parsed[0], resource_type) == ("rds", "db") else None
