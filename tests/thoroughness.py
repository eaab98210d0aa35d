"""How long tests look that draw by chance or repeat themselves: CI all the way, a developer's run long enough to notice."""

from __future__ import annotations

import os
from collections import Counter

import pytest

THOROUGH = os.environ.get("CI") == "true" or os.environ.get("THOROUGH") == "1"


def rounds(thorough: int, quick: int) -> int:
    """How often to draw. `THOROUGH=1 make test` draws as often as CI does."""
    return thorough if THOROUGH else quick


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A quick run leaves out what is marked `whole`, and two of three cases of what is marked `alike`."""
    if THOROUGH:
        return
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        function = item.nodeid.partition("[")[0]
        seen[function] += 1
        is_case = item.get_closest_marker("alike") is not None and seen[function] % 3 != 1
        (left_out if is_case or item.get_closest_marker("whole") else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
