"""When something that repeats is due, over summer time, short months and cron expressions."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from servicevault.jobs import timing

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.req("S2", "S11", "F-107")
@pytest.mark.parametrize(
    ("kept", "now", "due"),
    [
        (timing.every_day(time(2), "UTC"), "2026-01-10 01:00", "2026-01-10 02:00"),
        (timing.every_day(time(2), "UTC"), "2026-01-10 02:00", "2026-01-11 02:00"),
        (timing.every_day(time(2, 30), BERLIN), "2026-03-28 23:00", "2026-03-29 01:00"),  # 02:30 does not exist
        (timing.every_day(time(2, 30), BERLIN), "2026-10-24 23:00", "2026-10-25 00:30"),  # 02:30 comes twice
        (timing.every_day(time(2, 30), BERLIN), "2026-10-25 00:30", "2026-10-26 01:30"),
        (timing.every_hour(15, "UTC"), "2026-01-10 01:20", "2026-01-10 02:15"),
        (timing.every_week(time(6), [0, 4], "UTC"), "2026-01-10 07:00", "2026-01-12 06:00"),
        (timing.every_month(time(0), 1, "UTC"), "2026-01-31 00:00", "2026-02-01 00:00"),
        (timing.every_month(time(0), 31, "UTC"), "2026-02-01 00:00", "2026-02-28 00:00"),
        (timing.every_month(time(0), 29, "UTC"), "2026-04-29 00:00", "2026-05-29 00:00"),
        (timing.from_cron("0 6 13 * fri", "UTC"), "2026-01-10 00:00", "2026-01-13 06:00"),  # either day
        (timing.from_cron("*/20 8-9 * jan,jul mon-fri", "UTC"), "2026-01-10 00:00", "2026-01-12 08:00"),
        (timing.from_cron("0 0 29 2 *", "UTC"), "2026-01-10 00:00", "2028-02-29 00:00"),
    ],
)
def test_it_knows_what_is_next(kept: timing.Timing, now: str, due: str) -> None:
    assert kept.next_after(at(now)) == at(due)


@pytest.mark.req("S3")
@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 0 31 2 *", "never due"),
        ("* * * * *", "more often"),
        ("61 0 * * *", "no minute"),
        ("0 0 * *", "five fields"),
        ("0 5-3 * * *", "ends before"),
        ("0 */0 * * *", "no step"),
    ],
)
def test_it_refuses_what_nobody_can_keep(expression: str, why: str) -> None:
    with pytest.raises(timing.TimingRefused, match=why):
        timing.from_cron(expression, "UTC")
