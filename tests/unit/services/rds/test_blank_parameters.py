"""Empty strings: an optional parameter that has one is not given."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest

from tests import virtual_time
from tests.unit.control.simulation import until
from tests.unit.services.rds.region import MODEL, Account
from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call
from zonal.services.rds.model import DbInstance

CREATED_ANEW = {
    "AvailabilityZone",
    "DBInstanceIdentifier",
    "PreferredMaintenanceWindow",
    "PreferredBackupWindow",
    "DbiResourceId",
    "DBInstanceArn",
}
"""What differs between two instances that were created by the same request."""


def strings(operation: str, *, required: bool) -> list[str]:
    """The names of an operation's parameters that are strings."""
    shape = MODEL.operation_model(operation).input_shape
    members = shape.members if shape is not None else {}
    return [name for name, member in members.items() if member.type_name == "string" and (name in shape.required_members) == required]


def test_an_instance_created_with_every_optional_string_empty_is_one_created_without_them() -> None:
    account = Account()
    names = [name for name in strings("CreateDBInstance", required=False) if not name.startswith("MasterUser")]
    assert "DBName" in names and len(names) > 25
    plain = account.create("plain")
    empty = account.create("empty", **dict.fromkeys(names, ""))
    assert empty.keys() == plain.keys()
    differing = {name for name in plain if plain[name] != empty[name]} - {"CertificateDetails"}
    assert differing <= CREATED_ANEW
    assert all(instance.database is None for instance in account.store.select(DbInstance))
    assert all(wanted.options["database"] is None for wanted in account.store.select(DeploymentSpec))


@pytest.mark.parametrize("member", ["MasterUsername", "MasterUserPassword"])
def test_a_user_or_password_that_is_empty_is_missing(member: str) -> None:
    account = Account()
    asked = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20, "DBInstanceIdentifier": "orders"}
    asked |= {"MasterUsername": "master", "MasterUserPassword": "password-of-master"} | {member: ""}
    error = account.error("CreateDBInstance", **asked)
    assert error == ("InvalidParameterValue", f"The parameter {member} must be provided and must not be blank.")


def test_modifying_with_every_optional_string_or_list_empty_changes_nothing() -> None:
    account = Account()
    names = strings("ModifyDBInstance", required=False)
    lists = [name for name, member in MODEL.operation_model("ModifyDBInstance").input_shape.members.items() if member.type_name == "list"]
    assert {"VpcSecurityGroupIds", "ProcessorFeatures"} <= set(lists)
    assert {"NewDBInstanceIdentifier", "MasterUserPassword", "DBInstanceClass", "EngineVersion"} <= set(names)

    async def main() -> None:
        async with account:
            group = account.security_group()
            account.create(VpcSecurityGroupIds=[group])
            await until(lambda: account.status() == "available")
            before = account.store.select(DbInstance), account.store.select(DeploymentSpec), account.store.select(DeploymentSecrets)
            account.call("ModifyDBInstance", DBInstanceIdentifier="orders", ApplyImmediately=True, **dict.fromkeys(names, ""))
            account.call("ModifyDBInstance", DBInstanceIdentifier="orders", **{name: [] for name in lists})
            assert before == (
                account.store.select(DbInstance),
                account.store.select(DeploymentSpec),
                account.store.select(DeploymentSecrets),
            )

    virtual_time.run(main())


DESCRIBED: dict[str, dict[str, Any]] = {
    "DescribeAccountAttributes": {},
    "DescribeCertificates": {},
    "DescribeDBEngineVersions": {},
    "DescribeDBInstances": {},
    "DescribeDBSubnetGroups": {},
    "DescribeEventCategories": {},
    "DescribeEvents": {},
    "DescribeOrderableDBInstanceOptions": {"Engine": "postgres"},
}


@pytest.mark.parametrize("operation", DESCRIBED)
def test_describing_with_every_optional_string_empty_describes_everything(operation: str) -> None:
    account = Account()
    account.create()
    request = DESCRIBED[operation]
    empty = dict.fromkeys(strings(operation, required=False), "")
    assert account.call(operation, **request, **empty) == account.call(operation, **request)


@pytest.mark.parametrize(
    ("operation", "member"),
    [(operation, member) for operation in sorted(Account().handlers) for member in strings(operation, required=True)],
)
def test_a_required_string_that_is_empty_is_refused_by_its_name(operation: str, member: str) -> None:
    handler = Account().handlers[operation]
    call = Call("rds", operation, datetime.now(UTC), "request")
    with pytest.raises(AwsError) as raised:
        answer = handler(call, {member: ""})
        if inspect.isawaitable(answer):
            virtual_time.run(answer)
    assert raised.value.code == "InvalidParameterValue"
    assert raised.value.message == f"The parameter {member} must be provided and must not be blank."
