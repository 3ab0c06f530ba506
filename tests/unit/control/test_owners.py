"""Deployments have owners: their names lead to the leader, and an owner of an unknown kind is an error."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests.unit.control.simulation import A, FakeOwner, spec
from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, DeploymentStatus, Phase, Preparation, member_of
from zonal.control.failover import Redundancy
from zonal.control.owners import NameAnnouncer, NameTarget, Owner, Owners, UnknownOwner
from zonal.engines.postgres.options import PostgresOptions, PostgresSecrets
from zonal.engines.registry import POSTGRES
from zonal.records.store import Store

TARGETS = (NameTarget("orders.internal", "172.31.0.1", "203.0.113.1"), NameTarget("orders-ro.internal", "172.31.0.2"))


class NamedOwner(FakeOwner):
    """An owner with two names."""

    def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> tuple[NameTarget, ...]:
        return TARGETS


class Names:
    """The DNS names that were set."""

    def __init__(self) -> None:
        self.table: list[NameTarget] = []

    def set(self, name: str, *, private: str, public: str | None = None) -> None:
        self.table.append(NameTarget(name, private, public))


def standing(deployment: DeploymentSpec) -> DeploymentStatus:
    member = member_of(deployment, deployment.places[0], Preparation.NOTHING)
    return DeploymentStatus(
        id=deployment.id, phase=Phase.RUNNING, leader=member.name, members=(member,), redundancy=Redundancy.SINGLE, announced=member.name
    )


def test_an_owner_of_an_unknown_kind_is_an_error_that_names_it() -> None:
    owners = Owners({"test:thing": FakeOwner("test:thing")})
    stranger = Owner("cache:group", "orders")
    for ask in (owners.arn, owners.describe):
        with pytest.raises(
            UnknownOwner, match=r"'cache:group' \('orders'\) is not a known kind of deployment owner; known kinds: test:thing"
        ):
            ask(stranger)
    deployment = spec(A, owner=stranger)
    with pytest.raises(UnknownOwner, match="cache:group"):
        owners.announce(deployment, standing(deployment))


async def test_every_name_of_the_owner_is_set_when_it_announces() -> None:
    names, deployment = Names(), spec(A)
    await NameAnnouncer(Owners({"test:thing": NamedOwner("test:thing")}), names).announce(deployment, standing(deployment))
    assert tuple(names.table) == TARGETS


def test_owners_of_two_kinds_with_the_same_id_have_different_arns() -> None:
    owners = Owners({kind: FakeOwner(kind) for kind in ("test:thing", "cache:group")})
    assert len({owners.arn(Owner(kind, "orders")) for kind in ("test:thing", "cache:group")}) == 2


def test_a_deployment_recorded_by_the_version_before_owners_and_options_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "region.db"
    Store(path).close()
    body = msgspec.to_builtins(spec(A))
    del body["owner"], body["options"]
    secrets = {"id": "d-1", "operator": "o", "replication": "r", "master": "m", "certificate": "Yw==", "private_key": "aw=="}
    with sqlite3.connect(path) as database:
        for kind, members in (
            ("deployment", body | {"subject": "orders", "master_user": "shop", "database": "sales"}),
            ("deployment-secrets", secrets),
        ):
            database.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?)", (kind, "d-1", 1, 1, msgspec.json.encode(members)))
    database.close()
    store = Store(path)
    upgraded = store.require(DeploymentSpec, "d-1")
    assert upgraded.owner == Owner("rds:db", "orders")
    assert POSTGRES.options_from(upgraded.options) == PostgresOptions("shop", "sales")
    members = store.require(DeploymentSecrets, "d-1").members
    assert POSTGRES.secrets_from(members) == PostgresSecrets("o", "r", "m", b"c", b"k")
