"""Named points at which a test may kill the worker: the same code in tests and in production.

`SERVICEVAULT_FAIL_AT=before_commit:3` kills the process at the third pass of `before_commit`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_WANTED, _, _COUNT = os.environ.get("SERVICEVAULT_FAIL_AT", "").partition(":")
_passed: Counter[str] = Counter()


def fail_point(name: str) -> None:
    """Do nothing, or end this process as kill -9 would."""
    if name != _WANTED:
        return
    _passed[name] += 1
    if _passed[name] >= int(_COUNT or 1):
        os.kill(os.getpid(), signal.SIGKILL)
