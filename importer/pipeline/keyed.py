"""Keyed: a file's staged lines once more, in the order of their external ids, as a target type takes its rows.

What a file brings as external id, or the values that stand for it (E19), is made by the statements that make every
value; so it is trimmed, transformed and compared as people see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from importer.pipeline import staging
from importer.pipeline.binding import name
from importer.pipeline.plan import LoadPlan
from importer.pipeline.prepare import prepared, value
from importer.pipeline.said_accounts import SaidAccounts
from importer.pipeline.slices import Statement

EXTERNAL_ID = "external_id"
KEY_CHARACTERS = 255  # E23


@dataclass(frozen=True)
class KeyedPlan:
    """How a file's rows go into a target type."""

    load: LoadPlan
    key: tuple[str, ...]  # fields whose values tell rows apart; the external id alone where the file brings it
    last_counts: bool = False  # of rows with one key the last one goes in, not the first (F-044)
    accounts: SaidAccounts | None = None  # that the rows say, and that go in before them

    @property
    def loads(self) -> tuple[LoadPlan, ...]:
        """What is loaded, in this order."""
        return (self.accounts.load, self.load) if self.accounts else (self.load,)


def fill(connection: psycopg.Connection, plan: KeyedPlan, run_id: int, *, temporary: bool = False) -> int:
    """Make the ordered table of the run's staged lines, in the open transaction; returns how many there are."""
    table = staging.create_ordered(connection, run_id, temporary=temporary)
    lines = sql.SQL("(SELECT r.n::integer AS n, r.key, 0 AS ordinal, r.problem, r.row, NULL::json AS made FROM {} r)")
    source = lines.format(staging.run_table(run_id))
    wanted = [plan.load.fields[field] for field in plan.key if field in plan.load.fields]
    narrow = replace(plan.load, mapped=tuple(wanted))
    columns = sql.SQL("").join(
        sql.SQL(", {} AS {}").format(_text(field), name(f"key:{field}")) for field in plan.key if field in narrow.fields
    )
    statement = Statement.of(
        lambda bind: sql.SQL(
            "INSERT INTO {table} (n, key, line, problem, row) "
            "SELECT {order}, coalesce({key}, '(line ' || r.key::bigint || ')'), r.key::bigint, "
            "coalesce(r.problem, {unnamed}), r.row::text "
            "FROM {lines} r JOIN (SELECT p.n {columns} FROM ({rows}) p) k ON k.n = r.n"
        ).format(
            table=table,
            order=sql.SQL("-r.n" if plan.last_counts else "r.n"),
            key=_key(plan, narrow),
            unnamed=_unnamed(plan, narrow),
            lines=staging.run_table(run_id),
            columns=columns,
            rows=prepared(narrow, bind, source),
        )
    )
    count = statement.run(connection).rowcount
    staging.seal_ordered(connection, run_id)
    return count


def _text(field: str) -> sql.Composable:
    return sql.SQL("nullif(btrim({}::text), '')").format(value(field))


def _key(plan: KeyedPlan, narrow: LoadPlan) -> sql.Composable:
    """The external id, or "field=value" of what stands for it; NULL where a part of it is empty."""
    if plan.key == (EXTERNAL_ID,):
        return name("k", f"key:{EXTERNAL_ID}") if EXTERNAL_ID in narrow.fields else sql.SQL("NULL::text")
    parts = sql.SQL(" || ' ' || ").join(
        sql.SQL("{} || lower({})").format(sql.Literal(f"{field}="), name("k", f"key:{field}")) for field in plan.key
    )
    return sql.SQL("CASE WHEN char_length({0}) > {1} THEN left({0}, 180) || ' ' || md5({0}) ELSE {0} END").format(
        parts, sql.Literal(KEY_CHARACTERS)
    )


def _unnamed(plan: KeyedPlan, narrow: LoadPlan) -> sql.Composable:
    """The problem of a row without a key; an empty external id is told by the rules of its field."""
    if plan.key == (EXTERNAL_ID,):
        return sql.SQL("NULL::text") if EXTERNAL_ID in narrow.fields else sql.SQL("'external_id_empty'")
    return sql.SQL(
        "CASE WHEN {key} IS NULL THEN jsonb_build_array(jsonb_build_object('code', 'required_empty', 'field', {field}, "
        "'message', {said}))::text END"
    ).format(
        key=_key(plan, narrow),
        field=sql.Literal(plan.key[0]),
        said=sql.Literal(f"{_and(plan.key)} must not be empty: nothing else tells the row from others."),
    )


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
