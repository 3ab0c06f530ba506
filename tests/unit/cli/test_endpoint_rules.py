"""The endpoint rules that `zonal env` writes, as botocore and the AWS CLI load them."""

from pathlib import Path

import botocore.session
import pytest
from awscli.customizations.overridesslcommonname import SSL_COMMON_NAMES
from botocore.config import Config

from zonal.cli.endpoint_rules import FIXED_HOSTS, can_be_in_data_path, data_path, write_endpoint_rules

REGION = "http://127.0.0.1:4566"


def resolved(service: str, *, endpoint: str | None, **config: bool) -> str:
    """The endpoint that botocore chooses under the variables that are set."""
    client = botocore.session.Session().create_client(
        service,
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(**config),
    )
    prepared: list[str] = []

    def stop(request: object, **_: object) -> object:
        prepared.append(str(request.url))  # type: ignore[attr-defined]
        raise StopIteration

    client.meta.events.register("before-send", stop)
    operation = {"rds": "describe_events", "sqs": "list_queues", "health": "describe_events"}.get(service, "describe_events")
    with pytest.raises(StopIteration):
        getattr(client, operation)()
    return prepared[0].rstrip("/")


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    root = write_endpoint_rules(tmp_path, REGION)
    monkeypatch.setenv("AWS_DATA_PATH", data_path(root, {}))
    return root


@pytest.mark.parametrize("service", FIXED_HOSTS)
def test_the_host_that_the_aws_cli_sets_itself_is_replaced_by_the_region(rules: Path, service: str) -> None:
    assert resolved(service.partition("/")[0], endpoint=f"https://{FIXED_HOSTS[service]}") == REGION
    assert resolved(service.partition("/")[0], endpoint=None) == REGION


@pytest.mark.parametrize("service", FIXED_HOSTS)
def test_an_endpoint_that_a_program_gives_is_kept(rules: Path, service: str) -> None:
    assert resolved(service.partition("/")[0], endpoint="http://127.0.0.1:9999") == "http://127.0.0.1:9999"


def test_the_rules_cover_every_service_for_which_the_aws_cli_sets_an_endpoint_in_us_east_1() -> None:
    fixed = {service: hosts["us-east-1"] for service, hosts in SSL_COMMON_NAMES.items() if "us-east-1" in hosts}
    assert fixed == {service.partition("/")[0]: host for service, host in FIXED_HOSTS.items()}


def test_the_rules_name_the_regions_current_port(rules: Path, tmp_path: Path) -> None:
    write_endpoint_rules(tmp_path, "http://127.0.0.1:4700")
    assert resolved("rds", endpoint="https://rds.amazonaws.com") == "http://127.0.0.1:4700"


def test_a_users_data_path_is_kept_and_that_of_another_region_is_replaced(tmp_path: Path) -> None:
    mine, other = write_endpoint_rules(tmp_path / "mine", REGION), write_endpoint_rules(tmp_path / "other", REGION)
    assert data_path(mine, {"AWS_DATA_PATH": f"/models:{other}"}) == f"{mine}:/models"
    assert data_path(mine, {}) == str(mine)


@pytest.mark.parametrize("name", ["a:b", "$HOME"])
def test_a_directory_that_a_data_path_cannot_name_is_detected(tmp_path: Path, name: str) -> None:
    assert not can_be_in_data_path(tmp_path / name)
    assert can_be_in_data_path(tmp_path / "a b")
