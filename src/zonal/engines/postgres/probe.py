"""Probes a PostgreSQL node over the network.

Each zone keeps one connection and sends its query again and again, because a query costs a fraction of a connection. Every two seconds a
new connection has to succeed too, so that a postmaster that hangs while its old children answer is detected. Any error closes the kept
connection, so the next probe connects.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta

from zonal.engines.node import Monitors, ProbeResult, ProbeStatus
from zonal.engines.postgres import ordered_settings
from zonal.engines.postgres.session import NoResponse, Rejected, ServerNotReady, Session, Unreachable

FRESH_SECONDS = 2.0
"""The age of a kept connection from which on a probe makes a new one."""

CONFIRMED_SECONDS = 3.0
"""A replica that has not reported for so long (three times its reporting interval) counts as not confirming."""

_STATUS = f"""
select pg_is_in_recovery(),
  case when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
       else pg_current_wal_flush_lsn() end - '0/0'::pg_lsn,
  case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
       else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
  current_setting('synchronous_standby_names'),
  (select coalesce(json_agg(json_build_array(application_name,
      sync_state in ('sync', 'quorum') and reply_time > clock_timestamp() - interval '{CONFIRMED_SECONDS} s')), '[]')
     from pg_stat_replication where state = 'streaming'),
  json_build_object({", ".join(f"'{name}', current_setting('{name}')::int" for name in ordered_settings.NAMES)})
"""


class Probe:
    """Probes one node. `conninfo` returns libpq's keywords and values for it; connections are kept by zone."""

    def __init__(self, node: str, conninfo: Callable[[], dict[str, str]]) -> None:
        self._node = node
        self._conninfo = conninfo
        self._kept: dict[str, Session] = {}

    async def probe(self, monitors: Monitors, zone: str, *, within: timedelta) -> ProbeResult:
        """Probe the node from a zone. Never raises; silence is a result."""
        seconds = within.total_seconds()
        try:
            return await monitors.probe(zone, lambda: self._probe_once(zone, seconds), within=within + timedelta(milliseconds=50))
        except TimeoutError:
            return self._result(zone, ProbeStatus.SILENT, "the probe timed out")

    def forget(self) -> None:
        """Close the kept connections, before the node is destroyed."""
        for zone in list(self._kept):
            self._drop(zone)

    def _probe_once(self, zone: str, seconds: float) -> ProbeResult:
        deadline = time.monotonic() + seconds
        try:
            return self._status(zone, self._ask(zone, deadline))
        except Unreachable as error:
            return self._result(zone, ProbeStatus.REFUSED, str(error))
        except (ServerNotReady, Rejected) as error:
            return self._result(zone, ProbeStatus.STARTING, str(error))
        except NoResponse as error:
            return self._result(zone, ProbeStatus.SILENT, str(error))

    def _ask(self, zone: str, deadline: float) -> list[str | None]:
        """One row of status, over the kept connection or a new one. Where the kept one fails, the result is that of the new one."""
        kept = self._kept.get(zone)
        if kept is not None and time.monotonic() - kept.opened < FRESH_SECONDS:
            try:
                return kept.rows(_STATUS, deadline=deadline)[0]
            except (NoResponse, ServerNotReady, Rejected):
                self._drop(zone)
                if time.monotonic() >= deadline:
                    raise
        self._drop(zone)
        session = Session(self._conninfo(), deadline=deadline)
        self._kept[zone] = session
        try:
            return session.rows(_STATUS, deadline=deadline)[0]
        except BaseException:
            self._drop(zone)
            raise

    def _drop(self, zone: str) -> None:
        session = self._kept.pop(zone, None)
        if session is not None:
            session.close()

    def _status(self, zone: str, row: list[str | None]) -> ProbeResult:
        in_recovery, position, timeline, required, replicas, ordered = row
        streaming: list[tuple[str, bool]] = [(name, bool(confirms)) for name, confirms in json.loads(replicas or "[]")]
        names = _required(required or "")
        return ProbeResult(
            node=self._node,
            seen_from=zone,
            monotonic=time.monotonic(),
            status=ProbeStatus.SERVING,
            writable=in_recovery == "f",
            position=int(position) if position else None,
            timeline=int(timeline) if timeline else None,
            required=names,
            synchronous=tuple(name for name, confirms in streaming if confirms and name in names),
            streaming=tuple(name for name, _ in streaming),
            ordered_settings=tuple(json.loads(ordered or "{}").items()),
        )

    def _result(self, zone: str, status: ProbeStatus, detail: str) -> ProbeResult:
        return ProbeResult(self._node, zone, time.monotonic(), status, detail)


def _required(setting: str) -> tuple[str, ...]:
    """The names in `FIRST 1 ("a", "b")`, as `configuration` writes it."""
    return tuple(name for name in setting.split('"')[1::2] if name)
