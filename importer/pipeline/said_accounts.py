"""Accounts that the customers of a file say by company or mail domain: rows of their own, before the customers (E34)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from importer.pipeline import staging
from importer.pipeline.binding import fragment
from importer.pipeline.plan import LoadPlan
from importer.pipeline.prepare import prepared
from importer.pipeline.slices import Statement

SAID_BY = ("company", "email")  # fields of a customer


@dataclass(frozen=True)
class SaidAccounts:
    """How the accounts go in, and what of a customer's row names one: SQL over `p`."""

    key: str  # of the run that counts them
    load: LoadPlan
    external_id: str
    name: str


def fill(
    connection: psycopg.Connection,
    plan: SaidAccounts,
    customers: LoadPlan,
    *,
    staged_as: int,
    run_id: int,
    temporary: bool = False,
) -> int:
    """Make the ordered table of the accounts that the staged customers say and that no import has brought yet.

    Where nobody may make accounts it stays empty.
    """
    table = staging.create_ordered(connection, run_id, temporary=temporary)
    source = sql.SQL(
        "(SELECT r.n::integer AS n, r.key, 0 AS ordinal, r.problem, r.row, NULL::json AS made FROM {} r)"
    ).format(staging.run_table(staged_as))
    narrow = replace(customers, mapped=tuple(item for item in customers.mapped if item.field.name in SAID_BY))
    statement = Statement.of(
        lambda bind: sql.SQL(
            "INSERT INTO {table} (n, key, row) SELECT s.n, s.key, json_build_object('external_id', s.key, 'name', s.name)::text "
            "FROM (SELECT DISTINCT ON (p.key) p.n, p.key, p.name FROM (SELECT p.n, {key} AS key, {name} AS name "
            "FROM ({rows}) p WHERE p.problem IS NULL) p WHERE p.key IS NOT NULL ORDER BY p.key, p.n) s "
            "WHERE NOT EXISTS (SELECT FROM external_refs e JOIN accounts a ON a.id = e.target_id "
            "WHERE e.entity_id = {entity} AND e.external_id = s.key)"
        ).format(
            table=table,
            key=fragment(plan.external_id),
            name=fragment(plan.name),
            rows=prepared(narrow, bind, source),
            entity=bind(plan.load.entity_id, "bigint"),
        )
    )
    count = statement.run(connection).rowcount if customers.makes_default_account else 0
    staging.seal_ordered(connection, run_id)
    return count
