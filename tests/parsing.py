"""Source files as syntax trees."""

from __future__ import annotations

import ast
import gc


def parsed(source: str, name: str = "<source>") -> ast.Module:
    """The tree of a module. Python 3.11 loses count of its own depth when it collects garbage meanwhile."""
    gc.disable()
    try:
        return ast.parse(source, filename=name)
    finally:
        gc.enable()
