"""Engine versions are exactly those that are installed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.unit.services.rds.region import MODEL, Account, authority
from zonal.engines.registry import POSTGRES
from zonal.foundation.errors import AwsError
from zonal.services.rds.engines import ENGINES
from zonal.services.rds.instance_classes import instance_classes
from zonal.services.rds.logs import portion
from zonal.services.rds.model import DbInstance

MARIADB = {
    "DBInstanceIdentifier": "sales",
    "Engine": "mariadb",
    "DBInstanceClass": "db.t3.micro",
    "AllocatedStorage": 20,
    "MasterUsername": "master",
    "MasterUserPassword": "password-of-master",
}


def versions(account: Account, **request: object) -> list[str]:
    return [each["EngineVersion"] for each in account.call("DescribeDBEngineVersions", **request)["DBEngineVersions"]]


def test_the_installed_versions_are_described_in_their_order() -> None:
    account = Account("9.6", "17.6", "17.10", "18.0")
    assert versions(account) == ["9.6", "17.6", "17.10", "18.0"]
    assert versions(account, Engine="postgres", EngineVersion="17") == ["17.6", "17.10"]
    assert versions(account, Engine="mysql") == []
    assert versions(account, DefaultOnly=True) == ["18.0"]
    assert versions(account, DBParameterGroupFamily="postgres18") == ["18.0"]
    assert versions(account, Filters=[{"Name": "engine-version", "Values": ["17.6"]}]) == ["17.6"]


def test_a_newer_minor_version_is_an_upgrade_target() -> None:
    account = Account("17.6", "17.10", "18.0")
    [shown] = account.call("DescribeDBEngineVersions", EngineVersion="17.6")["DBEngineVersions"]
    assert [(target["EngineVersion"], target["IsMajorVersionUpgrade"]) for target in shown["ValidUpgradeTarget"]] == [("17.10", False)]


def test_an_engine_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = POSTGRES._replace(name="mariadb", title="MariaDB", default_major="11")
    row = ENGINES["postgres"]._replace(definition=definition, license="general-public-license", port=3306, reserved_prefixes=("maria_",))
    account = Account("18.0")
    assert account.call("DescribeDBEngineVersions", Engine="mariadb")["DBEngineVersions"] == []
    assert "does not run mariadb yet" in account.error("CreateDBInstance", **MARIADB)[1]
    monkeypatch.setitem(ENGINES, "mariadb", row)
    [shown] = account.call("DescribeDBEngineVersions", Engine="mariadb")["DBEngineVersions"]
    assert (shown["Engine"], shown["DBParameterGroupFamily"], shown["DBEngineDescription"]) == ("mariadb", "mariadb18", "MariaDB")
    assert len(account.call("DescribeDBEngineVersions")["DBEngineVersions"]) == 2
    option = account.call("DescribeOrderableDBInstanceOptions", Engine="mariadb")["OrderableDBInstanceOptions"][0]
    assert option["LicenseModel"] == "general-public-license"
    made = account.call("CreateDBInstance", **MARIADB)["DBInstance"]
    assert made["LicenseModel"] == "general-public-license"
    assert account.store.select(DbInstance)[0].port == 3306
    assert account.error("CreateDBInstance", **(MARIADB | {"MasterUsername": "maria_x"}))[0] == "InvalidParameterValue"
    assert account.error("CreateDBInstance", **(MARIADB | {"LicenseModel": "postgresql-license"}))[0] == "InvalidParameterCombination"


def test_a_version_that_another_process_installs_is_found() -> None:
    account = Account("18.0")
    account.catalog.versions = ["18.0"]

    def refresh() -> None:
        account.catalog.versions = ["17.6", "18.0"]

    account.catalog.refresh = refresh  # type: ignore[method-assign]
    assert account.create(EngineVersion="17")["EngineVersion"] == "17.6"


def test_orderable_options_name_what_can_be_created() -> None:
    account = Account("18.0")
    found = account.call("DescribeOrderableDBInstanceOptions", Engine="postgres", DBInstanceClass="db.t3.micro")
    options = found["OrderableDBInstanceOptions"]
    assert {option["StorageType"] for option in options} == {"gp2", "gp3", "standard"}
    assert all(option["MultiAZCapable"] and not option["SupportsIops"] for option in options)
    assert account.call("DescribeOrderableDBInstanceOptions", Engine="mysql")["OrderableDBInstanceOptions"] == []


def documented_bounds() -> list[tuple[str, int, int]]:
    """Each operation here with MaxRecords, and the bounds that botocore's documentation of the parameter states."""
    found = []
    for name in Account().handlers:
        shape = MODEL.operation_model(name).input_shape
        member = shape.members.get("MaxRecords") if shape is not None else None
        bounds = re.search(r"Minimum (\d+), maximum (\d+)", member.documentation) if member is not None else None
        if bounds:
            found.append((name, int(bounds[1]), int(bounds[2])))
    return found


@pytest.mark.parametrize(("operation", "least", "most"), documented_bounds())
def test_the_number_of_records_has_the_bounds_that_aws_documents(operation: str, least: int, most: int) -> None:
    account = Account("18.0")
    more = {"Engine": "postgres"} if operation == "DescribeOrderableDBInstanceOptions" else {}
    for size in (least, most):
        account.call(operation, MaxRecords=size, **more)
    for size in (least - 1, most + 1):
        error = account.error(operation, MaxRecords=size, **more)
        assert error == ("InvalidParameterValue", f"Invalid value {size} for MaxRecords. Must be between {least} and {most}")


def test_all_orderable_options_are_read_a_thousand_at_a_time() -> None:
    account = Account("17.6", "18.0", "18.1")
    found, request = [], {"Engine": "postgres", "MaxRecords": 1000}
    while True:
        answer = account.call("DescribeOrderableDBInstanceOptions", **request)
        found += [(each["EngineVersion"], each["DBInstanceClass"], each["StorageType"]) for each in answer["OrderableDBInstanceOptions"]]
        if "Marker" not in answer:
            break
        assert len(answer["OrderableDBInstanceOptions"]) == 1000
        request["Marker"] = answer["Marker"]
    assert len(found) == len(set(found)) == 3 * 3 * len(instance_classes())


def test_classes_have_the_memory_that_aws_gives_them() -> None:
    classes = instance_classes()
    assert classes["db.t3.micro"].memory_bytes == 1 << 30 and classes["db.r6g.xlarge"].vcpus == 4
    assert classes["db.m5.24xlarge"].memory_bytes == 384 << 30


def test_the_authority_is_described_and_no_other_is() -> None:
    account = Account()
    answer = account.call("DescribeCertificates")
    [shown] = answer["Certificates"]
    assert shown["ValidTill"] == authority().certificate.not_valid_after_utc and len(shown["Thumbprint"]) == 40
    assert account.error("DescribeCertificates", CertificateIdentifier="rds-ca-2019")[0] == "CertificateNotFound"


def test_quotas_tell_what_is_used() -> None:
    account = Account()
    account.create()
    quotas = {quota["AccountQuotaName"]: quota["Used"] for quota in account.call("DescribeAccountAttributes")["AccountQuotas"]}
    assert quotas["DBInstances"] == 1 and quotas["AllocatedStorage"] == 20 and quotas["SubnetsPerDBSubnetGroup"] == 3


def test_a_log_is_read_in_portions_that_end_at_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(10)))
    text, marker, pending = "", "0", True
    while pending:
        answer = portion(path, marker, 3)
        assert str(answer["LogFileData"]).endswith("\n")
        text, marker, pending = text + str(answer["LogFileData"]), str(answer["Marker"]), bool(answer["AdditionalDataPending"])
    assert text == path.read_text()
    assert portion(path, None, 2)["LogFileData"] == "line 8\nline 9\n"
    assert portion(path, "9999", None)["LogFileData"] == ""
    with pytest.raises(AwsError, match="marker"):
        portion(path, "yesterday", None)


def test_logs_of_an_instance_without_an_engine_are_not_ready() -> None:
    account = Account()
    account.create()

    async def ask() -> None:
        from zonal.services.operation import Call

        call = Call("rds", "DescribeDBLogFiles", account.clock.now(), "request")
        with pytest.raises(AwsError, match="DBInstanceNotReady"):
            await account.handlers["DescribeDBLogFiles"](call, {"DBInstanceIdentifier": "orders"})

    asyncio.run(ask())
