"""How amounts and durations are told: records with their total, times as by a clock or as people say them (J10)."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.humanize.templatetags.humanize import intcomma

from servicevault.wording import say, say_count


def records_told(read: int, total: int | None) -> str:
    """ "1,500 / 2,000 records" (J10)."""
    if total is None:
        return say_count("{count} record", "{count:,} records", read)
    return say_count("{read:,} / {count} record", "{read:,} / {count:,} records", total, read=read)


def clock(duration: timedelta | None) -> str:
    """A duration as a clock shows it: "00:05:23" (J10)."""
    if duration is None:
        return ""
    minutes, seconds = divmod(max(0, int(duration.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}"


def spoken(duration: timedelta | None) -> str:
    """A duration as people say it: "48 s", "6 min 12 s", "2 h 5 min"."""
    if duration is None:
        return ""
    seconds = max(0, round(duration.total_seconds()))
    if seconds < 1:
        return say("less than 1 s")
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return say("{hours} h {minutes} min", hours=intcomma(hours), minutes=minutes)
    return (
        say("{minutes} min {seconds} s", minutes=minutes, seconds=seconds)
        if minutes
        else say("{seconds} s", seconds=seconds)
    )
