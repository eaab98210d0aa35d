"""Listing: the records a rollback is about, written down with their targets before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from importer.pipeline.binding import name
from importer.pipeline.reversal.plan import Child, ReversalPlan, named
from importer.pipeline.staging import Row

MOST_LEVELS = 100  # of rows that refer to rows of their own table; what lies deeper is one chunk
END = "\U0010ffff"  # after every key

_CHILDREN = """
    SELECT n.nspname::text, c.relname::text,
        array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY p(no, at)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.no ORDER BY p.at),
        array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY p(no, at)
              JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.no ORDER BY p.at),
        coalesce(array(SELECT a.attname::text FROM pg_constraint q CROSS JOIN unnest(q.conkey) WITH ORDINALITY p(no, at)
              JOIN pg_attribute a ON a.attrelid = q.conrelid AND a.attnum = p.no
              WHERE q.conrelid = c.oid AND q.contype = 'p' ORDER BY p.at), '{}'),
        EXISTS (SELECT FROM pg_constraint q JOIN pg_attribute a ON a.attrelid = q.conrelid AND a.attnum = q.conkey[1]
              WHERE q.conrelid = c.oid AND q.contype = 'p' AND cardinality(q.conkey) = 1 AND a.atttypid = 'uuid'::regtype)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0
      AND k.confrelid = to_regclass(format('%%I.%%I', %(schema)s::text, %(relation)s::text)) ORDER BY 1, 2, k.conname
"""
# A target the job created is reversed as a whole, with what the job changed of it later on.
_OF_IMPORT = """
    INSERT INTO importer_reversal (run_id, record_id, key, purpose, is_new, fields, bucket, code, written)
    SELECT %(run)s, f.id, f.key, %(purpose)s, f.is_new,
        CASE WHEN NOT f.is_new THEN (SELECT coalesce(array_agg(c), '{}') FROM unnest(f.changed_fields) c
            WHERE %(fields)s::text[] IS NULL OR c = ANY(%(fields)s::text[])) END, '', '', false
    FROM (
        SELECT r.id, r.changed_fields, k.key, bool_or(r.action = 'created') OVER (PARTITION BY k.key) AS is_new
        FROM importer_queryrun q JOIN importer_importrecord r ON r.run_id = q.id
        CROSS JOIN LATERAL (SELECT coalesce(r.target_id::text, r.target_key::text, r.id::text) AS key) k
        WHERE q.job_id = %(origin)s AND q.target_type = ANY(%(types)s::text[]) AND r.action IN ('created', 'updated')
          AND (%(records)s::uuid[] IS NULL OR r.id = ANY(%(records)s::uuid[]))
    ) f WHERE CASE WHEN f.is_new THEN 'created' ELSE 'updated' END = ANY(%(actions)s::text[])
"""
_OF_ROLLBACK = """
    INSERT INTO importer_reversal (run_id, record_id, key, purpose, is_new, fields, bucket, code, written)
    SELECT %(run)s, v.record_id, v.key, %(purpose)s, v.is_new, v.restored, '', '', false
    FROM importer_reversal v WHERE v.run_id = ANY(%(runs)s::bigint[]) AND v.written AND v.undone_at IS NULL
"""


class Listed:
    """Cuts a run's listed targets into chunks; their rows never pass through Python."""

    how = "reversal"

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole  # rows that refer to each other in a ring are one chunk, however many

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        row = connection.execute("SELECT count(*) FROM importer_reversal WHERE run_id = %s", (run_id,)).fetchone()
        total = int(row[0]) if row else 0
        if self.whole or not total:
            return ([END] if total else []), total
        found = connection.execute(
            "SELECT d.key FROM (SELECT k.key, row_number() OVER (ORDER BY k.key) AS n FROM "
            "(SELECT DISTINCT key FROM importer_reversal WHERE run_id = %s) k) d WHERE d.n %% %s = 0 ORDER BY 1",
            (run_id, chunk_rows),
        ).fetchall()
        return [*(key for (key,) in found), END], total

    def restage(self, connection: psycopg.Connection, run_id: int) -> None:
        """Nothing of it is staged."""

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        return iter(())


def list_records(
    connection: psycopg.Connection,
    *,
    run_id: int,
    origin_id: Any,
    types: Sequence[str],
    purpose: str,
    actions: Collection[str],
    records: Sequence[Any] | None = None,
    fields: Sequence[str] | None = None,
) -> int:
    """Write down what the import wrote into one table; how many records."""
    return connection.execute(
        _OF_IMPORT,
        {
            "run": run_id,
            "origin": origin_id,
            "types": list(types),
            "purpose": purpose,
            "actions": list(actions),
            "records": None if records is None else list(records),
            "fields": None if fields is None else list(fields),
        },
    ).rowcount


def list_reversed(connection: psycopg.Connection, *, run_id: int, runs: Sequence[int], purpose: str) -> int:
    """Write down what these runs of a rollback changed and nobody undid; how many records."""
    return connection.execute(_OF_ROLLBACK, {"run": run_id, "runs": list(runs), "purpose": purpose}).rowcount


def children_of(connection: psycopg.Connection, schema: str, relation: str) -> tuple[Child, ...]:
    """Every foreign key of the database that leads to the table; one query."""
    found = connection.execute(_CHILDREN, {"schema": schema, "relation": relation}).fetchall()
    return tuple(
        Child(child, name, tuple(columns), tuple(referred), tuple(key), has_uuid)
        for child, name, columns, referred, key, has_uuid in found
    )


def analyze(connection: psycopg.Connection) -> None:
    """Let the planner know what was listed."""
    connection.execute("ANALYZE importer_reversal")


def part_levels(connection: psycopg.Connection, plan: ReversalPlan, run_id: int, next_run: Callable[[], int]) -> bool:
    """Part the listed rows of a table that refers to itself: who refers to another row comes in an earlier run.

    `next_run` makes a run for each further level. True when the last run holds rows that refer to each other in a ring.
    """
    own = [child for child in plan.children if child.table_name == plan.table.name]
    for _ in range(MOST_LEVELS if own else 0):
        waiting = _waiting(connection, plan, own, run_id)
        if not waiting:
            return False
        left = connection.execute(
            "SELECT EXISTS (SELECT FROM importer_reversal WHERE run_id = %s AND key <> ALL (%s))", (run_id, waiting)
        ).fetchone()
        if left == (False,):
            return True
        following = next_run()
        connection.execute(
            "UPDATE importer_reversal SET run_id = %s WHERE run_id = %s AND key = ANY (%s)",
            (following, run_id, waiting),
        )
        run_id = following
    return bool(own)


def _waiting(connection: psycopg.Connection, plan: ReversalPlan, own: Sequence[Child], run_id: int) -> list[str]:
    """Keys of rows that other rows of the run refer to."""
    found: set[str] = set()
    for child in own:
        parent = named(plan.key, "p", has_uuid=plan.has_uuid)
        query = sql.SQL(
            "SELECT DISTINCT v.key FROM importer_reversal w JOIN {table} c ON {same} JOIN {table} p ON {refers} "
            "JOIN importer_reversal v ON v.run_id = %(run)s AND v.key = {parent} AND v.is_new "
            "WHERE w.run_id = %(run)s AND v.key <> w.key AND (w.is_new OR w.fields && %(columns)s::text[])"
        ).format(
            table=plan.quoted,
            same=plan.same("c", of_key=True),
            refers=sql.SQL(" AND ").join(
                sql.SQL("{} = {}").format(name("p", referred), name("c", column))
                for column, referred in zip(child.columns, child.referred, strict=True)
            ),
            parent=parent,
        )
        found |= {key for (key,) in connection.execute(query, {"run": run_id, "columns": list(child.columns)})}
    return sorted(found)
