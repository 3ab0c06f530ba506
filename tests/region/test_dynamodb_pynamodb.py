"""DynamoDB with PynamoDB, an object mapper with a client of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pynamodb.attributes import (
    JSONAttribute,
    ListAttribute,
    NumberAttribute,
    NumberSetAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.connection import Connection
from pynamodb.exceptions import DoesNotExist, PutError, TransactWriteError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, LocalSecondaryIndex
from pynamodb.models import Model
from pynamodb.transactions import TransactGet, TransactWrite

from tests.running_region import RunningRegion


class ByState(GlobalSecondaryIndex["Order"]):
    class Meta:
        index_name = "by-state"
        projection = AllProjection()

    state = UnicodeAttribute(hash_key=True)
    made = UTCDateTimeAttribute(range_key=True)


class ByTotal(LocalSecondaryIndex["Order"]):
    class Meta:
        index_name = "by-total"
        projection = AllProjection()

    customer = UnicodeAttribute(hash_key=True)
    total = NumberAttribute(range_key=True)


class Order(Model):
    class Meta:
        table_name = "pynamodb-orders"
        billing_mode = "PAY_PER_REQUEST"
        region = "us-east-1"
        aws_access_key_id = aws_secret_access_key = "test"

    customer = UnicodeAttribute(hash_key=True)
    number = NumberAttribute(range_key=True)
    state = UnicodeAttribute(default="open")
    made = UTCDateTimeAttribute(default=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    total = NumberAttribute(default=0)
    skus = ListAttribute[str](default=list)
    sizes = NumberSetAttribute(null=True)
    extra = JSONAttribute(null=True)
    until = TTLAttribute(null=True)
    version = VersionAttribute()
    by_state = ByState()
    by_total = ByTotal()


@pytest.fixture(scope="module", autouse=True)
def table(region: RunningRegion) -> Iterator[None]:
    Order.Meta.host = f"http://127.0.0.1:{region.port}"  # type: ignore[attr-defined]
    Order.create_table(wait=True)
    yield
    Order.delete_table()


@pytest.fixture(autouse=True)
def empty(table: None) -> None:
    with Order.batch_write() as batch:
        for order in Order.scan():
            batch.delete(order)


def test_a_model_is_saved_found_again_and_refreshed() -> None:
    order = Order("ada", 1, skus=["a", "b"], sizes={1, 2.5}, extra={"gift": True}, until=timedelta(days=1))
    order.save()
    found = Order.get("ada", 1, consistent_read=True)
    assert found.attribute_values == order.attribute_values | {"until": found.until}
    assert found.version == 1 and found.skus == ["a", "b"] and found.sizes == {1, 2.5} and found.extra == {"gift": True}
    found.update([Order.state.set("paid"), Order.skus.set(Order.skus.append(["c"])), Order.total.add(5)])
    order.refresh()
    assert (order.state, order.skus, order.total, order.version) == ("paid", ["a", "b", "c"], 5, 2)
    with pytest.raises(DoesNotExist):
        Order.get("ada", 2)


def test_a_version_that_is_older_than_the_tables_is_not_saved() -> None:
    Order("bob", 1).save()
    mine, theirs = Order.get("bob", 1), Order.get("bob", 1)
    theirs.save()
    with pytest.raises(PutError) as refused:
        mine.save()
    assert refused.value.cause_response_code == "ConditionalCheckFailedException"


def test_queries_conditions_and_indexes_find_the_same_orders() -> None:
    with Order.batch_write() as batch:
        for number in range(40):
            batch.save(Order("carl", number, state="even" if number % 2 == 0 else "odd", total=100 - number))
    assert [order.number for order in Order.query("carl", Order.number.between(3, 6), scan_index_forward=False)] == [6, 5, 4, 3]
    assert [order.number for order in Order.query("carl", Order.number < 9, Order.state == "odd")] == [1, 3, 5, 7]
    assert Order.by_state.count("even") == 20
    assert [order.total for order in Order.by_total.query("carl", Order.total > 97)] == [98, 99, 100]
    assert len(list(Order.scan(page_size=7))) == len(list(Order.batch_get([("carl", number) for number in range(40)]))) == 40


def test_a_transaction_is_made_as_a_whole_or_not_at_all(region: RunningRegion) -> None:
    connection = Connection(region="us-east-1", host=f"http://127.0.0.1:{region.port}")
    connection.session.set_credentials("test", "test")
    with TransactWrite(connection=connection) as transaction:
        transaction.save(Order("dora", 1))
        transaction.save(Order("dora", 2))
    with pytest.raises(TransactWriteError) as refused, TransactWrite(connection=connection) as transaction:
        transaction.save(Order("dora", 3))
        transaction.condition_check(Order, "nobody", 1, condition=Order.customer.exists())
    reasons = [reason and reason.code for reason in refused.value.cancellation_reasons]
    assert reasons == ["ConditionalCheckFailed", None]  # PynamoDB sends checks first.
    with TransactGet(connection=connection) as transaction:
        found = [transaction.get(Order, "dora", number) for number in (1, 2)]
    assert [each.get().number for each in found] == [1, 2]
    assert [order.number for order in Order.query("dora")] == [1, 2]
