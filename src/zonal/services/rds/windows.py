"""Maintenance and backup windows, in UTC: read, checked, chosen, and when the next one opens.

A maintenance window is weekly (`sun:05:00-sun:06:00`), a backup window daily (`03:00-03:30`); each lasts at least half an hour, and they
may not overlap ("Amazon RDS maintenance window" in the RDS User Guide). For one who names none, RDS takes half an hour at random out of the
region's eight-hour block, for us-east-1 03:00-11:00.
"""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta

from zonal.foundation.errors import AwsError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY, _WEEK = 24 * 60, 7 * 24 * 60
_SHORTEST = 30
_BLOCK_BEGIN, _BLOCK_MINUTES = 3 * 60, 8 * 60


def checked_maintenance(text: str) -> str:
    """A maintenance window in canonical form. Raises `InvalidParameterValue`."""
    begin, end = _weekly(text)
    if (end - begin) % _WEEK < _SHORTEST:
        raise AwsError("InvalidParameterValue", "The maintenance window must be at least 30 minutes.")
    if (end - begin) % _WEEK > _DAY:
        raise AwsError("InvalidParameterValue", "Maintenance window must be less than 24 hours.")
    return text.lower()


def checked_backup(text: str) -> str:
    """A backup window. Raises `InvalidParameterValue`."""
    begin, end = _daily(text)
    if (end - begin) % _DAY < _SHORTEST:
        raise AwsError("InvalidParameterValue", "The backup window must be at least 30 minutes.")
    return text


def check_apart(maintenance: str, backup: str) -> None:
    """Raises `InvalidParameterCombination` where the two windows overlap."""
    begin, end = _weekly(maintenance)
    length = (end - begin) % _WEEK
    first, last = _daily(backup)
    span = (last - first) % _DAY
    for day in range(7):
        gap = (day * _DAY + first - begin) % _WEEK
        if gap < length or gap + span > _WEEK:
            raise AwsError("InvalidParameterCombination", "The backup window and maintenance window must not overlap.")


def chosen_windows(source: random.Random) -> tuple[str, str]:
    """A maintenance and a backup window for one who names none; they do not overlap."""
    slots = source.sample(range(_BLOCK_MINUTES // _SHORTEST), 2)
    maintenance, backup = (_BLOCK_BEGIN + slot * _SHORTEST for slot in slots)
    day = source.choice(DAYS)
    return f"{day}:{_clock(maintenance)}-{day}:{_clock(maintenance + _SHORTEST)}", f"{_clock(backup)}-{_clock(backup + _SHORTEST)}"


def backup_apart_from(maintenance: str, source: random.Random) -> str:
    """A backup window that does not overlap this maintenance window."""
    for slot in source.sample(range(_DAY // _SHORTEST), _DAY // _SHORTEST):
        text = f"{_clock(slot * _SHORTEST)}-{_clock((slot + 1) * _SHORTEST)}"
        try:
            check_apart(maintenance, text)
        except AwsError:
            continue
        return text
    raise AssertionError(f"{maintenance} leaves no room for a backup window")


def seconds_until(maintenance: str, now: datetime) -> float:
    """How long until the window is open: 0 while it is."""
    begin, end = _weekly(maintenance)
    minutes = now.weekday() * _DAY + now.hour * 60 + now.minute + now.second / 60
    if (minutes - begin) % _WEEK < (end - begin) % _WEEK:
        return 0.0
    return timedelta(minutes=(begin - minutes) % _WEEK).total_seconds()


def _weekly(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\w{3}):(\d\d):(\d\d)-(\w{3}):(\d\d):(\d\d)", text.lower())
    if not match or match[1] not in DAYS or match[4] not in DAYS:
        raise AwsError(
            "InvalidParameterValue",
            f"Invalid maintenance window format: {text}. Should be specified as a range ddd:hh24:mi-ddd:hh24:mi (24H Clock UTC)."
            " Example: Sun:23:45-Mon:00:15",
        )
    return DAYS.index(match[1]) * _DAY + _minutes(match[2], match[3], text), DAYS.index(match[4]) * _DAY + _minutes(
        match[5], match[6], text
    )


def _daily(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", text)
    if not match:
        raise AwsError(
            "InvalidParameterValue",
            f"Invalid backup window format: {text}. Should be specified as a range hh24:mi-hh24:mi (24H Clock UTC). Example: 04:00-04:30",
        )
    return _minutes(match[1], match[2], text), _minutes(match[3], match[4], text)


def _minutes(hours: str, minutes: str, text: str) -> int:
    if int(hours) > 23 or int(minutes) > 59:
        raise AwsError("InvalidParameterValue", f"Invalid window format: {text}. Hours go to 23 and minutes to 59.")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
