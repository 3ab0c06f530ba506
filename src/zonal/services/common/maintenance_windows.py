"""Maintenance windows and daily windows, in UTC: validation, random choice, and the time until the next one opens.

A maintenance window is weekly (`sun:05:00-sun:06:00`). A daily window (`03:00-03:30`) is RDS's backup window or ElastiCache's snapshot
window. The two may not overlap ("Amazon RDS maintenance window" in the RDS User Guide). If a request specifies none, AWS chooses one at
random from the region's eight-hour block, 03:00-11:00 in us-east-1. A service sets its minimum length, error codes and name of the daily
window in `WindowRules`.
"""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta
from typing import NamedTuple

from zonal.foundation.errors import AwsError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY, _WEEK = 24 * 60, 7 * 24 * 60
_BLOCK_BEGIN, _BLOCK_MINUTES = 3 * 60, 8 * 60


class WindowRules(NamedTuple):
    """A service's rules. `daily_name` is the daily window's name in its messages."""

    daily_name: str
    shortest_minutes: int = 30
    invalid: str = "InvalidParameterValue"
    overlapping: str = "InvalidParameterCombination"

    def checked_maintenance(self, text: str) -> str:
        """A maintenance window in canonical form. Raises `invalid`."""
        begin, end = self._weekly(text)
        if (end - begin) % _WEEK < self.shortest_minutes:
            raise AwsError(self.invalid, f"The maintenance window must be at least {self.shortest_minutes} minutes.")
        if (end - begin) % _WEEK > _DAY:
            raise AwsError(self.invalid, "Maintenance window must be less than 24 hours.")
        return text.lower()

    def checked_daily(self, text: str) -> str:
        """A daily window. Raises `invalid`."""
        begin, end = self._daily(text)
        if (end - begin) % _DAY < self.shortest_minutes:
            raise AwsError(self.invalid, f"The {self.daily_name} window must be at least {self.shortest_minutes} minutes.")
        return text

    def check_apart(self, maintenance: str, daily: str) -> None:
        """Raises `overlapping` if the two windows overlap."""
        if self._overlap(maintenance, daily):
            raise AwsError(self.overlapping, f"The {self.daily_name} window and maintenance window must not overlap.")

    def settled(self, maintenance: str | None, daily: str | None, source: random.Random) -> tuple[str, str]:
        """Both windows of a request, validated; a window that the request omits is chosen at random so that the two do not overlap.

        Raises `invalid` and `overlapping`.
        """
        maintenance = self.checked_maintenance(maintenance) if maintenance else None
        daily = self.checked_daily(daily) if daily else None
        if maintenance and daily:
            self.check_apart(maintenance, daily)
            return maintenance, daily
        if maintenance:
            return maintenance, self.daily_apart_from(maintenance, source)
        while True:
            chosen, other = self.chosen(source)
            if not self._overlap(chosen, daily or other):
                return chosen, daily or other

    def chosen(self, source: random.Random) -> tuple[str, str]:
        """A random maintenance window and a random daily window that do not overlap."""
        slots = source.sample(range(_BLOCK_MINUTES // self.shortest_minutes), 2)
        maintenance, daily = (_BLOCK_BEGIN + slot * self.shortest_minutes for slot in slots)
        day = source.choice(DAYS)
        weekly = f"{day}:{_clock(maintenance)}-{day}:{_clock(maintenance + self.shortest_minutes)}"
        return weekly, f"{_clock(daily)}-{_clock(daily + self.shortest_minutes)}"

    def daily_apart_from(self, maintenance: str, source: random.Random) -> str:
        """A random daily window that does not overlap the maintenance window."""
        slots = _DAY // self.shortest_minutes
        for slot in source.sample(range(slots), slots):
            text = f"{_clock(slot * self.shortest_minutes)}-{_clock((slot + 1) * self.shortest_minutes)}"
            if not self._overlap(maintenance, text):
                return text
        raise AssertionError(f"{maintenance} leaves no time for a {self.daily_name} window")

    def seconds_until(self, maintenance: str, now: datetime) -> float:
        """Seconds until the window opens; 0 while it is open."""
        begin, end = self._weekly(maintenance)
        minutes = now.weekday() * _DAY + now.hour * 60 + now.minute + now.second / 60
        if (minutes - begin) % _WEEK < (end - begin) % _WEEK:
            return 0.0
        return timedelta(minutes=(begin - minutes) % _WEEK).total_seconds()

    def _overlap(self, maintenance: str, daily: str) -> bool:
        begin, end = self._weekly(maintenance)
        length = (end - begin) % _WEEK
        first, last = self._daily(daily)
        span = (last - first) % _DAY
        gaps = [(day * _DAY + first - begin) % _WEEK for day in range(7)]
        return any(gap < length or gap + span > _WEEK for gap in gaps)

    def _weekly(self, text: str) -> tuple[int, int]:
        match = re.fullmatch(r"(\w{3}):(\d\d):(\d\d)-(\w{3}):(\d\d):(\d\d)", text.lower())
        if not match or match[1] not in DAYS or match[4] not in DAYS:
            raise AwsError(
                self.invalid,
                f"Invalid maintenance window format: {text}. Should be specified as a range ddd:hh24:mi-ddd:hh24:mi (24H Clock UTC)."
                " Example: Sun:23:45-Mon:00:15",
            )
        begin = DAYS.index(match[1]) * _DAY + self._minutes(match[2], match[3], text)
        return begin, DAYS.index(match[4]) * _DAY + self._minutes(match[5], match[6], text)

    def _daily(self, text: str) -> tuple[int, int]:
        match = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", text)
        if not match:
            raise AwsError(
                self.invalid,
                f"Invalid {self.daily_name} window format: {text}. Should be specified as a range hh24:mi-hh24:mi (24H Clock UTC)."
                " Example: 04:00-04:30",
            )
        return self._minutes(match[1], match[2], text), self._minutes(match[3], match[4], text)

    def _minutes(self, hours: str, minutes: str, text: str) -> int:
        if int(hours) > 23 or int(minutes) > 59:
            raise AwsError(self.invalid, f"Invalid window format: {text}. Hours go to 23 and minutes to 59.")
        return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
