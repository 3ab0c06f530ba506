"""DescribeDBEngineVersions and DescribeOrderableDBInstanceOptions: the versions that are installed, and what can be ordered of them.

The engines are the rows of `rds.engines`, the versions those of the engine store (`engines.engine_store`). A request for another version is
answered with RDS's error, with the command that installs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import arn
from zonal.services.common.filters import has_values
from zonal.services.ec2.availability_zones import ZONES
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds.certificates import AUTHORITY
from zonal.services.rds.engines import ENGINES, OTHER_ENGINES, RdsEngine
from zonal.services.rds.instance_classes import STORAGE_TYPES, InstanceClass, StorageType, instance_classes
from zonal.services.rds.lookups import PAGING, filters, page

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import (
        DBEngineVersionTypeDef,
        DescribeDBEngineVersionsMessageTypeDef,
        DescribeOrderableDBInstanceOptionsMessageTypeDef,
        OrderableDBInstanceOptionTypeDef,
    )

_OPTIONS = PAGING.bounded(most=1000)
"""The pages of DescribeOrderableDBInstanceOptions; Terraform asks for 1000 records."""


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


class EngineVersion(NamedTuple):
    """An installed version of an engine of RDS."""

    engine: RdsEngine
    version: Installed

    @property
    def family(self) -> str:
        """The parameter group family."""
        return self.engine.family(self.version.major)


class EngineVersionCatalog:
    """The installed versions of RDS's engines."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def versions(self, engine: str) -> list[Installed]:
        """Every installed version of an engine, oldest first."""
        return sorted(self._engines.installed(engine), key=lambda each: each.order)

    def all_versions(self) -> list[EngineVersion]:
        """Every installed version of every engine of RDS."""
        return [EngineVersion(engine, version) for engine in ENGINES.values() for version in self.versions(engine.name)]

    def chosen(self, engine: str, version: str | None) -> Installed:
        """The version that a request means: a whole one, the newest of a major, or the newest of all.

        Raises `InvalidParameterValue` and `InvalidParameterCombination`.
        """
        row = ENGINES.get(engine)
        if row is None:
            hint = f": zonal does not run {engine} yet; see docs/limits.md" if engine in OTHER_ENGINES else ""
            raise AwsError("InvalidParameterValue", f"Invalid DB engine{hint}")
        found = self._matching(engine, version)
        if not found:
            self._engines.refresh()  # Another process may have installed it meanwhile.
            found = self._matching(engine, version)
        if not found:
            major = (version or row.definition.default_major).partition(".")[0]
            raise AwsError(
                "InvalidParameterCombination",
                f"Cannot find version {version or major} for {engine}; install it with `zonal engines install {engine} {major}`",
            )
        return found[-1]

    def upgrades(self, engine: str, version: Installed) -> list[Installed]:
        """Newer minor versions of the same major."""
        return [each for each in self.versions(engine) if each.major == version.major and each.order > version.order]

    def _matching(self, engine: str, version: str | None) -> list[Installed]:
        return [each for each in self.versions(engine) if not version or is_version(each, version)]


class EngineVersions:
    """The operations on engine versions."""

    def __init__(self, catalog: EngineVersionCatalog) -> None:
        self._catalog = catalog

    @operation("DescribeDBEngineVersions")
    def describe(self, call: ControlCall, request: DescribeDBEngineVersionsMessageTypeDef) -> ResponseMembers:
        asked = filters(request, ("db-parameter-group-family", "engine", "engine-mode", "engine-version", "status"))
        found = [
            each
            for each in self._catalog.all_versions()
            if has_values(_properties(each), asked)
            and request.get("Engine") in (None, each.engine.name)
            and (request.get("DBParameterGroupFamily") or each.family) == each.family
            and (not (version := request.get("EngineVersion")) or is_version(each.version, version))
        ]
        if request.get("DefaultOnly"):
            newest = [EngineVersion(engine, version) for engine in ENGINES.values() for version in self._catalog.versions(engine.name)[-1:]]
            found = [each for each in found if each in newest or (request.get("EngineVersion") and each is found[-1])]
        return page(found, request, "DBEngineVersions", _key, self._answer)

    @operation("DescribeOrderableDBInstanceOptions")
    def orderable(self, call: ControlCall, request: DescribeOrderableDBInstanceOptionsMessageTypeDef) -> ResponseMembers:
        filters(request, ())
        version, wanted = request.get("EngineVersion"), request.get("DBInstanceClass")
        options = [
            (each, size, storage)
            for each in self._catalog.all_versions()
            if request["Engine"] == each.engine.name and (not version or is_version(each.version, version))
            for size in instance_classes().values()
            if not wanted or size.name == wanted
            for storage in STORAGE_TYPES.values()
            if request.get("LicenseModel") in (None, each.engine.license) and request.get("Vpc") in (None, True)
        ]
        return page(options, request, "OrderableDBInstanceOptions", _option_key, lambda option: _orderable(*option), paging=_OPTIONS)

    def _answer(self, engine_version: EngineVersion) -> DBEngineVersionTypeDef:
        engine, version = engine_version
        return {
            "Engine": engine.name,
            "MajorEngineVersion": str(version.major),
            "EngineVersion": version.version,
            "DBParameterGroupFamily": engine_version.family,
            "DBEngineDescription": engine.title,
            "DBEngineVersionDescription": f"{engine.title} {version.version}",
            "DBEngineVersionArn": arn("rds", f"engine-version:{engine.name}/{version.version}"),
            "ValidUpgradeTarget": [
                {
                    "Engine": engine.name,
                    "EngineVersion": target.version,
                    "Description": f"{engine.title} {target.version}",
                    "AutoUpgrade": False,
                    "IsMajorVersionUpgrade": False,
                }
                for target in self._catalog.upgrades(engine.name, version)
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


def is_version(installed: Installed, asked: str) -> bool:
    """Whether an installed version is the one asked for, or of the major asked for."""
    return installed.version == asked or installed.version.startswith(f"{asked}.")


def _key(engine_version: EngineVersion) -> str:
    engine, version = engine_version
    return f"{engine.name}/" + ".".join(f"{part:04}" for part in version.order)


def _option_key(option: tuple[EngineVersion, InstanceClass, StorageType]) -> str:
    version, size, storage = option
    return f"{_key(version)}/{size.name}/{storage.name}"


def _properties(engine_version: EngineVersion) -> dict[str, tuple[str, ...]]:
    """What a version's filters compare."""
    return {
        "db-parameter-group-family": (engine_version.family,),
        "engine": (engine_version.engine.name,),
        "engine-mode": ("provisioned",),
        "engine-version": (engine_version.version.version,),
        "status": ("available",),
    }


def _orderable(engine_version: EngineVersion, size: InstanceClass, storage: StorageType) -> OrderableDBInstanceOptionTypeDef:
    engine, version = engine_version
    return {
        "Engine": engine.name,
        "EngineVersion": version.version,
        "DBInstanceClass": size.name,
        "LicenseModel": engine.license,
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
