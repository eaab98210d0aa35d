"""Tracing: how the values of one row were made, step by step, by the SQL that a run uses (R2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DataError, OperationalError, connection, transaction
from psycopg import sql
from psycopg.errors import QueryCanceled

from importer.errors import ImporterError
from importer.pipeline import early
from importer.pipeline.binding import Bind, name, slot
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.prepare import early_steps, prepared, step_sql, stored_type
from importer.pipeline.transforms import Transform
from servicevault.wording import say

TIMEOUT = "SET LOCAL statement_timeout = '2s'"


@dataclass(frozen=True)
class Step:
    """One step of a field's mapping with what went in and what came out."""

    name: str
    params: Mapping[str, Any]
    input: Any
    output: Any
    problem: str = ""  # code, when the step could not take its input


@dataclass(frozen=True)
class FieldTrace:
    """One target field: what was read for it, each step, and the value as mapped."""

    field: str
    column: str  # of the source's row
    source: Any  # as it was read
    steps: tuple[Step, ...]
    value: Any  # typed; of a reference the id that was read


def trace(plan: LoadPlan, row: str) -> tuple[FieldTrace, ...]:
    """The fields of one row, given as the JSON text that was read. Writes nothing.

    Raises ImporterError when the mapping cannot be carried out with the row as it is.
    """
    made = early.maker(plan)
    cells = json.loads(row, parse_int=str, parse_float=str)
    read = json.loads(row)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(TIMEOUT)
            values = _values(cursor, plan, row, made(row.encode()).decode() if made else None)
            return tuple(
                FieldTrace(
                    field=mapped.field.name,
                    column=mapped.column,
                    source=read.get(mapped.column),
                    steps=_steps(cursor, mapped, early.text_of(cells.get(mapped.column)), values[mapped.field.name]),
                    value=values[mapped.field.name],
                )
                for mapped in plan.mapped
            )
    except DataError as error:
        raise ImporterError(
            say("The mapping cannot be carried out with this row."),
            hint=say("Mend the mapping, or look at another row."),
        ) from error
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise ImporterError(
            say("The steps take too long to be shown for this row."),
            hint=say("Look at another row, or take transformations away."),
        ) from error


def _values(cursor: Any, plan: LoadPlan, row: str, made: str | None) -> Mapping[str, Any]:
    bind = Bind()
    source = sql.SQL(
        "(SELECT 0 AS n, ''::text AS key, 0 AS ordinal, NULL::text AS problem, {} AS row, {} AS made)"
    ).format(bind(row, "json"), bind(made, "json"))
    cursor.execute(sql.SQL("SELECT row_to_json(v)::text FROM ({}) v").format(prepared(plan, bind, source)), bind.params)
    found = json.loads(cursor.fetchone()[0])
    return {mapped.field.name: found.get(slot(mapped.field.name)) for mapped in plan.mapped}


def _steps(cursor: Any, mapped: Mapped, text: str | None, value: Any) -> tuple[Step, ...]:
    found: list[Step] = []
    first = early_steps(mapped)
    for step in first:
        made = step.kind.early(text, step.params) if text is not None and step.kind.early else None
        found.append(Step(step.name, step.params, text, made))
        text = made
    for step, output, problem in _outputs(cursor, mapped.transforms[len(first) :], text):
        found.append(Step(step.name, step.params, text, output, problem))
        text = output
    if mapped.value_map or mapped.field.choices:
        found.append(Step("value_map", dict(mapped.value_map), text, value))
    elif not mapped.field.reference:
        found.append(Step("store", {"type": stored_type(mapped.field)}, text, value))
    return tuple(found)


def _outputs(cursor: Any, steps: Sequence[Transform], text: str | None) -> list[tuple[Transform, Any, str]]:
    """Each step's output and the code of its problem."""
    if not steps:
        return []
    bind = Bind()
    cell: sql.Composable = bind(text, "text")
    columns, laterals = [], []
    for place, step in enumerate(steps):
        alias = f"s{place}"
        laterals.append(
            sql.SQL(" CROSS JOIN LATERAL ({} OFFSET 0) AS {}").format(step_sql(step, cell, bind), name(alias))
        )
        fault = name(alias, "f") if step.kind.good else sql.SQL("NULL")
        columns += [sql.SQL("{}::text").format(name(alias, "v")), sql.SQL("split_part({}::text, ' ', 1)").format(fault)]
        cell = name(alias, "v")
    cursor.execute(
        sql.SQL("SELECT {} FROM (SELECT 1) one{}").format(sql.SQL(", ").join(columns), sql.SQL("").join(laterals)),
        bind.params,
    )
    row = cursor.fetchone()
    return [(step, row[2 * place], row[2 * place + 1] or "") for place, step in enumerate(steps)]
