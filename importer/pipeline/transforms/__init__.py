"""Transformations of a cell, by name (M6): one registry for database and file sources, for preview and run.

SQL in the target's PostgreSQL does the work. What it cannot say (HTML, UUIDs of version 5) is done in Python
just before the row is copied in; a list of transformations may only begin with such a one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from importer.errors import QueryError
from importer.pipeline.binding import Bind
from importer.pipeline.transforms import dates, numbers, texts
from importer.pipeline.transforms.kinds import Kind, Parameter
from servicevault.wording import say, say_count

__all__ = ["KINDS", "Kind", "Parameter", "Transform", "chain", "transform"]

MAX_GROWTH = 100  # of a text by the replacements of one field: nested ones multiply
MAX_STEPS = 50  # of one field; each is a layer of the statement that the planner must see through
MAX_PAD = 10_000  # characters

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*texts.KINDS, *numbers.KINDS, *dates.KINDS)}


@dataclass(frozen=True)
class Transform:
    """One step of a field's mapping."""

    name: str
    params: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]


def transform(name: str, params: Mapping[str, Any] | None = None) -> Transform:
    """The step of that name. Raises QueryError for an unknown name, and for a parameter that does not fit."""
    kind = KINDS.get(name)
    if kind is None:
        raise QueryError(
            say("“{name}” is not a transformation.", name=name),
            hint=say("Known: {kinds}.", kinds=", ".join(sorted(KINDS))),
        )
    given = dict(params or {})
    known = {alias: parameter for parameter in kind.parameters for alias in (parameter.name, *parameter.aliases)}
    unknown = [item for item in given if item not in known]
    values = {known[item].name: value for item, value in given.items() if item in known}
    missing = [parameter.name for parameter in kind.parameters if parameter.required and parameter.name not in values]
    if missing or unknown:
        raise QueryError(
            say(
                "Transformation “{name}” takes the parameters {names}.",
                name=name,
                names=", ".join(_names(kind)) or say("none"),
            ),
            hint=say(
                "Missing: {missing}. Unknown: {unknown}.",
                missing=", ".join(missing) or say("none"),
                unknown=", ".join(unknown) or say("none"),
            ),
        )
    values = {parameter.name: values.get(parameter.name, parameter.default) for parameter in kind.parameters}
    for parameter in kind.parameters:
        if fault := parameter.fault(values[parameter.name]) or _own_fault(kind, parameter, values[parameter.name]):
            raise QueryError(
                say(
                    "“{parameter}” of the transformation “{name}” {fault}.",
                    parameter=parameter.name,
                    name=name,
                    fault=fault,
                )
            )
    return Transform(name, values)


def chain(steps: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Transform, ...]:
    """The steps in order. Raises QueryError as `transform` does, and for one that must come first and does not."""
    if len(steps) > MAX_STEPS:
        raise QueryError(
            say_count("A field has {count} transformation.", "A field has {count:,} transformations.", len(steps)),
            hint=say("At most {max_steps}.", max_steps=MAX_STEPS),
        )
    found = tuple(transform(name, params) for name, params in steps)
    late = next(
        (step for before, step in itertools.pairwise(found) if step.kind.early and not before.kind.early),
        None,
    )
    if late is not None:
        raise QueryError(
            say("“{late}” must be the first transformation of its field.", late=late.name),
            hint=say("Move it to the top."),
        )
    growth = math.prod(
        max(1.0, len(step.params["new"]) / max(1, len(step.params["old"]))) for step in found if step.name == "replace"
    )
    if growth > MAX_GROWTH:
        raise QueryError(
            say("These replacements could make a text {growth:,.0f} times as long.", growth=growth),
            hint=say("At most {max_growth}.", max_growth=MAX_GROWTH),
        )
    for step in found:
        step.kind.build(sql.SQL("NULL"), step.params, Bind())  # refuses what only shows when SQL is made
    return found


def _names(kind: Kind) -> list[str]:
    return [parameter.name for parameter in kind.parameters]


def _own_fault(kind: Kind, parameter: Parameter, value: Any) -> str:
    match parameter.type:
        case "zone":
            return dates.zone_fault(value)
        case "date_format":
            return dates.format_fault(value)
    match kind.name, parameter.name:
        case "format_date", "pattern":
            return dates.pattern_fault(value)
        case "pad_left", "length":
            return "" if 0 <= value <= MAX_PAD else say("is a number of characters up to {max_pad:,}", max_pad=MAX_PAD)
        case "replace", "old":
            return "" if value else say("must not be empty")
    return ""
