"""Early: values that SQL cannot make, made in Python from a row's JSON just before the row is copied in."""

from __future__ import annotations

import json
from typing import Any

from importer.pipeline.plan import LoadPlan
from importer.pipeline.prepare import early_steps
from importer.pipeline.staging import Made


def maker(plan: LoadPlan) -> Made | None:
    """What makes the plan's early values, {field: text}; None when every transformation is SQL."""
    wanted = [(mapped.field.name, mapped.column, steps) for mapped in plan.mapped if (steps := early_steps(mapped))]
    if not wanted:
        return None

    def made(data: bytes) -> bytes:
        row = json.loads(data, parse_int=str, parse_float=str)
        found = {}
        for field, column, steps in wanted:
            text = text_of(row.get(column))
            for step in steps:
                early = step.kind.early
                text = early(text, step.params) if text is not None and early is not None else None
            found[field] = text
        return json.dumps(found, ensure_ascii=False).encode()

    return made


def text_of(value: Any) -> str | None:
    """The value as PostgreSQL's ->> gives it; half a surrogate pair, which no text can hold, is replaced."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()
