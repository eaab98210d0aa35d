"""How alike the rows of a sample are to what is here, as bars, with the limits that part them (U24)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 5  # percent of a bar
HEIGHT = 40.0  # of the drawing


@dataclass(frozen=True)
class Bar:
    """Rows whose best candidate has a confidence from `low` to below `low + 5`; the last bar holds 100 as well."""

    low: int
    count: int
    height: float

    @property
    def high(self) -> int:
        return 100 if self.low + WIDTH >= 100 else self.low + WIDTH - 1

    @property
    def top(self) -> float:
        return HEIGHT - self.height


@dataclass(frozen=True)
class Histogram:
    """The bars, and how the limits part the rows."""

    bars: tuple[Bar, ...]
    confidences: tuple[float, ...]
    sampled: int  # rows that were looked at, with and without a candidate
    threshold: float
    floor: float | None

    @property
    def candidates(self) -> int:
        return len(self.confidences)

    @property
    def same(self) -> int:
        return sum(each >= self.threshold for each in self.confidences)

    @property
    def asked(self) -> int:
        floor = self.floor
        return 0 if floor is None else sum(floor <= each < self.threshold for each in self.confidences)

    @property
    def new(self) -> int:
        return self.candidates - self.same - self.asked

    @property
    def filled(self) -> list[Bar]:
        return [bar for bar in self.bars if bar.count]

    @property
    def data(self) -> str:
        """The confidences for the script that parts them anew while a limit moves."""
        return " ".join(f"{each:g}" for each in self.confidences)


def histogram(confidences: Sequence[float], *, sampled: int, threshold: float, floor: float | None) -> Histogram:
    """Twenty bars; heights by the square root, so that a few doubtful rows are seen beside many certain ones."""
    counts = [0] * (100 // WIDTH)
    for each in confidences:
        counts[min(int(each // WIDTH), len(counts) - 1)] += 1
    most = max(counts, default=0)
    bars = tuple(
        Bar(place * WIDTH, count, round(HEIGHT * math.sqrt(count / most), 2) if most else 0.0)
        for place, count in enumerate(counts)
    )
    return Histogram(bars, tuple(sorted(confidences)), sampled, threshold, floor)
