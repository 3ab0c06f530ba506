"""Commands with invalid input print one sentence with a remedy, without a traceback or an error number."""

import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.test_commands import run
from zonal.cli.main import COMMANDS
from zonal.foundation.errors import ZonalError, describe

RAW = re.compile(r"\[Errno|Traceback|OSError|PermissionError|while attempting")


@pytest.fixture(autouse=True)
def no_raw_error(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert RAW.search("".join(capfd.readouterr())) is None


def said(capfd: pytest.CaptureFixture[str]) -> str:
    text = capfd.readouterr().err
    assert RAW.search(text) is None, text
    return text


COMMANDS_WITH_STATE = {
    "start": ("start", "-d"),
    "stop": ("stop",),
    "status": ("status",),
    "env": ("env",),
    "journal": ("journal",),
    "logs": ("logs",),
    "fail": ("fail", "us-east-1a"),
    "recover": ("recover", "us-east-1a"),
    "report": ("report", "capacity", "table"),
    "drill": ("drill", "db-failover"),
}


def test_the_list_has_every_command_with_a_state_directory() -> None:
    assert set(COMMANDS_WITH_STATE) == set(COMMANDS) - {"exec", "engines", "doctor"}


@pytest.mark.parametrize("argv", COMMANDS_WITH_STATE.values(), ids=COMMANDS_WITH_STATE)
@pytest.mark.parametrize("place", ["", "/dev/null", "/dev/null/x", "/etc/passwd", "/proc/1/nowhere"])
def test_an_invalid_state_directory_is_named(argv: tuple[str, ...], place: str, capfd: pytest.CaptureFixture[str]) -> None:
    status = run(*argv, "--state", place)
    text = said(capfd)
    assert status in (1, 2, 3) and (place in text or "is empty" in text), text


def test_a_relative_state_directory_is_resolved_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zonal.cli.options import _resolve

    monkeypatch.chdir("/")
    assert _resolve(None, None, Path("../..") / tmp_path.relative_to("/") / "a/../b") == tmp_path.resolve() / "b"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "reason"), [("/tmp/" + "d" * 200 + "/" + "e" * 200, "longer than 400 bytes"), ("/tmp/\udcff", "not UTF-8")]
)
def test_a_path_that_is_too_long_for_a_store_is_wrong_usage(place: str, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("start", "-d", "--state", place) == 2
    assert reason in said(capfd)


def test_a_loop_of_symbolic_links_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert run("start", "-d", "--state", str(tmp_path / "one")) != 0
    assert str(tmp_path / "one") in said(capfd)


def test_a_port_in_use_is_named_with_the_option_for_another(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("start", "-d", "--port", str(port), "--state", str(tmp_path)) == 1
    assert said(capfd) == f"zonal: cannot listen on 127.0.0.1:{port}: address in use; `zonal start --port N` uses another port\n"


@pytest.mark.parametrize("bind", ["192.0.2.1", "no.such.host.invalid", "2001:db8::1", "a" * 80, "é\udc80"])
def test_an_address_of_another_machine_is_named(
    bind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZONAL_ACCESS_KEY", "own")
    monkeypatch.setenv("ZONAL_SECRET_KEY", "own")
    assert run("start", "-d", "--bind", bind, "--port", "4799", "--state", str(tmp_path)) == 1
    assert "is not an address of this machine; `zonal start --bind ADDRESS`" in said(capfd)


@pytest.mark.parametrize("setting", ["port = 0", "colour = 'red'", "port =", "bind = ''", "clock_speed = 86400"])
def test_a_wrong_setting_is_named_with_its_file(setting: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.toml").write_text(f"{setting}\n")
    assert run("start", "-d", "--state", str(tmp_path)) == 1
    text = said(capfd)
    assert "settings.toml" in text or "bind is empty" in text


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "region.log").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert run("start", "-d", "--port", str(port), "--state", str(tmp_path)) == 1
    assert f"cannot write {tmp_path}/region.log: is a directory" in said(capfd)


def test_an_empty_identifier_does_not_create_a_database(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("drill", "db-failover", "--db", "", "--state", str(tmp_path)) == 2
    assert "--db is empty" in said(capfd)


def test_an_engine_store_that_cannot_be_created_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ZONAL_ENGINES", "/dev/null/engines")
    assert run("engines", "install", "postgres", "18") == 1
    assert "cannot make the engine store /dev/null/engines" in said(capfd) or "ZONAL_ENGINES" in said(capfd)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: no such file or directory"),
        (OSError(28, "No space left on device"), "no space left on device"),
        (OSError(1, "unshare(0x6c020000): Operation not permitted"), "unshare(0x6c020000): Operation not permitted"),
        (OSError("timed out"), "OSError: timed out"),
        (OSError(18, "Invalid cross-device link", "/a", None, "/b"), "/a: /b: invalid cross-device link"),
        (ZonalError("the thing is full"), "the thing is full"),
        (ExceptionGroup("all", [ExceptionGroup("some", [ZonalError("the first leaf")])]), "the first leaf"),
        (sqlite3.OperationalError("locked"), "OperationalError: locked"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_an_error_is_described_in_one_sentence(error: BaseException, text: str) -> None:
    assert describe(error) == text
