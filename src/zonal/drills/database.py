"""The database of a drill, through AWS's API as a customer uses it.

A drill creates a Multi-AZ PostgreSQL of its own and deletes it at the end, or uses an existing one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from zonal.drills.connection import DatabaseTarget
from zonal.drills.progress import Progress
from zonal.drills.region_operator import DrillFailed, RegionOperator
from zonal.drills.workload import Client
from zonal.foundation.identifiers import REGION

if TYPE_CHECKING:
    from types_boto3_rds import RDSClient
    from types_boto3_rds.type_defs import DBInstanceTypeDef

CREATION_SECONDS = 120.0
DATABASE = "drill"
USER = "drill"


class Endpoint(NamedTuple):
    """The URL of the API and the access key for it."""

    url: str
    access_key: str
    secret_key: str


class Database:
    """A DB instance by its identifier, with the password of its master user."""

    def __init__(self, client: RDSClient, identifier: str, password: str) -> None:
        self.identifier = identifier
        self.password = password
        self._client = client

    def arn(self) -> str:
        """Its ARN, which is the subject of its journal entries."""
        return self.description()["DBInstanceArn"]

    def description(self) -> DBInstanceTypeDef:
        return self._client.describe_db_instances(DBInstanceIdentifier=self.identifier)["DBInstances"][0]

    def target(self, *, patience_seconds: float) -> DatabaseTarget:
        """The target of the clients' connections."""
        seen = self.description()
        endpoint = seen["Endpoint"]
        database = seen.get("DBName", "postgres")
        return DatabaseTarget(endpoint["Address"], endpoint["Port"], seen["MasterUsername"], self.password, database, patience_seconds)

    def clients(self, count: int, *, first_zone: str) -> tuple[Client, ...]:
        """`count` clients, distributed over the zones of the database's subnet group, over `first_zone` last."""
        subnets = self._subnets()
        zones = sorted(subnets, key=lambda zone: (zone == first_zone, zone))
        return tuple(Client(number + 1, zones[number % len(zones)], subnets[zones[number % len(zones)]]) for number in range(count))

    def zones(self) -> tuple[str, ...]:
        """The zones of its subnet group, in order."""
        return tuple(sorted(self._subnets()))

    def force_failover(self) -> None:
        self._client.reboot_db_instance(DBInstanceIdentifier=self.identifier, ForceFailover=True)

    def delete(self) -> None:
        self._client.delete_db_instance(DBInstanceIdentifier=self.identifier, SkipFinalSnapshot=True)

    def _subnets(self) -> dict[str, str]:
        """A subnet's id by its zone's name."""
        return {each["SubnetAvailabilityZone"]["Name"]: each["SubnetIdentifier"] for each in self.description()["DBSubnetGroup"]["Subnets"]}


def connect(endpoint: Endpoint) -> RDSClient:
    """An ordinary RDS client."""
    import botocore.session

    client: Any = botocore.session.Session().create_client(
        "rds",
        region_name=REGION,
        endpoint_url=endpoint.url,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
    )
    return client  # type: ignore[no-any-return]


def create(client: RDSClient, operator: RegionOperator, *, engine_version: str | None, report_progress: Callable[[str], None]) -> Database:
    """Create a Multi-AZ PostgreSQL and wait until it is available, with progress reports. Raises `DrillFailed`."""
    identifier, password = f"drill-{secrets.token_hex(3)}", secrets.token_urlsafe(18)
    report_progress(f"creating a Multi-AZ PostgreSQL, {identifier}")
    version = {"EngineVersion": engine_version} if engine_version else {}
    created = client.create_db_instance(
        DBInstanceIdentifier=identifier,
        Engine="postgres",
        DBInstanceClass="db.t3.micro",
        AllocatedStorage=20,
        MasterUsername=USER,
        MasterUserPassword=password,
        DBName=DATABASE,
        MultiAZ=True,
        BackupRetentionPeriod=0,
        **version,  # type: ignore[arg-type]
    )
    database = Database(client, identifier, password)
    started = time.monotonic()
    progress = Progress(
        operator,
        created["DBInstance"]["DBInstanceArn"],
        after=0,
        report_progress=report_progress,
        activity=lambda: "the database is being created",
    )
    try:
        while (state := database.description()["DBInstanceStatus"]) != "available":
            if time.monotonic() - started > CREATION_SECONDS:
                raise DrillFailed(f"{identifier} is still '{state}' after {CREATION_SECONDS:g} s; `zonal status` shows what it waits for")
            progress.report()
            time.sleep(0.05)
    except BaseException:
        database.delete()  # Only this process knows it, so it is deleted also after Ctrl-C.
        raise
    report_progress(f"{identifier} is available after {time.monotonic() - started:.1f} s")
    return database
