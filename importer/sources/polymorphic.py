"""Columns that point at several tables, told apart by a sibling: sender_id with sender_type.

They are flagged with the values to choose from. Joined without the condition they would mix
up persons, so they are never suggested bare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from importer.sources import naming
from importer.sources.evidence import Evidence, Sample
from importer.sources.schema import Relation, SourceSchema, Table
from servicevault.wording import say, say_count

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


@dataclass(frozen=True)
class _Pair:
    """A reference column, the sibling that says what it refers to, and the values that sibling takes."""

    table: Table
    column: str
    type_column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class _Lead:
    """A parent some of the values lead to."""

    parent: Table
    key: str
    values: tuple[str, ...]
    sample: Sample


def polymorphic_relations(schema: SourceSchema, evidence: Evidence, tables: Iterable[Table]) -> Iterator[Relation]:
    """Yield one flagged relation for each parent the values of the type column lead to.

    Where they lead nowhere, one with an empty `ref_table`: the choice is a person's.
    """
    for table in tables:
        for column in table.columns:
            type_column = type_column_of(table, column.name)
            if type_column is None:
                continue
            pair = _Pair(table, column.name, type_column, evidence.type_values(table, type_column))
            leads = _leads(schema, evidence, pair)
            if leads:
                yield from (_flagged(pair, lead) for lead in leads)
            elif not _means_one_table(schema, column.name):
                yield _flagged(pair, None)
            # else ticket_id beside ticket_type: a kind of ticket, one table


def _leads(schema: SourceSchema, evidence: Evidence, pair: _Pair) -> list[_Lead]:
    found: dict[str, _Lead] = {}
    for value in pair.values[:MOST_VALUES]:
        named = [parent for parent in schema.tables if naming.same(_value_words(value), naming.words(parent.name))]
        for parent in named or _people(schema, pair.column):
            key = next(iter(parent.single_keys()), None)
            if key is None:
                continue
            only = (pair.type_column, value)
            sample = evidence.containment(pair.table, (pair.column,), parent, (key,), as_text=True, only=only)
            if sample is None or sample.containment < LEAST_CONTAINMENT:
                continue
            before = found.get(parent.full_name)
            values = (*before.values, value) if before else (value,)
            best = before.sample if before and before.sample.containment > sample.containment else sample
            found[parent.full_name] = _Lead(parent, key, values, best)
    return list(found.values())


def _flagged(pair: _Pair, lead: _Lead | None) -> Relation:
    sentence = say(
        "{column} points at several tables; {type_column} says which.", column=pair.column, type_column=pair.type_column
    )
    values = ", ".join(pair.values) or say("none yet")
    bare = Relation(
        schema=pair.table.schema,
        table=pair.table.name,
        columns=(pair.column,),
        ref_schema="",
        ref_table="",
        ref_columns=(),
        source="inferred",
        confidence=50.0,
        evidence=(f"{sentence} {say('No table was found for its values: {values}.', values=values)}",),
        multiplicity="unknown",
        polymorphic=True,
        type_column=pair.type_column,
        type_values=pair.values,
    )
    if lead is None:
        return bare
    sample, target = lead.sample, f"{lead.parent.name}.{lead.key}"
    where = say("where {type_column} is {lead}", type_column=pair.type_column, lead=", ".join(lead.values))
    return replace(
        bare,
        ref_schema=lead.parent.schema,
        ref_table=lead.parent.name,
        ref_columns=(lead.key,),
        confidence=round(100 * (0.5 + 0.4 * sample.containment), 1),
        evidence=(
            sentence,
            say_count(
                "{found:,} of {count} sampled value exists in {target} {where}",
                "{found:,} of {count:,} sampled values exist in {target} {where}",
                sample.values,
                found=sample.found,
                target=target,
                where=where,
            ),
        ),
        type_values=lead.values,
    )


def _value_words(value: str) -> naming.Words:
    r"""The last part of a class or table name: user for App\Models\User and for "users"."""
    return naming.words(re.split(r"[\\/.:]+", value)[-1])


def _people(schema: SourceSchema, column: str) -> list[Table]:
    """The tables of persons, when the column's name is that of a role."""
    if not naming.person_tables(naming.words(column)[:-1]):
        return []
    names = {*naming.STAFF_TABLES[:5], *naming.CLIENT_TABLES[:3]}
    return [table for table in schema.tables if any(naming.same(naming.words(table.name), (name,)) for name in names)]


def _means_one_table(schema: SourceSchema, column: str) -> bool:
    return any(naming.same(naming.words(column)[:-1], naming.words(table.name)) for table in schema.tables)


def _singular(word: str) -> str:
    return min(naming.forms(word), key=len)
