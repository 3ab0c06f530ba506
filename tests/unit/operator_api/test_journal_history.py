import pytest

from zonal.operator_api.journal_history import AmbiguousSubject, subject_journal
from zonal.records.store import Store
from zonal.services.rds.model import instance_arn

CACHE = "arn:aws:elasticache:us-east-1:000000000000:replicationgroup:orders"


def write(store: Store, event: str, subject: str, **fields: str) -> None:
    with store.transaction() as tx:
        tx.note(event, subject, **fields)


def rename(store: Store, former: str, identifier: str) -> None:
    write(store, "rds.renamed", identifier, former=former, identifier=identifier)


def seen(store: Store, subject: str, **query: object) -> list[tuple[str, str]]:
    return [(entry.event, entry.subject) for entry in subject_journal(store, subject, **query)]  # type: ignore[arg-type]


def test_the_journal_of_a_renamed_instance_includes_the_entries_under_its_former_names() -> None:
    store = Store(":memory:")
    write(store, "node.created", "shop")
    rename(store, "shop", "orders")
    write(store, "node.restarted", "orders")
    rename(store, "orders", "sales")
    write(store, "node.stopped", "sales")
    everything = [
        ("node.created", "shop"),
        ("rds.renamed", "orders"),
        ("node.restarted", "orders"),
        ("rds.renamed", "sales"),
        ("node.stopped", "sales"),
    ]
    assert seen(store, "sales") == everything
    assert seen(store, "sales", limit=2) == everything[-2:]
    assert seen(store, "sales", after=2) == everything[2:]
    assert seen(store, "sales", event="node.") == [each for each in everything if each[0].startswith("node.")]


def test_an_instance_that_takes_a_name_over_does_not_get_the_entries_of_the_one_that_had_it() -> None:
    store = Store(":memory:")
    write(store, "node.created", "old")
    write(store, "node.created", "new")
    rename(store, "old", "retired")
    rename(store, "new", "old")
    write(store, "node.restarted", "old")
    write(store, "node.restarted", "retired")
    assert seen(store, "old") == [("node.created", "new"), ("rds.renamed", "old"), ("node.restarted", "old")]
    assert seen(store, "retired") == [("node.created", "old"), ("rds.renamed", "retired"), ("node.restarted", "retired")]


def test_without_a_rename_a_subject_has_its_own_entries_and_no_subject_has_all() -> None:
    store = Store(":memory:")
    write(store, "node.created", "shop")
    write(store, "zone.failed", "us-east-1a", fault="power")
    assert seen(store, "shop") == [("node.created", "shop")]
    assert len(seen(store, "")) == 2


def rename_arn(store: Store, former: str, identifier: str) -> None:
    write(store, "rds.renamed", instance_arn(identifier), former=former, identifier=identifier)


def test_a_name_the_end_of_an_arn_and_the_arn_select_the_same_entries_across_renames() -> None:
    store = Store(":memory:")
    write(store, "node.created", "shop")
    write(store, "node.restarted", instance_arn("shop"))
    rename_arn(store, "shop", "orders")
    write(store, "node.stopped", instance_arn("orders"))
    everything = ["node.created", "node.restarted", "rds.renamed", "node.stopped"]
    for subject in ("orders", "db:orders", "rds:db:orders", instance_arn("orders")):
        assert [event for event, _ in seen(store, subject)] == everything
    assert [event for event, _ in seen(store, "orders", after=2)] == everything[2:]


def test_a_name_that_two_owners_have_is_refused_and_each_arn_selects_its_own_entries() -> None:
    store = Store(":memory:")
    write(store, "failover.promoted", instance_arn("orders"))
    write(store, "failover.promoted", CACHE)
    write(store, "dynamodb.table.created", "orders")
    with pytest.raises(
        AmbiguousSubject, match=r"'orders' is the name of several resources; give one of .*replicationgroup:orders, .*db:orders"
    ):
        subject_journal(store, "orders")
    assert seen(store, CACHE) == [("failover.promoted", CACHE)]
    assert seen(store, "replicationgroup:orders") == [("failover.promoted", CACHE)]
    assert seen(store, "db:orders") == [("failover.promoted", instance_arn("orders"))]


def test_a_table_of_the_same_name_is_not_mixed_up_with_a_db_instance() -> None:
    store = Store(":memory:")
    write(store, "dynamodb.table.created", "orders")
    assert seen(store, "orders") == [("dynamodb.table.created", "orders")]
    write(store, "node.created", instance_arn("orders"))
    assert seen(store, "orders") == [("node.created", instance_arn("orders"))]
