"""Columns that point at several tables, told apart by a sibling: sender_id with sender_type.

They are flagged with the values to choose from. Joined without the condition they would mix
up persons, so they are never suggested bare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from importer.sources import naming
from importer.sources.evidence import Evidence, Sample
from importer.sources.schema import Relation, SourceSchema, Table

TYPE_WORDS = ("type", "kind", "class", "model")
MOST_VALUES = 8
LEAST_CONTAINMENT = 0.5


def type_column_of(table: Table, column: str) -> str | None:
    """Return the sibling that says which table `column` points at, or None: sender_type for sender_id."""
    parts = naming.words(column)
    if len(parts) < 2 or parts[-1] not in naming.REFERENCE_WORDS:
        return None
    stem = parts[:-1]
    wanted = {"".join((*forms, word)) for forms in (stem, (*stem[:-1], _singular(stem[-1]))) for word in TYPE_WORDS}
    for other in table.columns:
        if other.name != column and "".join(naming.words(other.name)) in wanted:
            return other.name
    return None


def polymorphic_relations(schema: SourceSchema, evidence: Evidence, tables: Iterable[Table]) -> Iterator[Relation]:
    """Yield one flagged relation for each parent the values of the type column lead to.

    Where they lead nowhere, one without a parent: the choice is a person's.
    """
    for table in tables:
        for column in table.columns:
            type_column = type_column_of(table, column.name)
            if type_column is None:
                continue
            values = evidence.type_values(table, type_column)
            parents = _parents(schema, evidence, table, column.name, type_column, values)
            if not parents and _means_one_table(schema, column.name):
                continue  # ticket_id beside ticket_type: a kind of ticket, one table
            for (parent, key), (led_by, sample) in parents.items():
                yield _flagged(table, column.name, type_column, parent, key, led_by, sample)
            if not parents:
                yield _flagged(table, column.name, type_column, None, "", values, None)


def _parents(
    schema: SourceSchema, evidence: Evidence, table: Table, column: str, type_column: str, values: tuple[str, ...]
) -> dict[tuple[Table, str], tuple[tuple[str, ...], Sample]]:
    """Tables and keys with the type values that lead to them and the best sample."""
    found: dict[tuple[Table, str], tuple[tuple[str, ...], Sample]] = {}
    for value in values[:MOST_VALUES]:
        named = [parent for parent in schema.tables if naming.same(_value_words(value), naming.words(parent.name))]
        for parent in named or _people(schema, column):
            key = next(iter(parent.single_keys()), None)
            if key is None or parent is table:
                continue
            sample = evidence.containment(table, (column,), parent, (key,), as_text=True, only=(type_column, value))
            if sample is None or sample.containment < LEAST_CONTAINMENT:
                continue
            led_by, best = found.get((parent, key)) or ((), sample)
            found[parent, key] = ((*led_by, value), max(best, sample, key=lambda one: one.containment))
    return found


def _flagged(
    table: Table,
    column: str,
    type_column: str,
    parent: Table | None,
    key: str,
    values: tuple[str, ...],
    sample: Sample | None,
) -> Relation:
    sentence = f"{column} points at several tables; {type_column} says which"
    if parent is None or sample is None:
        evidence = (f"{sentence}. No table was found for its values: {', '.join(values) or 'none yet'}.",)
    else:
        shown = ", ".join(values)
        evidence = (
            f"{sentence}.",
            f"{sample.found:,} of {sample.values:,} sampled values exist in {parent.name}.{key} where {type_column} is {shown}",
        )
    return Relation(
        schema=table.schema,
        table=table.name,
        columns=(column,),
        ref_schema=parent.schema if parent else "",
        ref_table=parent.name if parent else "",
        ref_columns=(key,) if parent else (),
        source="inferred",
        confidence=round(100 * (0.5 + 0.4 * sample.containment), 1) if sample else 50.0,
        evidence=evidence,
        multiplicity="unknown",
        polymorphic=True,
        type_column=type_column,
        type_values=values,
    )


def _value_words(value: str) -> naming.Words:
    r"""The last part of a class or table name: user for App\Models\User and for "users"."""
    return naming.words(re.split(r"[\\/.:]+", value)[-1])


def _people(schema: SourceSchema, column: str) -> list[Table]:
    """The tables of persons, when the column's name is that of a role."""
    wanted = naming.person_tables(naming.words(column)[:-1])
    if not wanted:
        return []
    names = {*naming.STAFF_TABLES[:5], *naming.CLIENT_TABLES[:3]}
    return [table for table in schema.tables if any(naming.same(naming.words(table.name), (name,)) for name in names)]


def _means_one_table(schema: SourceSchema, column: str) -> bool:
    return any(naming.same(naming.words(column)[:-1], naming.words(table.name)) for table in schema.tables)


def _singular(word: str) -> str:
    return min(naming.forms(word), key=len)
