"""`DescribeDBInstances` with a hundred instances recorded: the time of one call through boto3.

One instance is created by the API and stopped; while the region is stopped, its records are copied ninety-nine times. So the benchmark
measures the API on a hundred valid records without a hundred servers.
"""

from __future__ import annotations

import time

from msgspec.structs import replace

from benchmarks.measurements import arguments, machine, region, tell
from tests.running_region import RunningRegion, eventually
from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus
from zonal.control.owners import Owner
from zonal.foundation.identifiers import resource_id
from zonal.records.store import Store
from zonal.region import STORE
from zonal.services.rds.model import DbInstance

INSTANCES = 100


def main() -> None:
    runs = arguments(__doc__ or "", runs=300).parse_args().runs
    with region() as running:
        identifier = running.create_database()
        rds = running.client("rds")
        rds.stop_db_instance(DBInstanceIdentifier=identifier)
        eventually(lambda: running.status()["databases"][0]["state"] == "stopped")
        running.stop()
        _multiply(running)
        running.start()
        rds = running.client("rds")
        milliseconds = []
        for _ in range(runs):
            begun = time.perf_counter()
            page = rds.describe_db_instances()["DBInstances"]
            milliseconds.append((time.perf_counter() - begun) * 1000)
            assert len(page) == INSTANCES
        alone = _server_side(running)
    print(machine())
    tell("DescribeDBInstances, 100 instances, through boto3", milliseconds, unit="ms", goal="")
    tell("DescribeDBInstances, 100 instances, to the last byte", alone, unit="ms", goal="p50 ≤ 5 ms")


def _multiply(running: RunningRegion) -> None:
    store = Store(running.state / STORE)
    [instance] = store.select(DbInstance)
    with store.transaction() as tx:
        for number in range(1, INSTANCES):
            id = resource_id("db")
            tx.put(replace(instance, id=id, identifier=f"bench-{number:03}", interfaces=()))
            tx.put(replace(store.require(DeploymentSpec, instance.id), id=id, owner=Owner("rds:db", f"bench-{number:03}")))
            tx.put(replace(store.require(DeploymentStatus, instance.id), id=id))
    store.close()


def _server_side(running: RunningRegion) -> list[float]:
    """The same call on one open connection, without boto3's parsing: from the first byte sent to the last received."""
    import http.client

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    connection = http.client.HTTPConnection("127.0.0.1", running.port)
    body = "Action=DescribeDBInstances&Version=2014-10-31"
    request = AWSRequest("POST", f"http://127.0.0.1:{running.port}/", {"Content-Type": "application/x-www-form-urlencoded"}, body)
    SigV4Auth(Credentials("test", "test"), "rds", "us-east-1").add_auth(request)
    milliseconds = []
    for _ in range(300):
        begun = time.perf_counter()
        connection.request("POST", "/", body, dict(request.headers))
        answer = connection.getresponse()
        content = answer.read()
        milliseconds.append((time.perf_counter() - begun) * 1000)
        assert answer.status == 200 and content.count(b"<DBInstance>") == INSTANCES
    return milliseconds


if __name__ == "__main__":
    main()
