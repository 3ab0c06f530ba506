"""Service models agree with botocore's."""

from __future__ import annotations

import pytest

from tests.unit.wire.oracle import model
from zonal.wire import service_models
from zonal.wire.service_models import ModelMissing


@pytest.mark.parametrize("name", ["ec2", "rds", "sts", "dynamodb", "s3", "elbv2", "cloudwatch", "lambda"])
def test_metadata_from_the_head_of_a_file_equals_that_of_the_whole_file(name: str) -> None:
    whole = service_models.service(name)
    assert service_models.metadata(name) == whole.metadata
    assert whole.metadata.signs_as == model(name).signing_name
    assert whole.operation_names == model(name).operation_names


def test_botocores_sdk_extras_are_merged() -> None:
    put = service_models.service("s3").operation("PutObject")
    copy = service_models.service("rds").operation("CopyDBSnapshot")
    assert put is not None and put.input is not None and put.input.members["Expires"].type == "timestamp"
    assert copy is not None and copy.input is not None and "SourceRegion" in copy.input.members


def test_an_unknown_service_is_named() -> None:
    for name in ("nonsense", "../s3", ""):
        with pytest.raises(ModelMissing, match="no model"):
            service_models.metadata(name)


def test_a_recursive_shape_is_one_object() -> None:
    put = service_models.service("dynamodb").operation("PutItem")
    assert put is not None and put.input is not None
    value = put.input.members["Item"].value
    nested = value.members["M"].value.members["M"].value
    assert nested.members["M"] is nested.members["M"].value.members["M"]
