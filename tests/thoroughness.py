"""How long tests look that draw by chance or repeat themselves: CI all the way, a developer's run long enough to notice."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("CI") == "true" or os.environ.get("THOROUGH") == "1"


def rounds(thorough: int, quick: int) -> int:
    """How often to draw. `THOROUGH=1 make test` draws as often as CI does."""
    return thorough if THOROUGH else quick
