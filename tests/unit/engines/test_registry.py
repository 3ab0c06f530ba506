"""An engine's options and secrets are structs of its own, stored as JSON and converted by its definition."""

from __future__ import annotations

import msgspec
import pytest

from zonal.engines.options import EngineOptions
from zonal.engines.postgres.options import PostgresOptions, PostgresSecrets
from zonal.engines.registry import ENGINES, POSTGRES, InvalidOptions

MEMBERS = {"operator": "oper", "replication": "repl", "master": "verifier", "certificate": b"chain", "private_key": b"key"}


def test_options_and_secrets_are_the_same_after_they_were_stored_as_json() -> None:
    stored = msgspec.json.decode(msgspec.json.encode(POSTGRES.stored_options(master_user="shop", database=None)))
    assert POSTGRES.options_from(stored) == PostgresOptions("shop")
    secrets = msgspec.json.decode(msgspec.json.encode(POSTGRES.stored_secrets(**MEMBERS)))
    assert POSTGRES.secrets_from(secrets) == PostgresSecrets(**MEMBERS)  # type: ignore[arg-type]


def test_members_that_an_engine_does_not_have_or_that_are_missing_are_refused() -> None:
    with pytest.raises(InvalidOptions, match="postgres has no PostgresOptions member shards"):
        POSTGRES.stored_options(master_user="shop", shards=3)
    with pytest.raises(InvalidOptions, match="master_user"):
        POSTGRES.options_from({})
    with pytest.raises(InvalidOptions, match="private_key"):
        POSTGRES.secrets_from({name: value for name, value in MEMBERS.items() if name != "private_key"})


def test_an_error_about_secrets_has_no_secret_in_it() -> None:
    with pytest.raises(InvalidOptions) as raised:
        POSTGRES.stored_secrets(**(MEMBERS | {"certificate": 7}))
    assert not any(str(value) in str(raised.value) for value in ("oper'", "verifier", "chain"))


def test_the_structs_of_every_engine_hide_their_secrets_and_its_password_verifier_is_not_the_password() -> None:
    for definition in ENGINES.values():
        assert issubclass(definition.options, EngineOptions)
        assert repr(definition.secrets_from(definition.stored_secrets(**MEMBERS))) == f"{definition.secrets.__name__}(…)"
        assert definition.password_verifier is not None and "pencil" not in definition.password_verifier("pencil")
