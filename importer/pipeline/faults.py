"""Named points at which a test may kill the worker: the same code in tests and in production.

`SERVICEVAULT_FAIL_AT=before_commit:3` kills the process at the third pass of `before_commit`.
"""

from __future__ import annotations

import os
import signal

POINTS = ("after_fence", "after_stage", "after_insert", "before_commit", "after_commit")


class Fault:
    """Which point kills this process, and after how many passes."""

    def __init__(self, text: str) -> None:
        self.point, _, count = text.partition(":")
        self.remaining = int(count or 1)


_armed = Fault(os.environ.get("SERVICEVAULT_FAIL_AT", ""))


def arm(text: str) -> None:
    """Kill this process at `point:passes`; an empty text disarms."""
    global _armed  # noqa: PLW0603 - a process has one fate
    _armed = Fault(text)


def fail_point(name: str) -> None:
    """Do nothing, or end this process as kill -9 would."""
    if name != _armed.point:
        return
    _armed.remaining -= 1
    if _armed.remaining <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
