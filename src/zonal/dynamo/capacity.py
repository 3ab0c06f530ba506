"""Limits the throughput of tables and indexes, and records their consumption by the minute.

A *provisioned* table or index has a token bucket that is filled with its units a second and holds 300 seconds of them (burst capacity). A
request is admitted while the bucket is not empty and may overdraw it. A partition is limited to 3,000 read and 1,000 write units a second.
Adaptive capacity is immediate: a partition may use the whole throughput of its table. An *on-demand* table starts with 12,000 read and
4,000 write units a second and admits twice the highest second of past half hours.
(Developer Guide: "Burst and adaptive capacity", "DynamoDB on-demand capacity mode", "Troubleshooting throttling".)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from zonal.dynamo.capacity_units import Cost
from zonal.dynamo.table import OnDemand, Table, Throughput
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import arn

BURST_SECONDS = 300
PARTITION_LIMITS = {"Read": 3000.0, "Write": 1000.0}
ON_DEMAND_START = {"Read": 12_000.0, "Write": 4_000.0}
PEAK_WINDOW_SECONDS = 1800.0
KEPT_MINUTES = 24 * 60
_PARTITIONS_WATCHED = 10_000
_PROVISIONED_EXCEEDED = (
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level"
    " with the UpdateTable API."
)
_INDEX_EXCEEDED = (
    "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded."
    " Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable API"
)
_ON_DEMAND_EXCEEDED = (
    "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index"
)


class TokenBucket:
    """A token bucket filled by the second up to a burst. A request that finds a token may overdraw it."""

    def __init__(self, rate: float, now: float, *, burst_seconds: float = BURST_SECONDS) -> None:
        self.rate = rate
        self._burst_seconds = burst_seconds
        self._tokens = rate * burst_seconds
        self._at = now

    def has_any(self, now: float) -> bool:
        self._fill(now)
        return self._tokens > 0

    def take(self, units: float, now: float) -> None:
        self._fill(now)
        self._tokens -= units

    def change_rate(self, rate: float, now: float) -> None:
        """Change the rate. Saved tokens are kept up to the new burst."""
        self._fill(now)
        self.rate = rate
        self._tokens = min(self._tokens, rate * self._burst_seconds)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._tokens + (now - self._at) * self.rate, self.rate * self._burst_seconds)
        self._at = now


class Peak:
    """The throughput that an on-demand table admits: twice the highest second of past windows."""

    def __init__(self, start: float, now: float) -> None:
        self.ready_for = start
        self._window_at = now
        self._highest = 0.0
        self._second = int(now)
        self._in_second = 0.0

    def has_any(self, now: float) -> bool:
        self._roll(now)
        return self._in_second < self.ready_for

    def take(self, units: float, now: float) -> None:
        self._roll(now)
        self._in_second += units
        self._highest = max(self._highest, self._in_second)

    def _roll(self, now: float) -> None:
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0.0
        if now - self._window_at >= PEAK_WINDOW_SECONDS:
            self.ready_for = max(self.ready_for, 2 * self._highest)
            self._window_at, self._highest = now, 0.0


class Minute(msgspec.Struct, frozen=True):
    """What a table consumed in one minute (counted from 1970), and how many of its requests were throttled."""

    minute: int
    read: float
    write: float
    read_requests: int
    write_requests: int
    throttled: int


class _Tally:
    """The current minute."""

    __slots__ = ("minute", "read", "read_requests", "throttled", "write", "write_requests")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.read = self.write = 0.0
        self.read_requests = self.write_requests = self.throttled = 0

    def minute_record(self) -> Minute:
        return Minute(self.minute, self.read, self.write, self.read_requests, self.write_requests, self.throttled)


class ThroughputLimiter:
    """Admits or throttles requests and counts their consumption. `seconds` returns region time, which may run fast."""

    def __init__(self, seconds: Callable[[], float], *, throttles: bool) -> None:
        self._seconds = seconds
        self.throttles = throttles
        self._limits: dict[tuple[int, str], TokenBucket | Peak] = {}
        self._partitions: dict[tuple[bytes, str], TokenBucket] = {}
        self._minutes: dict[str, deque[_Tally]] = {}

    def admit(self, table: Table, kind: str, partition: bytes | None = None, index: str | None = None) -> None:
        """Admit a Read or Write, or raise AWS's throttling error."""
        if not self.throttles:
            return
        now = self._seconds()
        if not self._limit(table, kind, index, now).has_any(now):
            self._throttle(table, kind, index)
        if partition is not None and (bucket := self._partitions.get((partition, kind))) is not None and not bucket.has_any(now):
            self._throttle(table, kind, index, by_partition=True)

    def admit_write(self, table: Table, partition: bytes, cost: Cost) -> None:
        """Admit a write to the table and to each global index that it changes, or raise AWS's throttling error."""
        if not self.throttles:
            return
        self.admit(table, "Write", partition)
        for name in cost.globals or ():
            self.admit(table, "Write", index=name)

    def consume(self, table: Table, kind: str, cost: Cost, partition: bytes | None = None, *, requests: int = 1) -> None:
        """Count what a request consumed."""
        now = self._seconds()
        tally = self._tally(table.name, int(now) // 60)
        if kind == "Read":
            tally.read += cost.total
            tally.read_requests += requests
        else:
            tally.write += cost.total
            tally.write_requests += requests
        if not self.throttles:
            return
        own = cost.table + (sum(cost.locals.values()) if cost.locals else 0.0)
        if own:
            self._limit(table, kind, None, now).take(own, now)
        for name, units in (cost.globals or {}).items():
            self._limit(table, kind, name, now).take(units, now)
        if partition is not None:
            self._take_of_partition(partition, kind, cost.total, now)

    def minutes(self, table: str) -> list[Minute]:
        """The consumption of a table by the minute, oldest first."""
        return [each.minute_record() for each in self._minutes.get(table, ())]

    def forget(self, table: Table) -> None:
        """Drop the limits and minutes of a deleted table."""
        keyspaces = {table.keyspace, *(index.record.keyspace for index in table.indexes)}
        self._limits = {key: limit for key, limit in self._limits.items() if key[0] not in keyspaces}
        self._minutes.pop(table.name, None)

    def _limit(self, table: Table, kind: str, index: str | None, now: float) -> TokenBucket | Peak:
        throughput, maxima, keyspace = _configured(table, index)
        limit = self._limits.get((keyspace, kind))
        if table.record.billing == "PROVISIONED":
            rate = float(throughput.read if kind == "Read" else throughput.write)
            if not isinstance(limit, TokenBucket):
                limit = self._limits[keyspace, kind] = TokenBucket(rate, now)
            elif limit.rate != rate:
                limit.change_rate(rate, now)
            return limit
        maximum = -1 if maxima is None else maxima.read if kind == "Read" else maxima.write
        if maximum > 0:
            if not isinstance(limit, TokenBucket) or limit.rate != maximum:
                limit = self._limits[keyspace, kind] = TokenBucket(float(maximum), now, burst_seconds=1)
            return limit
        if not isinstance(limit, Peak):
            limit = self._limits[keyspace, kind] = Peak(ON_DEMAND_START[kind], now)
        return limit

    def _take_of_partition(self, partition: bytes, kind: str, units: float, now: float) -> None:
        bucket = self._partitions.get((partition, kind))
        if bucket is None:
            if len(self._partitions) >= _PARTITIONS_WATCHED:
                self._partitions.clear()
            bucket = self._partitions[partition, kind] = TokenBucket(PARTITION_LIMITS[kind], now, burst_seconds=1)
        bucket.take(units, now)

    def _throttle(self, table: Table, kind: str, index: str | None, *, by_partition: bool = False) -> None:
        self._tally(table.name, int(self._seconds()) // 60).throttled += 1
        resource = arn("dynamodb", f"table/{table.name}" + (f"/index/{index}" if index else ""))
        where = "Index" if index else "Table"
        _, maxima, _ = _configured(table, index)
        if by_partition:
            reason = f"{where}{kind}KeyRangeThroughputExceeded"
        elif table.record.billing == "PROVISIONED":
            reason = f"{where}{kind}ProvisionedThroughputExceeded"
        elif maxima is not None and (maxima.read if kind == "Read" else maxima.write) > 0:
            reason = f"{where}{kind}MaxOnDemandThroughputExceeded"
        else:
            reason = f"{where}{kind}AccountLimitExceeded"
        fields = {"ThrottlingReasons": [{"reason": reason, "resource": resource}]}
        if table.record.billing == "PROVISIONED":
            raise AwsError("ProvisionedThroughputExceededException", _INDEX_EXCEEDED if index else _PROVISIONED_EXCEEDED, fields=fields)
        raise AwsError("ThrottlingException", _ON_DEMAND_EXCEEDED, fields={"throttlingReasons": fields["ThrottlingReasons"]})

    def _tally(self, table: str, minute: int) -> _Tally:
        kept = self._minutes.get(table)
        if kept is None:
            kept = self._minutes[table] = deque(maxlen=KEPT_MINUTES)
        if not kept or kept[-1].minute != minute:
            kept.append(_Tally(minute))
        return kept[-1]


def _configured(table: Table, index: str | None) -> tuple[Throughput, OnDemand | None, int]:
    if index is not None:
        for each in table.indexes:
            if each.name == index and each.is_global:
                return each.record.throughput, each.record.on_demand, each.record.keyspace
    return table.record.throughput, table.record.on_demand, table.keyspace
