"""Events are a view of the journal: filtered, bounded in time, in pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.unit.services.rds.region import Account
from zonal.services.rds import events
from zonal.services.rds.model import instance_arn

ORDERS = instance_arn("orders")


def told(account: Account, **request: object) -> list[str]:
    return [event["Message"] for event in account.call("DescribeEvents", **request)["Events"]]


def write(account: Account) -> None:
    with account.store.transaction() as tx:
        events.note(tx, "orders", 5)
        tx.note("failover.decided", ORDERS, action="promote", node="n", why="w", epoch=2)
        tx.note("failover.decided", ORDERS, action="go-alone", node="n", why="w", epoch=2)
        tx.note("failover.renamed", ORDERS, node="n", address="a", epoch=2)
        events.note(tx, "sales", 3)


def test_entries_of_control_are_answered_with_rds_messages() -> None:
    account = Account()
    write(account)
    assert told(account, SourceIdentifier="orders", SourceType="db-instance") == [
        "DB instance created",
        "Multi-AZ instance failover started.",
        "Multi-AZ instance failover completed",
    ]
    assert len(told(account)) == 4


def test_events_are_filtered_by_category_and_source_type() -> None:
    account = Account()
    write(account)
    assert told(account, EventCategories=["deletion"]) == ["DB instance deleted"]
    assert told(account, SourceType="db-snapshot") == []
    assert account.error("DescribeEvents", SourceIdentifier="orders")[0] == "InvalidParameterCombination"
    assert account.error("DescribeEvents", SourceType="db-moon")[0] == "InvalidParameterValue"


def test_events_are_bounded_in_time() -> None:
    account = Account()
    write(account)
    now = account.clock.now()
    assert told(account, StartTime=now - timedelta(minutes=5)) != []
    assert told(account, EndTime=now - timedelta(minutes=5)) == []
    assert told(account, StartTime=now - timedelta(hours=3), Duration=60) == []
    assert account.error("DescribeEvents", StartTime=now - timedelta(days=15))[0] == "InvalidParameterValue"
    assert account.error("DescribeEvents", Duration=20161)[0] == "InvalidParameterValue"
    assert account.error("DescribeEvents", StartTime=now, EndTime=now - timedelta(hours=1))[0] == "InvalidParameterCombination"


def test_events_come_in_pages_in_their_order() -> None:
    account = Account()
    with account.store.transaction() as tx:
        for number in range(25):
            events.note(tx, f"db-{number}", 5)
    first = account.call("DescribeEvents", MaxRecords=20)
    rest = account.call("DescribeEvents", MaxRecords=20, Marker=first["Marker"])
    names = [event["SourceIdentifier"] for event in first["Events"] + rest["Events"]]
    assert names == [f"db-{number}" for number in range(25)] and "Marker" not in rest


def test_the_categories_are_those_of_db_instances() -> None:
    account = Account()
    [shown] = account.call("DescribeEventCategories")["EventCategoriesMapList"]
    assert {kind.category for kind in events.KINDS.values()} <= set(shown["EventCategories"])
    assert account.call("DescribeEventCategories", SourceType="db-cluster")["EventCategoriesMapList"] == []


def test_a_filter_that_an_operation_does_not_have_is_refused() -> None:
    account = Account()
    wanted = [{"Name": "colour", "Values": ["red"]}]
    for operation in ("DescribeEvents", "DescribeEventCategories", "DescribeDBSubnetGroups"):
        assert account.error(operation, Filters=wanted) == ("InvalidParameterValue", "Unrecognized filter name: colour")


def test_a_full_disk_of_a_database_is_an_event_of_low_storage() -> None:
    account = Account()
    with account.store.transaction() as tx:
        tx.note("database.disk_full", ORDERS, directory="d", available_bytes=0)
        tx.note("disk.full", "region", directory="d", available_bytes=0)
        tx.note("database.disk_recovered", ORDERS, directory="d", available_bytes=1, full_seconds=1.0)
    assert told(account, EventCategories=["low storage"]) == told(account) == ["Allocated storage has been exhausted"]


def test_what_happens_to_another_owner_of_the_same_name_is_not_an_event_of_the_db_instance() -> None:
    account = Account()
    write(account)
    before = account.call("DescribeEvents")["Events"]
    with account.store.transaction() as tx:
        for event, fields in (("failover.decided", {"action": "promote"}), ("failover.renamed", {}), ("node.restarted", {})):
            tx.note(event, "arn:aws:elasticache:us-east-1:000000000000:replicationgroup:orders", node="n", **fields)
            tx.note(event, "arn:aws:rds:us-east-1:000000000000:cluster:orders", node="n", **fields)
    assert account.call("DescribeEvents")["Events"] == before
    assert len(account.events()) == 3


def test_events_that_were_journalled_under_the_bare_identifier_are_still_answered() -> None:
    account = Account()
    with account.store.transaction() as tx:
        tx.note("failover.renamed", "orders", node="n", address="a", epoch=2)
        tx.note("rds.event", ORDERS, number=5, message="DB instance created")
    found = account.call("DescribeEvents", SourceIdentifier="orders", SourceType="db-instance")["Events"]
    assert [(each["SourceIdentifier"], each["SourceArn"]) for each in found] == [("orders", ORDERS)] * 2


def test_an_event_that_was_recorded_late_has_the_time_at_which_it_happened() -> None:
    account = Account()
    since = datetime.now(UTC) - timedelta(minutes=30)
    with account.store.transaction() as tx:
        tx.note("database.disk_full", ORDERS, directory="d", available_bytes=0, since=since.isoformat())
    [event] = account.call("DescribeEvents")["Events"]
    assert event["Date"] == since
    assert account.call("DescribeEvents", Duration=10)["Events"] == []
