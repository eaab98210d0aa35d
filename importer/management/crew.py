"""More workers on one file's job, beside the one that waits for it.

A file's rows never pass through Python, so threads serve: each has its connections, and starts at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from importer import runner


@contextmanager
def helping(job_id: Any, *, count: int) -> Iterator[None]:
    """`count` more workers take part in the job until it ends."""
    helpers = [threading.Thread(target=runner.work, args=(job_id,), name=f"worker-{n}") for n in range(count)]
    for helper in helpers:
        helper.start()
    try:
        yield
    finally:
        for helper in helpers:
            helper.join()
