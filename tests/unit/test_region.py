"""The composition root, without a sandbox."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from zonal import region, runtime
from zonal.foundation.settings import Settings
from zonal.region import Region
from zonal.wire import service_models


def test_a_region_raises_its_descriptor_limit_to_the_maximum() -> None:
    script = (
        "import resource; from zonal.region import allow_descriptors as allow; allow(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    argv = ["sh", "-c", 'ulimit -Sn 100; ulimit -Hn 500; exec "$0" -c "$1"', sys.executable, script]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split() == ["500", "500"]


def test_every_service_of_the_region_has_handlers_for_operations_of_its_model(tmp_path: Path) -> None:
    services = Region(Settings(), tmp_path).services
    assert [each.name for each in services] == ["ec2", "rds", "s3", "dynamodb", "dynamodbstreams", "sts"]
    for service in services:
        unknown = set(service.handlers) - set(service_models.service(service.name).operation_names)
        assert service.handlers and not unknown, f"{service.name}: {unknown}"


def test_the_status_counts_each_services_resources(tmp_path: Path) -> None:
    resources = {each.name: dict(each.resources()) for each in Region(Settings(), tmp_path).services if each.resources()}
    assert resources == {"ec2": {"vpcs": 1}, "rds": {"db instances": 0}, "s3": {"buckets": 0}, "dynamodb": {"tables": 0}}


@pytest.mark.parametrize("module", [region, runtime], ids=lambda module: module.__name__)
def test_the_composition_root_sets_attributes_only_in_constructors(module: ModuleType) -> None:
    for function in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            targets = (
                node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
            )
            for target in targets:
                if isinstance(target, ast.Attribute):
                    assert function.name == "__init__" and ast.unparse(target.value) == "self", f"{function.name}: {ast.unparse(target)}"
