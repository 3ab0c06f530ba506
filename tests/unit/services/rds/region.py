"""RDS on fakes: its operations as the gateway calls them, its reconcilers, and engines that hold lists of writes, in virtual time."""

from __future__ import annotations

import atexit
import random
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
from botocore.model import Shape

from tests.unit.control.simulation import ZONES, FakeOwner, Monitors, Simulation
from tests.unit.control.simulation import Region as Engines
from zonal.control.deployment_reconciler import DeploymentReconciler
from zonal.control.owners import NameAnnouncer, Owners
from zonal.control.reconciler import Driver
from zonal.foundation.authority import Authority
from zonal.foundation.errors import AwsError
from zonal.services.ec2 import default_vpc
from zonal.services.ec2.model import SecurityGroup, Vpc
from zonal.services.operation import ControlCall
from zonal.services.rds import deployment_owner
from zonal.services.rds.db_instance_reconciler import DbInstanceReconciler
from zonal.services.rds.endpoints import Endpoints
from zonal.services.rds.logs import Logs
from zonal.services.rds.service import operations

MODEL = botocore.session.get_session().get_service_model("rds")


class Installation(NamedTuple):
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(map(int, self.version.split(".")))


class Catalog:
    def __init__(self, *versions: str) -> None:
        self.versions = list(versions)
        self.refreshed = 0

    def installed(self, engine: str = "postgres") -> Iterable[Installation]:
        return [Installation(version) for version in self.versions]

    def refresh(self) -> None:
        self.refreshed += 1


class NamesTable:
    def __init__(self) -> None:
        self.table: dict[str, tuple[str, str | None]] = {}

    def set(self, name: str, *, private: str, public: str | None = None) -> None:
        self.table[name] = private, public

    def remove(self, name: str) -> None:
        self.table.pop(name, None)


class Exposed:
    def __init__(self) -> None:
        self.endpoints: set[tuple[str, int]] = set()

    async def expose(self, public_address: str, port: int) -> str:
        self.endpoints.add((public_address, port))
        return "127.0.0.9"

    async def unexpose(self, public_address: str, port: int) -> None:
        self.endpoints.discard((public_address, port))


@cache
def authority() -> Authority:
    """One for all tests: making keys takes time. Its files go when the interpreter does."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    return Authority(Path(directory.name))


class Account:
    """A customer's account with a default VPC; `async with` runs the reconcilers."""

    def __init__(self, *versions: str) -> None:
        self.simulation = Simulation()
        self.store = self.simulation.store
        self.clock = self.simulation.clock
        self.catalog = Catalog(*(versions or ("17.6", "18.0", "18.1")))
        self.names, self.exposed, self.logs = NamesTable(), Exposed(), Logs(self.store)
        self.full_disks: set[str] = set()
        self.handlers = operations(
            self.store,
            self.catalog,  # type: ignore[arg-type]
            authority(),
            is_lost=self.simulation.cut,
            logs=self.logs,
            is_storage_full=self.full_disks.__contains__,
        )
        with self.store.transaction() as tx:
            default_vpc.bootstrap(tx, self.clock.now())
        random.seed(1)

    async def __aenter__(self) -> Account:
        self.engines = Engines(self.simulation)
        owners = {deployment_owner.KIND: deployment_owner.DbInstanceOwner(self.store), "test:thing": FakeOwner("test:thing")}
        self.owners = Owners(owners)
        self.endpoints = Endpoints(self.store, self.names, self.exposed)
        self.deployments = DeploymentReconciler(
            self.store,
            self.engines,
            Monitors(self.simulation),
            NameAnnouncer(self.owners, self.names),
            self.owners,
            zones=ZONES,
            settings=self.simulation.settings,
            clock=self.clock,
            monitor_addresses={zone: zone for zone in ZONES},
        )
        instances = DbInstanceReconciler(self.store, self.endpoints, clock=self.clock, clock_speed=1.0, is_lost=self.simulation.cut)
        self.driver = Driver(self.store, [self.deployments, instances], clock=self.clock)
        self.deployments.nudged_by(lambda id: self.driver.nudge("deployments", id))
        await self.driver.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.driver.__aexit__(None, None, None)
        await self.deployments.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """What the operation answers; the answer is held to AWS's model."""
        with self.store.transaction() as tx:
            answer = self.handlers[operation](ControlCall("rds", operation, self.clock.now(), "request", transaction=tx), request)
        shape = MODEL.operation_model(operation).output_shape
        if shape is not None:
            check(answer, shape, operation)
        return answer  # type: ignore[no-any-return]

    def error(self, operation: str, **request: Any) -> tuple[str, str]:
        """The code and message with which the operation is refused; nothing was changed."""
        try:
            self.call(operation, **request)
        except AwsError as error:
            return error.code, error.message
        raise AssertionError(f"{operation} was not refused")

    def create(self, identifier: str = "orders", **more: Any) -> dict[str, Any]:
        asked = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20}
        asked |= {"MasterUsername": "master", "MasterUserPassword": "password-of-master"}
        return self.call("CreateDBInstance", DBInstanceIdentifier=identifier, **(asked | more))["DBInstance"]  # type: ignore[no-any-return]

    def security_group(self) -> str:
        """The id of a new security group in the default VPC."""
        with self.store.transaction() as tx:
            vpc = next(iter(tx.select(Vpc)))
            tx.put(SecurityGroup(id="sg-0123456789abcdef0", vpc_id=vpc.id, name="own", description="own"))
        return "sg-0123456789abcdef0"

    def describe(self, identifier: str = "orders") -> dict[str, Any]:
        return self.call("DescribeDBInstances", DBInstanceIdentifier=identifier)["DBInstances"][0]  # type: ignore[no-any-return]

    def status(self, identifier: str = "orders") -> str:
        return str(self.describe(identifier)["DBInstanceStatus"])

    def events(self, identifier: str = "orders") -> list[str]:
        found = self.call("DescribeEvents", SourceIdentifier=identifier, SourceType="db-instance", Duration=20000)
        return [event["Message"] for event in found["Events"]]


def check(value: Any, shape: Shape, path: str) -> None:
    """Hold an answer to botocore's model: no unknown member, no wrong type."""
    if shape.type_name == "structure":
        assert isinstance(value, Mapping), path
        for name, member in value.items():
            assert name in shape.members, f"{path} has no member {name}"  # type: ignore[attr-defined]
            check(member, shape.members[name], f"{path}.{name}")  # type: ignore[attr-defined]
    elif shape.type_name == "list":
        assert isinstance(value, list), path
        for item in value:
            check(item, shape.member, f"{path}[]")  # type: ignore[attr-defined]
    else:
        kinds = {"string": str, "boolean": bool, "integer": int, "long": int, "double": (int, float), "timestamp": object}
        assert isinstance(value, kinds[shape.type_name]), f"{path} is {value!r}, not a {shape.type_name}"  # type: ignore[arg-type]
