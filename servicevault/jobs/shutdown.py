"""A worker that is told to end hands its job back after the slice it is in (J21).

The flag is made before the worker forks its children, so that its main process can tell all of them.
"""

from __future__ import annotations

import multiprocessing

_asked = multiprocessing.get_context("fork").Event()


def ask() -> None:
    """Ask everything in this worker to come to an end."""
    _asked.set()


def forget() -> None:
    """A new worker begins."""
    _asked.clear()


def is_asked() -> bool:
    return _asked.is_set()
