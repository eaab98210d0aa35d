"""Progress goes to a sink; the pipeline does not know who draws it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """Where a job stands after a committed slice."""

    operation: str  # what is being done, for people
    processed: int
    total: int | None  # None while unknown


class ProgressSink(Protocol):
    def update(self, progress: Progress) -> None: ...


class NullSink:
    def update(self, progress: Progress) -> None:
        return None


@dataclass
class RecordingSink:
    """Keeps every update; for tests."""

    seen: list[Progress] = field(default_factory=list)

    def update(self, progress: Progress) -> None:
        self.seen.append(progress)
