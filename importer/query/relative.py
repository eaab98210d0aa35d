"""Relative dates of filters (F12): "-6 months" at the start of a run, in the profile's time zone."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from importer.errors import QueryError
from servicevault.wording import say

_FORM = re.compile(r"([+-]?)\s*(\d{1,5})\s*(minute|hour|day|week|month|quarter|year)s?(?:\s+(ago))?")
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def relative_fault(text: str) -> str:
    """What is wrong with a relative date; "" when it can be evaluated."""
    folded = text.strip().lower()
    if folded in ("now", "today") or _FORM.fullmatch(folded):
        return ""
    return say('A relative date is written as "-6 months", "now" or "today".')


def evaluate(text: str, now: datetime, zone_name: str) -> datetime:
    """The instant `text` means at `now` (aware), as local time of the zone.

    Days and longer keep the local wall clock over a change of summer time; the last day of a month stays the last
    when the other month is shorter. "today" is the local midnight.

    Raises QueryError for an unknown zone, a malformed text, or a date outside the calendar.
    """
    try:
        zone = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise QueryError(
            say("The time zone `{zone_name}` is not known.", zone_name=zone_name[:60]),
            hint=say("Use a name like Europe/Berlin."),
        ) from error
    local = now.astimezone(zone)
    folded = text.strip().lower()
    if folded == "now":
        return local
    if folded == "today":
        return local.replace(hour=0, minute=0, second=0, microsecond=0)
    match = _FORM.fullmatch(folded)
    if match is None:
        raise QueryError(relative_fault(text))
    sign, digits, unit, ago = match.groups()
    amount = int(digits) * (-1 if (sign == "-") != bool(ago) else 1)
    try:
        return _moved(local, amount, unit, zone)
    except (OverflowError, ValueError) as error:
        raise QueryError(say("`{text}` is outside the calendar.", text=text)) from error


def _moved(local: datetime, amount: int, unit: str, zone: ZoneInfo) -> datetime:
    if unit in ("minute", "hour"):
        # Over UTC: adding a timedelta in local time is wrong across a change of summer time.
        return (local.astimezone(UTC) + timedelta(**{f"{unit}s": amount})).astimezone(zone)
    if unit in ("day", "week"):
        return local + timedelta(days=amount * (7 if unit == "week" else 1))
    month = local.year * 12 + local.month - 1 + amount * _MONTHS[unit]
    year, month = month // 12, month % 12 + 1
    return local.replace(year=year, month=month, day=min(local.day, calendar.monthrange(year, month)[1]))
