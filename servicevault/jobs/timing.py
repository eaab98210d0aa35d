"""When something that repeats is due: hourly to monthly or by a cron expression, in its own time zone (S2, S3, S11)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from servicevault.wording import say

_FIELDS = (
    (say("minute"), 0, 59),
    (say("hour"), 0, 23),
    (say("day of the month"), 1, 31),
    (say("month"), 1, 12),
    (say("weekday"), 0, 7),
)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAYS = "sun mon tue wed thu fri sat".split()
_MOST_DAYS = 366 * 8 + 3  # 29 February comes again after eight years at the latest
LEAST_MINUTES = 5  # S7
LAST = 32


class TimingRefused(ValueError):
    """A cron expression nobody can keep."""


@dataclass(frozen=True)
class Timing:
    """Local minutes at which something is due."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None = None  # of the month; None is every day; LAST: in shorter months their last
    months: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None  # 0 is Sunday, as in cron
    zone: str = "UTC"

    def next_after(self, moment: datetime) -> datetime | None:
        """The first due instant later than `moment`, in UTC; None when there never is one.

        A local time that a change to summer time skips is due at the first instant after the gap; one that comes
        twice is due once, at the first.
        """
        zone = ZoneInfo(self.zone)
        first = moment.astimezone(zone).date()
        for offset in range(-1, _MOST_DAYS):
            day = first + timedelta(days=offset)
            if self._falls_on(day):
                for due in self._instants(day, zone):
                    if due > moment:
                        return due
        return None

    def next_few(self, moment: datetime, count: int = 5) -> list[datetime]:
        found: list[datetime] = []
        while len(found) < count and (due := self.next_after(found[-1] if found else moment)):
            found.append(due)
        return found

    def _falls_on(self, day: date) -> bool:
        if self.months is not None and day.month not in self.months:
            return False
        in_days = self.days is None or day.day in self.days or self._stands_in(day)
        in_week = self.weekdays is None or day.isoweekday() % 7 in self.weekdays
        if self.days is not None and self.weekdays is not None:
            return in_days or in_week  # as cron: either matches when both are set
        return in_days and in_week

    def _stands_in(self, day: date) -> bool:
        """Whether it is the last day of a month that is shorter than the day that is wanted."""
        wanted = self.days or frozenset()
        is_last = (day + timedelta(days=1)).month != day.month
        return is_last and LAST in wanted and all(no > day.day for no in wanted)

    def _instants(self, day: date, zone: ZoneInfo) -> list[datetime]:
        return sorted({_instant(day, time(hour, minute), zone) for hour in self.hours for minute in self.minutes})


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """A local wall-clock time as an instant."""
    local = datetime.combine(day, at, zone)  # fold 0: the first of two
    there = local.astimezone(UTC)
    if there.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return there
    # In a gap: the first instant after it. Both folds lie around the change of the clock.
    low, high = sorted((there, local.replace(fold=1).astimezone(UTC)))
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def every_hour(minute: int, zone: str) -> Timing:
    return Timing(frozenset({minute}), frozenset(range(24)), zone=zone)


def every_day(at: time, zone: str) -> Timing:
    return Timing(frozenset({at.minute}), frozenset({at.hour}), zone=zone)


def every_week(at: time, weekdays: Iterable[int], zone: str) -> Timing:
    """Weekdays as Python counts them: 0 is Monday."""
    days = frozenset((day + 1) % 7 for day in weekdays)
    return Timing(frozenset({at.minute}), frozenset({at.hour}), weekdays=days, zone=zone)


def every_month(at: time, day: int, zone: str) -> Timing:
    """On that day; in shorter months on their last."""
    days = {day, LAST} if day > 28 else {day}
    return Timing(frozenset({at.minute}), frozenset({at.hour}), days=frozenset(days), zone=zone)


def from_cron(expression: str, zone: str) -> Timing:
    """Read five fields: `* , - /` and names. Raises TimingRefused, also for what is due too often or never."""
    words = expression.lower().split()
    if len(words) != 5:
        raise TimingRefused(say("A cron expression has five fields: minute, hour, day of the month, month, weekday."))
    sets = [_field(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = sets
    found = Timing(
        frozenset(minutes),
        frozenset(hours),
        None if words[2].startswith("*") and len(days) == 31 else frozenset(days),
        None if len(months) == 12 else frozenset(months),
        None
        if words[4].startswith("*") and len({day % 7 for day in weekdays}) == 7
        else frozenset(day % 7 for day in weekdays),
        zone,
    )
    few = found.next_few(datetime(2024, 1, 1, tzinfo=UTC), 80)
    if not few:
        raise TimingRefused(say("This is never due: no such day comes."))
    if any(later - sooner < timedelta(minutes=LEAST_MINUTES) for sooner, later in itertools.pairwise(few)):
        raise TimingRefused(
            say("This is due more often than every {least_minutes} minutes.", least_minutes=LEAST_MINUTES)
        )
    return found


def _field(word: str, name: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in word.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if step_text.isdecimal() and len(step_text) < 4 else 0
        if slash and step < 1:
            raise TimingRefused(say("`{part}` is no step of the {name}.", part=part, name=name))
        start_text, dash, end_text = span.partition("-")
        if span == "*":
            start, end = low, high if name != "weekday" else 6
        else:
            start = _number(start_text, name, low, high)
            end = _number(end_text, name, low, high) if dash else (high if slash else start)
        if end < start:
            raise TimingRefused(say("`{span}` ends before it begins.", span=span))
        found.update(range(start, end + 1, step or 1))
    return found


def _number(text: str, name: str, low: int, high: int) -> int:
    names = {"month": _MONTHS, "weekday": _DAYS}.get(name, [])
    if text in names:
        return names.index(text) + (1 if name == "month" else 0)
    if not text.isdecimal() or len(text) > 3 or not low <= int(text) <= high:
        raise TimingRefused(
            say("`{text}` is no {name}; use {low} to {high}.", text=text, name=name, low=low, high=high)
        )
    return int(text)
