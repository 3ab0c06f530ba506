"""A region with only EC2: calls run the handlers as the gateway does, one transaction each.

Requests and responses are validated against botocore's model, so that neither a test nor a handler can use a member that EC2 does not have.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from zonal.foundation.errors import AwsError
from zonal.records.store import Store
from zonal.services.ec2 import default_vpc
from zonal.services.ec2.service import operations
from zonal.services.operation import ControlCall

HANDLERS = operations()
_serial = itertools.count()


class Ec2:
    """`ec2.create_vpc(CidrBlock=…)` calls CreateVpc; AWS's errors are raised as `AwsError`."""

    def __init__(self, *, fresh_account: bool = True) -> None:
        self.store = Store(":memory:")
        self.now = datetime(2026, 11, 23, 8, tzinfo=UTC)
        if fresh_account:
            with self.store.transaction() as tx:
                default_vpc.bootstrap(tx, self.now)

    def __getattr__(self, name: str) -> Any:
        operation = _operation_names()[name]
        return lambda **request: self.call(operation, request)

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:
        model = ec2_model().operation_model(operation)
        report = ParamValidator().validate(dict(request), model.input_shape)
        assert not report.has_errors(), report.generate_report()
        with self.store.transaction() as tx:
            answer = HANDLERS[operation](ControlCall("ec2", operation, self.now, f"request-{next(_serial)}", transaction=tx), request)
        if model.output_shape is not None:
            check_shape(answer, model.output_shape, operation)
        return answer

    def wait(self, **span: float) -> None:
        """Advance region time."""
        self.now += timedelta(**span)

    @property
    def default_vpc_id(self) -> str:
        found = self.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        return str(found[0]["VpcId"])


def code(error: Any) -> str:
    """The AWS code of a caught `AwsError`."""
    assert isinstance(error.value, AwsError)
    return error.value.code


def check_shape(value: Any, shape: Shape, where: str) -> None:
    """Assert that a response has only the model's members, types and enumerated values."""
    if shape.type_name == "structure":
        assert isinstance(value, Mapping), f"{where}: {value!r} is no structure"
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{where}: {shape.name} has no {unknown}"
        for name, member in value.items():
            check_shape(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        for index, item in enumerate(value):
            check_shape(item, shape.member, f"{where}[{index}]")
    elif shape.type_name == "timestamp":
        assert isinstance(value, datetime), f"{where}: {value!r} is no time"
    else:
        types = {"string": str, "boolean": bool, "integer": int, "long": int}
        assert type(value) is types[shape.type_name], f"{where}: {value!r} is no {shape.type_name}"


@cache
def ec2_model() -> ServiceModel:
    return ServiceModel(botocore.session.get_session().get_service_data("ec2"), "ec2")


@cache
def _operation_names() -> dict[str, str]:
    return {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(): name for name in HANDLERS}
