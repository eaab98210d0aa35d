"""The ground under pytest: its servers, named before anything reads the settings, and its memory.

Pytest loads this before its other plugins. The servers are not those of the demo, and need not survive the machine.
"""

from __future__ import annotations

import gc
import os

from servicevault import embedded

os.environ.setdefault("SERVICEVAULT_DATA_DIR", ".data/tests")
os.environ.setdefault("SERVICEVAULT_VOLATILE", "true")
embedded.export()


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: no collection need look at it again, and no fork copies it."""
    gc.collect()
    gc.freeze()
