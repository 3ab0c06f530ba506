"""Settings come from the command line, the environment, a file, the default, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from zonal.foundation.credentials import Accounts
from zonal.foundation.identifiers import ACCOUNT
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
def test_an_invalid_setting_is_rejected_by_name(tmp_path: Path, text: str, environment: dict[str, str], named: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(BadSetting, match=named):
        load(tmp_path, environment=environment)


@pytest.mark.parametrize(
    ("text", "environment", "given", "message"),
    [
        ("port = 'x'", {}, {}, "{file}: 'x' is not valid for the setting 'port'; allowed: whole numbers from 1 to 65,535"),
        (
            "port = 1",
            {"ZONAL_PORT": "0"},
            {},
            "ZONAL_PORT: '0' is not valid for the setting 'port'; allowed: whole numbers from 1 to 65,535",
        ),
        ("", {"ZONAL_PORT": "1"}, {"port": 0}, "--port: 0 is not valid for the setting 'port'; allowed: whole numbers from 1 to 65,535"),
        ("port = [1]", {}, {}, "{file}: a list is not valid for the setting 'port'; allowed: whole numbers from 1 to 65,535"),
        ("bind = true", {}, {}, "{file}: true is not valid for the setting 'bind'; allowed: text"),
        ("clock_speed = 0", {}, {}, "{file}: 0 is not valid for the setting 'clock_speed'; allowed: numbers above 0 to 3,600"),
        ("s3_new_buckets = 'old'", {}, {}, "{file}: 'old' is not valid for the setting 's3_new_buckets'; allowed: current, before-2023"),
        ("allowed_hosts = 5", {}, {}, "{file}: 5 is not valid for the setting 'allowed_hosts'; allowed: a list of strings"),
        (
            "",
            {"ZONAL_DYNAMODB_THROTTLING": "maybe"},
            {},
            "ZONAL_DYNAMODB_THROTTLING: 'maybe' is not valid for the setting 'dynamodb_throttling'; allowed: true, false",
        ),
        ("secret_key = 31337", {}, {}, "{file}: its value is not valid for the setting 'secret_key'; allowed: text"),
        ("colour = 'red'", {}, {}, "{file}: there is no setting 'colour'"),
        ("", {"ZONAL_CREDENTIALS": "[{}]"}, {}, "ZONAL_CREDENTIALS: credentials, table 1: 'access_key' is missing"),
        (
            "",
            {"ZONAL_CREDENTIALS": '[{"access_key": "A", "secret_key": "31337", "account": "1"}]'},
            {},
            "ZONAL_CREDENTIALS: credentials, table 1: the value of 'account' is not valid; allowed: text of 12 digits",
        ),
        (
            "",
            {"ZONAL_CREDENTIALS": '[{"access_key": "", "secret_key": "31337"}]'},
            {},
            "ZONAL_CREDENTIALS: credentials, table 1: the value of 'access_key' is not valid; allowed: text of 1 to 128 characters",
        ),
        (
            "credentials = '31337'",
            {},
            {},
            "{file}: the value is not valid for the setting 'credentials'; allowed: a list of tables with "
            "access_key, secret_key, account, canonical_id, display_name, email",
        ),
        (
            "credentials = '31337'",
            {"ZONAL_CREDENTIALS": '"31337"'},
            {},
            "ZONAL_CREDENTIALS: the value is not valid for the setting 'credentials'; allowed: a list of tables with "
            "access_key, secret_key, account, canonical_id, display_name, email",
        ),
    ],
    ids=[
        "text-for-a-number",
        "environment",
        "option",
        "list-for-a-number",
        "boolean-for-text",
        "too-small",
        "not-a-choice",
        "number-for-a-list",
        "not-a-boolean",
        "secret",
        "unknown",
        "credentials-missing-field",
        "credentials-pattern",
        "credentials-empty-key",
        "credentials-text-in-file",
        "credentials-text-in-environment",
    ],
)
def test_a_value_that_is_not_valid_is_refused_with_its_source_and_what_is_allowed(
    tmp_path: Path, text: str, environment: dict[str, str], given: dict[str, object], message: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(BadSetting) as refused:
        load(tmp_path, environment=environment, **given)
    assert str(refused.value) == message.format(file=file)
    assert "31337" not in str(refused.value)


def test_the_table_describes_lists_by_what_they_contain() -> None:
    rows = {line.split("`")[1]: line for line in table().splitlines()[2:]}
    assert "| a list of strings |" in rows["allowed_hosts"] and "| a list of strings |" in rows["allowed_origins"]
    assert "| a list of tables |" in rows["credentials"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(BadSetting, match=r"cannot read .*settings\.toml: is a directory"):
        load(tmp_path, environment={})
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="--state DIR"):
        load(tmp_path / "file", environment={})
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "settings.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSetting, match="is not TOML"):
        load(tmp_path / "binary", environment={})


def test_a_non_loopback_address_requires_own_credentials(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="test/test is public"):
        load(tmp_path, environment={}, bind="0.0.0.0")
    assert load(tmp_path, environment={"ZONAL_ACCESS_KEY": "AK", "ZONAL_SECRET_KEY": "own"}, bind="0.0.0.0").bind == "0.0.0.0"
    assert is_loopback("127.0.3.4")
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.1")


def test_secrets_are_not_in_the_text_of_the_settings(tmp_path: Path) -> None:
    assert "very-secret" not in repr(load(tmp_path, environment={}, access_key="AK", secret_key="very-secret"))


def test_every_setting_is_in_the_table() -> None:
    assert [line.split("`")[1] for line in table().splitlines()[2:]] == list(Settings.__struct_fields__)


OTHER = '{"access_key": "AKOTHER", "secret_key": "hidden", "account": "111111111111", "email": "o@example.com"}'


def test_further_credentials_come_from_the_environment_or_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    settings = load(tmp_path, environment={"ZONAL_CREDENTIALS": f"[{OTHER}]"})
    assert settings.secrets() == {"test": "test", "AKOTHER": "hidden"}
    assert settings.account_of() == {"test": ACCOUNT, "AKOTHER": "111111111111"}
    path = tmp_path / "settings.toml"
    path.write_text('[[credentials]]\naccess_key = "AKFILE"\nsecret_key = "hidden"\n')
    path.chmod(0o644)
    with pytest.raises(BadSetting, match="chmod 600"):
        load(tmp_path, environment={})
    path.chmod(0o600)
    assert load(tmp_path, environment={}).account_of()["AKFILE"] == ACCOUNT


@pytest.mark.parametrize("text", ["[", '[{"access_key": "AK"}]', f"[{OTHER}, {OTHER}]", '[{"access_key": "test", "secret_key": "hidden"}]'])
def test_invalid_credentials_are_rejected_without_showing_secrets(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadSetting) as refused:
        load(tmp_path, environment={"ZONAL_CREDENTIALS": text})
    assert "hidden" not in str(refused.value)
    assert "hidden" not in repr(load(tmp_path, environment={"ZONAL_CREDENTIALS": f"[{OTHER}]"}).credentials)


def test_an_account_is_described_by_its_keys_or_derived_from_its_number(tmp_path: Path) -> None:
    accounts = Accounts(load(tmp_path, environment={"ZONAL_CREDENTIALS": f"[{OTHER}]"}).credentials)
    other = accounts.by_email("O@example.com")
    assert other is not None and other.number == other.display_name == "111111111111"
    assert len(other.canonical_id) == 64 and accounts.by_canonical_id(other.canonical_id) == other
    assert accounts.by_email("nobody@example.com") is None
    assert accounts.of("222222222222").canonical_id not in (other.canonical_id, accounts.of(ACCOUNT).canonical_id)


def test_the_settings_in_the_docs_for_a_test_suite_are_valid(tmp_path: Path) -> None:
    shown = [text.partition("```")[0] for text in (Path(__file__).parents[3] / "docs/s3.md").read_text().split("```toml\n")[1:]]
    path = tmp_path / "settings.toml"
    for text in shown:
        path.write_text(text)
        path.chmod(0o600)
        assert load(tmp_path, environment={}).s3_new_buckets == "before-2023"
    assert len(shown) == 2 and len(set(load(tmp_path, environment={}).account_of().values())) == 3
