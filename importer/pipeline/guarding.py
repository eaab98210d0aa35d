"""Guard: values that an import may not write into rows the catalog protects, and the warning that says so.

The one place that knows: updates of target types and of tables as they are ask it, and so do late links.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from importer.pipeline.binding import Bind, fragment, literal
from importer.pipeline.findings import SHOWN_CHARACTERS
from servicevault import catalog

# Of an UPDATE of `work` from rows `d`, which have `kept`.
ADDED = "warnings = CASE WHEN d.kept IS NULL THEN w.warnings ELSE coalesce(w.warnings, '[]') || d.kept END,"


@dataclass(frozen=True)
class Change:
    """A column that an update may write."""

    column: str
    field: str  # as people know it
    differs: sql.Composable  # condition over w and t
    value: sql.Composable  # to be stored


@dataclass(frozen=True)
class Split:
    """Which of the changes are written, and which are kept out; over w and t."""

    written: sql.Composable  # text[] of columns
    kept: sql.Composable  # jsonb array of warnings, NULL when there are none


def split(table: str, changes: Iterable[Change], bind: Bind) -> Split:
    """The changes of a row of the table, parted by what the catalog protects."""
    guard = catalog.guard_of(table)
    written, kept = [], []
    for change in changes:
        label = bind(change.column, "text")
        is_closed = guard is not None and change.column not in guard.open
        if guard is None or not is_closed:
            written.append(sql.SQL("CASE WHEN {} THEN {} END").format(change.differs, label))
            continue
        protects = fragment(guard.protects)
        written.append(sql.SQL("CASE WHEN ({}) AND NOT {} THEN {} END").format(change.differs, protects, label))
        kept.append(
            sql.SQL(
                "CASE WHEN ({differs}) AND {protects} THEN jsonb_build_object('code', {code}, 'field', {field}, "
                "'message', {message}, 'value', left({value}::text, {shown})) END"
            ).format(
                differs=change.differs,
                protects=protects,
                code=bind(guard.code, "text"),
                field=bind(change.field, "text"),
                message=bind(f"{change.field} {guard.message}", "text"),
                value=change.value,
                shown=bind(SHOWN_CHARACTERS, "integer"),
            )
        )
    return Split(
        sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(sql.SQL(", ").join(written)),
        sql.SQL("nullif(to_jsonb(array_remove(ARRAY[{}]::jsonb[], NULL)), '[]')").format(sql.SQL(", ").join(kept))
        if kept
        else sql.SQL("NULL::jsonb"),
    )


def is_guarded(table: str) -> bool:
    return catalog.guard_of(table) is not None


def open_to(table: str, column: str) -> sql.Composable:
    """Whether row `t` lets an import write the column."""
    guard = catalog.guard_of(table)
    if guard is None or column in guard.open:
        return sql.SQL("true")
    return sql.SQL("NOT {}").format(fragment(guard.protects))


def told(table: str) -> sql.Composable:
    """Whether row `w` of `work` kept something out: it is recorded then, though nothing else was written."""
    guard = catalog.guard_of(table)
    if guard is None:
        return sql.SQL("false")
    return sql.SQL("coalesce(w.warnings @> jsonb_build_array(jsonb_build_object('code', {}::text)), false)").format(
        literal(guard.code)
    )


def protected(table: str) -> sql.Composable:
    """Whether row `t` is one of those the catalog protects."""
    guard = catalog.guard_of(table)
    return fragment(guard.protects) if guard is not None else sql.SQL("false")
