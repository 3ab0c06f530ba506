"""The command line on an operator API with prepared answers."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zonal.cli.main import COMMANDS, main
from zonal.foundation.errors import ZonalError
from zonal.foundation.journal import JournalEntry
from zonal.operator_api.client import SOCKET
from zonal.operator_api.schemas import (
    ApiAccess,
    DatabaseStatus,
    NodeStatus,
    PreparedCommand,
    PublicEndpoint,
    Status,
    ZoneFaultRequest,
    ZoneStatus,
)
from zonal.operator_api.server import OperatorRequest, OperatorRoute, OperatorServer

STATUS = Status(
    region="us-east-1",
    version="0.1.0",
    endpoint="http://127.0.0.1:4566",
    state_directory="STATE",
    process=7,
    fabric="sandbox",
    ready=True,
    zones=(ZoneStatus("us-east-1a", "use1-az1", "available"), ZoneStatus("us-east-1b", "use1-az2", "impaired", "power")),
    databases=(
        DatabaseStatus(
            identifier="orders",
            engine="postgres 18.6",
            state="available",
            endpoint="orders.abc.us-east-1.rds.zonal.internal",
            port=5432,
            multi_az=True,
            redundancy="alone",
            epoch=2,
            nodes=(NodeStatus("orders-1", "us-east-1a", "primary", "serving", "172.31.0.10"),),
            why="the standby's zone us-east-1b has no power [/usr is full]",
        ),
    ),
    public_endpoints=(PublicEndpoint("orders", "203.0.113.7", "127.8.0.1", 5432),),
    vpcs=1,
    failures=("deployments orders: no space [left] on device",),
)


JOURNAL = (
    JournalEntry(1, datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC), 1.0, "zone.failed", "us-east-1a", {"fault": "power"}),
    JournalEntry(
        2, datetime(2026, 11, 30, 12, 0, 2, tzinfo=UTC), 2.0, "failover.promoted", "orders", {"node": "orders-2", "zone": "us-east-1b"}
    ),
)


class Region:
    """The prepared answers of a region, and the requests that it received."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def status(self, _: OperatorRequest) -> Status:
        return STATUS

    async def access(self, _: OperatorRequest) -> ApiAccess:
        return ApiAccess("http://127.0.0.1:4566", "test", "a secret", "STATE/ca.pem")

    async def journal(self, request: OperatorRequest) -> list[JournalEntry]:
        return [entry for entry in JOURNAL if request.query.get("subject", "") in ("", entry.subject)]

    async def fail(self, request: OperatorRequest) -> ZoneStatus:
        if request.segments[0] != "us-east-1a":
            raise ZonalError(f"there is no zone '{request.segments[0]}'; there are us-east-1a, us-east-1b, us-east-1c")
        fault = msgspec.json.decode(request.body, type=ZoneFaultRequest)
        self.asked.append(fault)
        return ZoneStatus("us-east-1a", "use1-az1", "impaired", fault.kind)

    async def prepare(self, request: OperatorRequest) -> PreparedCommand:
        self.asked.append(json.loads(request.body))
        return PreparedCommand("place-1", 42, (("PLACE", "a"),), address="172.31.0.9", zone="us-east-1a")

    async def release(self, request: OperatorRequest) -> dict[str, str]:
        self.asked.append(request.segments[0])
        return {}


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    answers = Region()
    monkeypatch.setattr("zonal.cli.exec.enter_argv", lambda state, target: ("env", f"INSIDE={target}"))
    routes = (
        OperatorRoute("GET", "/status", answers.status),
        OperatorRoute("GET", "/access", answers.access),
        OperatorRoute("GET", "/journal", answers.journal),
        OperatorRoute("POST", "/zones/*/fail", answers.fail),
        OperatorRoute("POST", "/commands", answers.prepare),
        OperatorRoute("DELETE", "/commands/*", answers.release),
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    server = OperatorServer(tmp_path / SOCKET, routes)
    loop.run_until_complete(server.open())
    thread.start()
    yield answers
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(list(argv))
    return int(leaving.value.code or 0)


def test_status_as_json_has_every_member(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--state", str(tmp_path), "--json") == 0
    assert msgspec.json.decode(capfd.readouterr().out, type=Status) == STATUS


def test_status_shows_the_fault_and_what_a_database_waits_for(
    region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("status", "--state", str(tmp_path)) == 0
    shown = capfd.readouterr().out
    for word in ("us-east-1b", "power", "orders", "alone", "has no power [/usr is full]", "no space [left]", "127.8.0.1:5432"):
        assert word in shown


def test_env_prints_what_a_shell_can_evaluate(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("env", "--state", str(tmp_path)) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:4566" in lines
    assert "export AWS_SECRET_ACCESS_KEY='a secret'" in lines


def test_env_unsets_variables_that_override_the_endpoint(
    region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = {
        "AWS_PROFILE": "work",
        "AWS_ENDPOINT_URL_RDS": "https://else.example",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_SESSION_TOKEN": "t",
    }
    for name, value in strays.items():
        monkeypatch.setenv(name, value)
    assert run("env", "--state", str(tmp_path)) == 0
    script = f"{capfd.readouterr().out}\nenv"
    left = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout
    assert [name for name in strays if f"\n{name}=" in f"\n{left}"] == []


def test_the_journal_is_one_sentence_a_line_in_a_pipe(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("journal", "--state", str(tmp_path)) == 0
    assert capfd.readouterr().out.splitlines() == [
        "12:00:01.000  zone.failed               us-east-1a                fault: the zone lost power",
        "12:00:02.000  failover.promoted         orders                    orders-2 in us-east-1b takes writes",
    ]


def test_the_journal_as_json_has_every_field(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("journal", "--json", "--subject", "orders", "--state", str(tmp_path)) == 0
    [line] = capfd.readouterr().out.splitlines()
    assert json.loads(line)["fields"] == {"node": "orders-2", "zone": "us-east-1b"}


def test_a_journal_without_entries_is_reported_on_standard_error(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("journal", "--subject", "nobody", "--state", str(tmp_path)) == 0
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "no entries\n")


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        ((), ZoneFaultRequest("power")),
        (("--power",), ZoneFaultRequest("power")),
        (("--network",), ZoneFaultRequest("network")),
        (("--loss", "30"), ZoneFaultRequest("loss", 30.0)),
        (("--delay", "80"), ZoneFaultRequest("delay", 80.0)),
    ],
)
def test_fail_requests_the_given_fault(region: Region, tmp_path: Path, argv: tuple[str, ...], fault: ZoneFaultRequest) -> None:
    assert run("fail", "us-east-1a", *argv, "--state", str(tmp_path)) == 0
    assert region.asked == [fault]


@pytest.mark.parametrize(
    "argv",
    [
        ("--loss", "30", "--delay", "80"),
        ("--power", "--network"),
        ("--network", "--loss", "5"),
        ("--loss", "0"),
        ("--loss", "101"),
        ("--loss", "nan"),
        ("--delay", "inf"),
        ("--delay", "much"),
    ],
)
def test_an_invalid_fault_is_wrong_usage(region: Region, tmp_path: Path, argv: tuple[str, ...]) -> None:
    assert run("fail", "us-east-1a", *argv, "--state", str(tmp_path)) == 2
    assert region.asked == []


def test_an_unknown_zone_is_reported_with_the_existing_ones(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("fail", "us-east-1z", "--state", str(tmp_path)) == 1
    assert "there are us-east-1a" in capfd.readouterr().err


def test_a_drill_validates_its_zone_before_it_creates_a_database(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("drill", "zone-outage", "--zone", "us-east-1z", "--state", str(tmp_path)) == 1
    assert "there are us-east-1a" in capfd.readouterr().err
    assert region.asked == [] and not (tmp_path / "drills").exists()


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/state"])
def test_an_invalid_state_directory_is_reported_without_a_traceback(place: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("start", "-d", "--state", place) == 1
    said = capfd.readouterr().err
    assert said.startswith("zonal: ") and place in said and "--state DIR" in said


def test_exec_passes_streams_and_exit_status_on_and_releases_its_host(
    region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ("--state", str(tmp_path), "--in", "subnet-1", "--security-group", "sg-1")
    assert run("exec", *place, "--", "sh", "-c", "echo $INSIDE $PLACE; exit 7") == 7
    assert capfd.readouterr().out == "42 a\n"
    [asked, released] = region.asked
    assert isinstance(asked, dict) and len(asked.pop("lease")) == 16
    assert (asked, released) == ({"place": "subnet-1", "security_groups": ["sg-1"]}, "place-1")


def test_exec_passes_options_to_its_command(region: Region, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("exec", "--state", str(tmp_path), "echo", "--in", "-h") == 0
    assert capfd.readouterr().out == "--in -h\n"


def test_a_command_that_a_signal_ended_has_the_status_that_a_shell_gives_it(region: Region, tmp_path: Path) -> None:
    assert run("exec", "--state", str(tmp_path), "--", "sh", "-c", "kill -9 $$") == 137


@pytest.mark.parametrize(
    "command",
    ["status STATE", "env STATE", "journal STATE", "recover STATE us-east-1a", "exec STATE true", "stop STATE", "drill zone-outage STATE"],
)
def test_without_a_region_a_command_names_the_command_that_starts_one(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(*command.replace("STATE", f"--state {tmp_path}/nothing").split()) == 3
    assert "zonal start" in capfd.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert "Usage: zonal" in capfd.readouterr().out


def test_the_command_line_imports_only_what_a_command_needs() -> None:
    import subprocess
    import sys

    script = "import sys, zonal.cli.main; print([n for n in ('botocore', 'rich', 'psycopg', 'pyroute2', 'asyncio') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"
