"""Settings come from the command line, the environment, a file, the default, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from zonal.foundation.settings import BadSetting, Settings, is_loopback, load, table


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("port = 1111\nprobe_misses = 7\ndns_ttl_seconds = 9\n")
    settings = load(tmp_path, environment={"ZONAL_PORT": "2222", "ZONAL_DNS_TTL_SECONDS": "8"}, port=3333, bind=None)
    assert (settings.port, settings.dns_ttl_seconds, settings.probe_misses, settings.bind) == (3333, 8, 7, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "environment", "named"),
    [
        ("port = 'many'", {}, "port"),
        ("", {"ZONAL_PORT": "0"}, "port"),
        ("colour = 'red'", {}, "colour"),
        ("port = ", {}, "settings.toml"),
    ],
)
def test_a_wrong_setting_is_refused_and_named(tmp_path: Path, text: str, environment: dict[str, str], named: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(BadSetting, match=named):
        load(tmp_path, environment=environment)


def test_leaving_loopback_demands_own_credentials(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="anybody knows test/test"):
        load(tmp_path, environment={}, bind="0.0.0.0")
    assert load(tmp_path, environment={"ZONAL_ACCESS_KEY": "AK", "ZONAL_SECRET_KEY": "own"}, bind="0.0.0.0").bind == "0.0.0.0"
    assert is_loopback("127.0.3.4")
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.1")


def test_secrets_do_not_show_in_the_settings_text(tmp_path: Path) -> None:
    assert "very-secret" not in repr(load(tmp_path, environment={}, access_key="AK", secret_key="very-secret"))


def test_every_setting_is_in_the_table() -> None:
    assert [line.split("`")[1] for line in table().splitlines()[2:]] == list(Settings.__struct_fields__)
