"""Events: validation of queries, and the view of the journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from zonal.foundation.errors import AwsError
from zonal.records.store import Store
from zonal.services.common.events import EventLog, EventQuery, EventRules

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = EventRules(("cache-cluster", "replication-group"), invalid="Invalid", combination="Combination")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("request_", "begin", "end"),
    [
        ({}, NOW - HOUR, NOW),
        ({"Duration": 10}, NOW - timedelta(minutes=10), NOW),
        ({"StartTime": NOW - DAY}, NOW - DAY, NOW),
        ({"StartTime": NOW - DAY, "Duration": 60}, NOW - DAY, NOW - DAY + HOUR),
        ({"EndTime": NOW - DAY}, NOW - DAY - HOUR, NOW - DAY),
        ({"StartTime": NOW - DAY, "EndTime": NOW - HOUR}, NOW - DAY, NOW - HOUR),
    ],
)
def test_an_interval_is_computed_from_the_given_parameters(request_: dict[str, Any], begin: datetime, end: datetime) -> None:
    assert RULES.interval(request_, NOW) == (begin, end)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"StartTime": NOW, "EndTime": NOW - HOUR}, "Combination"),
        ({"SourceIdentifier": "orders"}, "Combination"),
        ({"SourceType": "db-instance"}, "Invalid"),
        ({"Duration": 0}, "Invalid"),
        ({"Duration": 20161}, "Invalid"),
        ({"StartTime": NOW - 15 * DAY}, "Invalid"),
    ],
)
def test_an_invalid_query_is_rejected_with_the_services_codes(request_: dict[str, Any], code: str) -> None:
    with pytest.raises(AwsError) as error:
        RULES.query(request_, NOW)
    assert error.value.code == code


def test_only_events_of_the_source_in_the_interval_are_returned() -> None:
    store = Store(":memory:")
    with store.transaction() as tx:
        tx.note("cache.event", "orders", number=1)
        tx.note("cache.event", "sales", number=1)
        tx.note("cache.event", "orders", number=2)
        tx.note("failover.decided", "orders", number=3)
    log = EventLog(store, names=("cache.",), kind_of=lambda entry: entry.fields["number"] if entry.fields["number"] != 2 else None)
    at = store.journal()[0].at
    query = EventQuery(at - HOUR, at + HOUR, "orders", None)
    assert [kind for _, kind in log.matching(query)] == [1]
    assert [kind for _, kind in log.matching(query._replace(source=""))] == [1, 1]
    assert list(log.matching(query._replace(end=at - DAY))) == []
