"""Observed: columns of a target by whose values other rows are judged.

A rehearsal keeps an update of one of them, and undoes every other update at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import psycopg

from importer.pipeline.plan import LoadPlan
from servicevault import catalog
from servicevault.catalog import Target

_READ = re.compile(r"\b(?![pxim]\.)[a-z]\w*\.(\w+)")  # `t.email`, `k.account_id`; not the row's own `p.email`


def observed_columns(connection: psycopg.Connection, plan: LoadPlan, beside: Sequence[LoadPlan]) -> list[str]:
    """Columns of the plan's table in unique keys, match fields, and whatever the targets' own SQL reads.

    `beside` are the job's plans, whose references may find rows by natural keys. A trigger of somebody's own that
    reads other rows is not looked into.
    """
    fragments = [text for target in catalog.all_targets() for text in _fragments(target)]
    fragments += [text for other in (plan, *beside) for text in _resolvers(other)]
    found = {name for text in fragments for name in _READ.findall(text)}
    found |= set(_in_unique_indexes(connection, plan.target.table))
    matched = {*plan.matching.primary, *plan.matching.secondary}
    for target in catalog.all_targets():
        if target.table == plan.target.table:
            found |= {field.storage for name in (*matched, *target.match_fields) if (field := target.field(name))}
            found.add(target.soft_delete)
    for mapped in plan.mapped:
        if any(check.name == "unique" for check in mapped.checks):
            found.add(mapped.field.storage or plan.target.json_column)
    return sorted(found - {""})


def _fragments(target: Target) -> Iterator[str]:
    yield target.scope
    for group in (target.derived, target.fallbacks, target.defaults, target.warnings):
        yield from group.values()
    yield from (rule.broken for rule in target.rules.values())
    for key in target.unique_keys:
        yield from (key.expression, key.condition)


def _resolvers(plan: LoadPlan) -> Iterator[str]:
    """How references of the plan find rows that no external id leads to."""
    for mapped in plan.mapped:
        for kind in mapped.field.reference.types if mapped.field.reference and mapped.resolve_by else ():
            yield catalog.get(kind).natural_keys.get(mapped.resolve_by, "")


def _in_unique_indexes(connection: psycopg.Connection, table: str) -> Iterator[str]:
    """Columns that a unique or exclusion index holds, in an expression or a condition too."""
    rows = connection.execute(
        """
        SELECT DISTINCT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0
        WHERE i.indrelid = (quote_ident(%s))::regclass AND (i.indisunique OR i.indisexclusion) AND (
            a.attnum = ANY(i.indkey) OR EXISTS (
                SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
        """,
        (table,),
    )
    return (name for (name,) in rows)
