"""The settings of a region, with their defaults and descriptions.

A value comes from the command line, else from the environment (`ZONAL_PORT`), else from `settings.toml` in the state directory, else from
the default here. The table in `docs/settings.md` is printed from this file. `credentials` is a list: tables in the file, JSON in the
environment. A file with credentials must have mode 0600.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from zonal.foundation.credentials import Credential
from zonal.foundation.errors import ZonalError, describe
from zonal.foundation.identifiers import ACCOUNT

WELL_KNOWN_SECRETS = frozenset(("test", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
"""Secrets that are public: of the default key, and of AWS's documentation."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one region."""

    port: Annotated[int, Meta(ge=1, le=65535, description="Port of the API endpoint.")] = 4566
    bind: Annotated[
        str,
        Meta(description="Address of the API endpoint. An address other than loopback requires `access_key` and `secret_key` of your own."),
    ] = "127.0.0.1"
    access_key: Annotated[str, Meta(description="Access key id that the API accepts.")] = "test"
    secret_key: Annotated[str, Meta(description="Its secret.")] = "test"
    credentials: Annotated[
        tuple[Credential, ...],
        Meta(description="Further keys, of this account or of others (see [S3](s3.md#several-accounts)). In the environment: JSON."),
    ] = ()
    clock_speed: Annotated[
        float, Meta(gt=0, le=3600, description="Speed of region time relative to real time. A drill's stopwatch keeps real time.")
    ] = 1.0
    probe_interval_seconds: Annotated[float, Meta(gt=0, description="Seconds between two probes of a node from another zone.")] = 0.25
    probe_timeout_seconds: Annotated[float, Meta(gt=0, description="Time after which a probe without an answer counts as missed.")] = 0.4
    probe_misses: Annotated[int, Meta(ge=1, description="Missed probes in a row after which a node counts as lost.")] = 3
    dns_ttl_seconds: Annotated[int, Meta(ge=0, description="Time to live of endpoint names.")] = 5
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Further names for `Host` beside those of [the wire](wire.md#web-pages): `name`, `*.name` or `*`. "
            "In the environment: separated by commas."
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins (`http://localhost:3000`) whose web pages may use a well-known key, or `*`. "
            "In the environment: separated by commas."
        ),
    ] = ()
    body_limit_bytes: Annotated[
        int,
        Meta(ge=1024, description="Largest request body of an operation that does not stream; most operations have a smaller limit."),
    ] = 16 * 1024 * 1024
    body_budget_bytes: Annotated[
        int,
        Meta(
            ge=1024 * 1024,
            description="Maximum bytes of all request bodies in memory; requests beyond it are answered 503. "
            "One document may have a fourth.",
        ),
    ] = 128 * 1024 * 1024
    request_timeout_seconds: Annotated[
        float,
        Meta(
            gt=0,
            description="Time that a client has to send a request's head, a body of up to 16 KiB, and the next piece of a larger body.",
        ),
    ] = 30.0
    s3_new_buckets: Annotated[
        Literal["current", "before-2023"],
        Meta(
            description="current: a new bucket blocks public access, ACLs and SSE-C, as on AWS today; "
            "before-2023: it blocks none of them, as older programs and test suites expect."
        ),
    ] = "current"
    dynamodb_durability: Annotated[
        Literal["durable", "relaxed"],
        Meta(description="durable: a write is answered after it is on the disk; relaxed: within a second."),
    ] = "durable"
    dynamodb_throttling: Annotated[bool, Meta(description="Whether DynamoDB throttles a table at its capacity.")] = True
    dynamodb_lag_seconds: Annotated[
        float, Meta(ge=0, le=60, description="Maximum lag of eventually consistent reads of DynamoDB and its global indexes.")
    ] = 0.0

    def __repr__(self) -> str:
        return f"Settings(port={self.port}, bind={self.bind!r})"

    @property
    def endpoint(self) -> str:
        """The address of the API as a URL."""
        return f"http://{f'[{self.bind}]' if ':' in self.bind else self.bind}:{self.port}"

    def secrets(self) -> dict[str, str]:
        """The secret of every access key id."""
        return {self.access_key: self.secret_key} | {each.access_key: each.secret_key for each in self.credentials}

    def well_known_keys(self) -> frozenset[str]:
        """The access key ids with a public secret, with which any web page could sign."""
        return frozenset(key for key, secret in self.secrets().items() if secret in WELL_KNOWN_SECRETS or secret == key)

    def account_of(self) -> dict[str, str]:
        """The account of every access key id."""
        return {self.access_key: ACCOUNT} | {each.access_key: each.account for each in self.credentials}


class BadSetting(ZonalError):
    """A setting has an invalid value."""


def load(state: Path, *, environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """The effective settings of the region in `state`. `given` are the values of the command line (None: not given).

    Raises `BadSetting`, which names the setting and the source of its value.
    """
    environment = os.environ if environment is None else environment
    path = state / "settings.toml"
    values = _written(path)
    sources = dict.fromkeys(values, str(path))
    variables = {name: f"ZONAL_{name.upper()}" for name in Settings.__struct_fields__}
    values |= {name: environment[variable] for name, variable in variables.items() if variable in environment}
    sources |= {name: variable for name, variable in variables.items() if variable in environment}
    if sources.get("credentials") == variables["credentials"]:
        values["credentials"] = _listed(values["credentials"])
    for name in ("allowed_hosts", "allowed_origins"):
        if isinstance(values.get(name), str):
            values[name] = [each.strip() for each in values[name].split(",") if each.strip()]
    options = {name: value for name, value in given.items() if value is not None}
    values |= options
    sources |= {name: f"--{name.replace('_', '-')}" for name in options}
    _check_values(values, sources)
    settings = msgspec.convert(values, Settings, strict=False)
    _check_keys(settings)
    return settings


def _written(path: Path) -> dict[str, Any]:
    """The values of the settings file; empty if it does not exist."""
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise BadSetting(f"cannot read {describe(error)}; `--state DIR` uses another state directory") from error
    if "credentials" in values and path.stat().st_mode & 0o077:
        raise BadSetting(f"{path} contains credentials and is readable by others; run: chmod 600 {path}")
    return values


def _listed(text: str) -> Any:
    """A list from an environment variable."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise BadSetting("ZONAL_CREDENTIALS is not JSON") from None  # The message must not contain its secrets.


def _check_values(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Check that each setting exists and has an allowed value. `sources` has where each comes from."""
    types = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for name, value in values.items():
        if name not in types:
            raise BadSetting(f"{sources[name]}: there is no setting {name!r}")
        if name == "credentials":
            _check_credentials(value, sources[name])
        elif not _is_valid(value, types[name]):
            shown = "its value" if name == "secret_key" else _shown(value)
            raise BadSetting(f"{sources[name]}: {shown} is not valid for the setting {name!r}; allowed: {_allowed(types[name])}")


def _check_credentials(value: Any, source: str) -> None:
    """Like `_check_values`, for each table of `credentials`. No value is shown."""
    fields = {field.name: field for field in msgspec.structs.fields(Credential)}
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise BadSetting(
            f"{source}: the value is not valid for the setting 'credentials'; allowed: a list of tables with {', '.join(fields)}"
        )
    for number, table in enumerate(value, start=1):
        where = f"{source}: credentials, table {number}"
        for name in table:
            if name not in fields:
                raise BadSetting(f"{where}: there is no {name!r}; allowed: {', '.join(fields)}")
        for name, field in fields.items():
            if field.required and name not in table:
                raise BadSetting(f"{where}: {name!r} is missing")
            if name in table and not _is_valid(table[name], field.type):
                raise BadSetting(f"{where}: the value of {name!r} is not valid; allowed: {_allowed(field.type)}")


def _is_valid(value: Any, annotated: Any) -> bool:
    try:
        msgspec.convert(value, annotated, strict=False)
    except msgspec.ValidationError:
        return False
    return True


def _shown(value: Any) -> str:
    """A value as in TOML, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:60]}…")
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else str(value)


def _allowed(annotated: Any) -> str:
    """What a setting or a field of a credential allows, for a message."""
    meta = next((each for each in get_args(annotated) if isinstance(each, Meta)), None)
    if meta is None:
        return "text"
    if meta.pattern is not None:
        return "text of 12 digits"
    if meta.min_length is not None:
        return f"text of {meta.min_length} to {meta.max_length} characters" if meta.max_length else "text that is not empty"
    return _values(annotated, meta).replace("`", "")


def _check_keys(settings: Settings) -> None:
    """An API that other machines can reach requires a key of its own, and each key has one secret. Raises `BadSetting`."""
    if not settings.bind.strip():
        raise BadSetting("bind is empty; give the address of an interface (default 127.0.0.1) or 0.0.0.0 for all interfaces")
    if not is_loopback(settings.bind) and (settings.access_key, settings.secret_key) == ("test", "test"):
        raise BadSetting(f"binding to {settings.bind} requires access_key and secret_key in settings.toml, because test/test is public")
    keys = [settings.access_key, *(each.access_key for each in settings.credentials)]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise BadSetting(f"the access key {twice!r} is configured twice; access_key and credentials must have different keys")


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address that the API binds to."""
    return address.startswith("127.") or address in ("::1", "localhost")


VALUES_OF_TYPE: dict[Any, str] = {
    bool: "`true`, `false`",
    str: "text",
    int: "whole numbers",
    float: "numbers",
    tuple[str, ...]: "a list of strings",
    tuple[Credential, ...]: "a list of tables",
}


def table() -> str:
    """Every setting as a Markdown table, for the docs."""
    rows = ["| setting | default | values | what it does |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(Settings):
        meta = next(each for each in get_args(field.type) if isinstance(each, Meta))
        rows.append(f"| `{field.name}` | `{field.default}` | {_values(field.type, meta)} | {meta.description} |")
    return "\n".join(rows)


def _values(annotated: Any, meta: Meta) -> str:
    """A description of the values that a setting accepts."""
    kind = get_args(annotated)[0]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(kind))
    lower = f"from {meta.ge:,}" if meta.ge is not None else f"above {meta.gt:,}" if meta.gt is not None else ""
    upper = f"to {meta.le:,}" if meta.le is not None else ""
    named = VALUES_OF_TYPE[kind]
    return " ".join(part for part in (named, lower, upper) if part)
