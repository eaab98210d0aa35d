"""Judged: what validation found of every row, kept with the typed values, so that a good row is judged once.

The table belongs to the run and carries a digest of the statement that filled it: another mapping, rule, type or
default is another statement, and the rows are judged anew. What only the database knows (keys that are taken, rows
that are referred to) is asked again when the row is loaded.
"""

from __future__ import annotations

import hashlib

import psycopg
from psycopg import sql

from importer.pipeline import columns, staging
from importer.pipeline.binding import fragment, name
from importer.pipeline.slices import Counts, Statement
from importer.pipeline.tables import decide, stage
from importer.pipeline.tables.plan import TablePlan, kept

_PLAIN = {
    *columns.WHOLE, *columns.FLOATS, *columns.MOMENTS, *columns.DOCUMENTS, *columns.TEXTS, "numeric", "bool", "uuid",
    "time", "timetz", "interval", "bytea", "inet", "cidr", "macaddr", "money", "bit", "varbit",
}  # fmt: skip
_LOOKS_ELSEWHERE = {"exists", "unique"}  # checks that ask other tables


def create(connection: psycopg.Connection, plan: TablePlan, run_id: int, *, temporary: bool) -> None:
    """The empty table; what an earlier validation left is gone."""
    table = staging.judged_table(run_id)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(
        decide.fate_table(plan, table, _types(plan), kind="TEMPORARY TABLE" if temporary else "TABLE"), {}
    )


def seal(connection: psycopg.Connection, plan: TablePlan, run_id: int) -> None:
    """Let loaders find ranges of rows, and know by which plan they were judged."""
    table = staging.judged_table(run_id)
    connection.execute(sql.SQL("CREATE INDEX ON {} USING brin (key) WITH (pages_per_range = 8)").format(table))
    connection.execute(sql.SQL("ANALYZE {} (key)").format(table))
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(_digest(connection, plan))))


def counted(connection: psycopg.Connection, run_id: int) -> Counts:
    """How many rows were read, how many have each action, and warnings."""
    found = connection.execute(
        sql.SQL("SELECT action, count(*), count(warnings) FROM {} GROUP BY 1").format(staging.judged_table(run_id))
    ).fetchall()
    counts = Counts({action: number for action, number, _ in found})
    counts["read"] = sum(number for _, number, _ in found)
    counts["warnings"] = sum(warned for _, _, warned in found)
    return counts


def are_known(connection: psycopg.Connection, plan: TablePlan, run_id: int) -> bool:
    """Whether the run's rows were judged by this very plan, and nothing else can change what was found of one."""
    if any(check.name in _LOOKS_ELSEWHERE for mapped in plan.load.mapped for check in mapped.checks):
        return False
    if plan.key and not decide.is_indexed(plan, plan.key):
        return False
    row = connection.execute(
        "SELECT obj_description(to_regclass(%s), 'pg_class')", (f"importer_stage_{run_id}_judged",)
    ).fetchone()
    return row is not None and row[0] == _digest(connection, plan)


def good(plan: TablePlan, run_id: int) -> sql.Composed:
    """SELECT of the span's rows that go in without a word, if the database has nothing against them still.

    They look like rows of `work`. Takes lo, hi, record_prefix and record_base.
    """
    values = [sql.SQL("j.{}").format(kept(column)) for column in plan.mapped]
    values += [
        sql.SQL("{} AS {}").format(decide.next_value(plan, column, "j"), kept(column.name)) for column in plan.numbered
    ]
    conditions: list[sql.Composable] = [
        sql.SQL("NOT EXISTS (SELECT FROM {} t WHERE {} OFFSET 0)").format(
            plan.quoted, decide.same_key(plan, key, row="j", prefix="to:")
        )
        for key in plan.rules
    ]
    conditions += [_refers(plan, number) for number in range(len(plan.foreign))]
    return sql.SQL(
        "SELECT j.n, j.key, {record_id} AS record_id, 'created' AS action, NULL::text AS code, "
        "NULL::jsonb AS warnings, {values} FROM (SELECT r.n, r.key, {typed} FROM {judged} r "
        "WHERE {span} AND r.action = 'created' AND r.warnings IS NULL) j WHERE true {still}"
    ).format(
        record_id=decide.record_id("j"),
        values=sql.SQL(", ").join(values),
        judged=staging.judged_table(run_id),
        typed=typed(plan),
        span=stage.within("r"),
        still=sql.SQL("").join(sql.SQL(" AND {}").format(condition) for condition in conditions),
    )


def typed(plan: TablePlan) -> sql.Composable:
    """The kept values of a judged row `r` with the types they are stored by."""
    return sql.SQL(", ").join(
        sql.SQL("r.{0}::{1} AS {0}").format(kept(mapped.field.name), fragment(columns.stored_type(mapped.field)))
        for mapped in plan.load.mapped
    )


def _types(plan: TablePlan) -> dict[str, str]:
    """Types of the kept values; those of people's own types are kept as text, so that we never hold on to their type."""
    return {
        mapped.field.name: columns.stored_type(mapped.field) if _is_plain(mapped.field.base) else "text"
        for mapped in plan.load.mapped
    }


def _is_plain(base: str) -> bool:
    return base.removeprefix("_") in _PLAIN


# -- parts --------------------------------------------------------------------------------------------------------


def _refers(plan: TablePlan, number: int) -> sql.Composable:
    """Whether the row that the foreign key names is there still, if it names one."""
    key = plan.foreign[number]
    own = [sql.SQL("j.{}").format(kept(column)) for column in key.columns]
    empty = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(value) for value in own)
    same = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(name("f", referred), columns.comparable(plan.load.fields[column].field, value))
        for column, referred, value in zip(key.columns, key.referred_columns, own, strict=True)
    )
    return sql.SQL("({} OR EXISTS (SELECT FROM {} f WHERE {} OFFSET 0))").format(empty, key.identifier, same)


def _digest(connection: psycopg.Connection, plan: TablePlan) -> str:
    """Of the statement by which the plan judges."""
    statement = Statement.of(lambda bind: decide.decide(plan, bind, run_id=0, repeats=False))
    text = statement.text.as_string(connection)
    return hashlib.sha256(f"{text}{sorted(statement.params.items())!r}".encode()).hexdigest()
