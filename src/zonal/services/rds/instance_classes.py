"""DB instance classes with their memory and virtual processors, and the storage types.

The figures are AWS's (`instance_classes.json` names the page). The engine sizes itself by the class's memory. All instances share this
machine's processors; zonal does not limit them.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec

from zonal.foundation.errors import AwsError
from zonal.services.rds.engines import ENGINES

GIBI = 1 << 30


class InstanceClass(NamedTuple):
    name: str
    vcpus: int
    memory_bytes: int


class StorageType(NamedTuple):
    """`least` and `most` are gibibytes, for PostgreSQL (CreateDBInstance, AllocatedStorage)."""

    name: str
    least: int
    most: int


STORAGE_TYPES = {
    each.name: each for each in (StorageType("gp2", 20, 65536), StorageType("gp3", 20, 65536), StorageType("standard", 5, 3072))
}
DEFAULT_STORAGE_TYPE = "gp2"


@cache
def instance_classes() -> dict[str, InstanceClass]:
    """Every class, by name (`db.t3.micro`)."""
    text = files("zonal.services.rds").joinpath("instance_classes.json").read_bytes()
    data = msgspec.json.decode(text)
    return {
        name: InstanceClass(name, data["sizes"][size][0], data["sizes"][size][1] * GIBI)
        for family, sizes in data["families"].items()
        for size in sizes
        for name in [f"db.{family}.{size.rpartition('.')[2]}"]
    }


def check_class(name: str, *, engine: str, version: str) -> InstanceClass:
    """The class. Raises `InvalidParameterValue` for a name that is not a class's, `InvalidParameterCombination` for a class that is not
    offered."""
    if not name.startswith("db."):
        raise AwsError("InvalidParameterValue", f"Invalid DB Instance class: {name}")
    found = instance_classes().get(name)
    if found is None:
        raise AwsError(
            "InvalidParameterCombination",
            f"RDS does not support creating a DB instance with the following combination: DBInstanceClass={name}, Engine={engine},"
            f" EngineVersion={version}, LicenseModel={ENGINES[engine].license}. For supported combinations of instance class and database"
            " engine version, see the documentation.",
        )
    return found


def check_storage(storage_type: str, gibibytes: int, *, engine: str) -> None:
    """Raises `InvalidParameterValue` or `InvalidParameterCombination`."""
    if storage_type in ("io1", "io2"):
        raise AwsError(
            "InvalidParameterCombination",
            f"StorageType {storage_type} is not supported: zonal does not measure out provisioned IOPS; see docs/limits.md",
        )
    bounds = STORAGE_TYPES.get(storage_type)
    if bounds is None:
        raise AwsError("InvalidParameterValue", f"Invalid storage type: {storage_type}")
    if not bounds.least <= gibibytes <= bounds.most:
        message = f"Invalid storage size for engine name {engine} and storage type {storage_type}: {gibibytes}"
        raise AwsError("InvalidParameterValue", message)
