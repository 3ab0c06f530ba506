"""Which engines are there: exactly those that are installed, and what can be ordered of them.

zonal runs the PostgreSQL versions of the engine store (`engines.engine_store`). A request for another version gets RDS's own error, with a
hint how to install it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import arn
from zonal.services.common.filters import has_values
from zonal.services.ec2.availability_zones import ZONES
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds.certificates import AUTHORITY
from zonal.services.rds.instance_classes import STORAGE_TYPES, InstanceClass, StorageType, instance_classes
from zonal.services.rds.lookups import PAGING, filters, page

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import (
        DBEngineVersionTypeDef,
        DescribeDBEngineVersionsMessageTypeDef,
        DescribeOrderableDBInstanceOptionsMessageTypeDef,
        OrderableDBInstanceOptionTypeDef,
    )

ENGINE = "postgres"
LICENSE = "postgresql-license"
_OPTIONS = PAGING.bounded(most=1000)
"""The pages of DescribeOrderableDBInstanceOptions; Terraform asks for 1000 records."""
KNOWN_ENGINES = frozenset(
    {
        "mariadb",
        "mysql",
        "oracle-ee",
        "oracle-se2",
        "sqlserver-ee",
        "sqlserver-se",
        "sqlserver-ex",
        "sqlserver-web",
        "db2-se",
        "db2-ae",
        "aurora-mysql",
        "aurora-postgresql",
    }
)
"""Engines of RDS that zonal does not run."""


class Installed(Protocol):
    """A version that is installed (`engines.engine_store.Installation`)."""

    @property
    def version(self) -> str: ...

    @property
    def major(self) -> int: ...

    @property
    def order(self) -> tuple[int, ...]: ...


class Engines(Protocol):
    """What is installed (`engines.engine_store.EngineStore`)."""

    def installed(self, engine: str = "postgres", /) -> Iterable[Installed]: ...

    def refresh(self) -> None: ...


class EngineVersionCatalog:
    """The installed versions, as RDS's rules need them."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def versions(self) -> list[Installed]:
        """Every installed version, oldest first."""
        return sorted(self._engines.installed(ENGINE), key=lambda each: each.order)

    def chosen(self, engine: str, version: str | None) -> Installed:
        """The version that a request means: a whole one, the newest of a major, or the newest of all.

        Raises `InvalidParameterValue` and `InvalidParameterCombination`.
        """
        if engine != ENGINE:
            hint = f": zonal does not run {engine} yet; see docs/limits.md" if engine in KNOWN_ENGINES else ""
            raise AwsError("InvalidParameterValue", f"Invalid DB engine{hint}")
        found = self._matching(version)
        if not found:
            self._engines.refresh()  # Another process may have installed it meanwhile.
            found = self._matching(version)
        if not found:
            major = (version or "18").partition(".")[0]
            raise AwsError(
                "InvalidParameterCombination",
                f"Cannot find version {version or major} for {engine}; install it with `zonal engines install {engine} {major}`",
            )
        return found[-1]

    def upgrades(self, version: Installed) -> list[Installed]:
        """Newer minor versions of the same major."""
        return [each for each in self.versions() if each.major == version.major and each.order > version.order]

    def _matching(self, version: str | None) -> list[Installed]:
        if not version:
            return self.versions()
        return [each for each in self.versions() if each.version == version or each.version.startswith(f"{version}.")]


class EngineVersions:
    """The operations on engine versions."""

    def __init__(self, catalog: EngineVersionCatalog) -> None:
        self._catalog = catalog

    @operation("DescribeDBEngineVersions")
    def describe(self, call: ControlCall, request: DescribeDBEngineVersionsMessageTypeDef) -> ResponseMembers:
        asked = filters(request, ("db-parameter-group-family", "engine", "engine-mode", "engine-version", "status"))
        found = [
            each
            for each in self._catalog.versions()
            if has_values(_properties(each), asked)
            and request.get("Engine") in (None, ENGINE)
            and (request.get("DBParameterGroupFamily") or family(each)) == family(each)
            and (not (version := request.get("EngineVersion")) or each.version == version or each.version.startswith(f"{version}."))
        ]
        if request.get("DefaultOnly"):
            newest = self._catalog.versions()[-1:]
            found = [each for each in found if each in newest or (request.get("EngineVersion") and each is found[-1])]
        return page(found, request, "DBEngineVersions", _key, self._answer)

    @operation("DescribeOrderableDBInstanceOptions")
    def orderable(self, call: ControlCall, request: DescribeOrderableDBInstanceOptionsMessageTypeDef) -> ResponseMembers:
        filters(request, ())
        version, wanted = request.get("EngineVersion"), request.get("DBInstanceClass")
        options = [
            (each, size, storage)
            for each in self._catalog.versions()
            if request["Engine"] == ENGINE and (not version or each.version == version or each.version.startswith(f"{version}."))
            for size in instance_classes().values()
            if not wanted or size.name == wanted
            for storage in STORAGE_TYPES.values()
            if request.get("LicenseModel") in (None, LICENSE) and request.get("Vpc") in (None, True)
        ]
        return page(options, request, "OrderableDBInstanceOptions", _option_key, lambda option: _orderable(*option), paging=_OPTIONS)

    def _answer(self, version: Installed) -> DBEngineVersionTypeDef:
        return {
            "Engine": ENGINE,
            "MajorEngineVersion": str(version.major),
            "EngineVersion": version.version,
            "DBParameterGroupFamily": family(version),
            "DBEngineDescription": "PostgreSQL",
            "DBEngineVersionDescription": f"PostgreSQL {version.version}",
            "DBEngineVersionArn": arn("rds", f"engine-version:{ENGINE}/{version.version}"),
            "ValidUpgradeTarget": [
                {
                    "Engine": ENGINE,
                    "EngineVersion": target.version,
                    "Description": f"PostgreSQL {target.version}",
                    "AutoUpgrade": False,
                    "IsMajorVersionUpgrade": False,
                }
                for target in self._catalog.upgrades(version)
            ],
            "ExportableLogTypes": [],
            "SupportsLogExportsToCloudwatchLogs": False,
            "SupportsReadReplica": False,
            "SupportedFeatureNames": [],
            "Status": "available",
            "SupportsParallelQuery": False,
            "SupportsGlobalDatabases": False,
            "SupportsBabelfish": False,
            "SupportsCertificateRotationWithoutRestart": False,
            "SupportedCACertificateIdentifiers": [AUTHORITY],
            "TagList": [],
        }


def family(version: Installed) -> str:
    """The parameter group family of a version."""
    return f"{ENGINE}{version.major}"


def _key(version: Installed) -> str:
    return ".".join(f"{part:04}" for part in version.order)


def _option_key(option: tuple[Installed, InstanceClass, StorageType]) -> str:
    version, size, storage = option
    return f"{_key(version)}/{size.name}/{storage.name}"


def _properties(version: Installed) -> dict[str, tuple[str, ...]]:
    """What a version's filters compare."""
    return {
        "db-parameter-group-family": (family(version),),
        "engine": (ENGINE,),
        "engine-mode": ("provisioned",),
        "engine-version": (version.version,),
        "status": ("available",),
    }


def _orderable(version: Installed, size: InstanceClass, storage: StorageType) -> OrderableDBInstanceOptionTypeDef:
    return {
        "Engine": ENGINE,
        "EngineVersion": version.version,
        "DBInstanceClass": size.name,
        "LicenseModel": LICENSE,
        "AvailabilityZones": [{"Name": zone} for zone in ZONES],
        "MultiAZCapable": True,
        "ReadReplicaCapable": False,
        "Vpc": True,
        "SupportsStorageEncryption": False,
        "StorageType": storage.name,
        "SupportsIops": False,
        "SupportsStorageThroughput": False,
        "SupportsEnhancedMonitoring": False,
        "SupportsIAMDatabaseAuthentication": False,
        "SupportsPerformanceInsights": False,
        "MinStorageSize": storage.least,
        "MaxStorageSize": storage.most,
        "SupportedEngineModes": ["provisioned"],
        "SupportsStorageAutoscaling": False,
        "SupportsKerberosAuthentication": False,
        "OutpostCapable": False,
        "SupportedActivityStreamModes": [],
        "SupportsGlobalDatabases": False,
        "SupportedNetworkTypes": ["IPV4"],
        "SupportsClusters": False,
        "SupportsDedicatedLogVolume": False,
    }
