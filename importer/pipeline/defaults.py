"""The default account: made on first need, recorded and counted like a row (E34-E36).

It is a row beside those of the file: who may not write accounts by a file makes none this way either.
"""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
from psycopg import sql

from importer.pipeline import chunks, work
from importer.pipeline.plan import LoadPlan

TABLE, NAME = "accounts", "name"  # what of it is written
DEFAULT = "__default__"  # its external id, and the key of the run that counts it


def default_account(connection: psycopg.Connection, plan: LoadPlan, *, job_id: str) -> Any:
    """The id of "Imported from <profile>", created under a lock and counted in the job on first need (E36).

    None where there is none and the plan may make none.
    """
    entity = plan.entity_ids[DEFAULT]
    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (chunks.LOCK_CLASS + 1, entity))
    if (known := known_default(connection, plan)) or not plan.makes_default_account:
        return known
    account = uuid.uuid4()
    image = connection.execute(
        "INSERT INTO accounts AS a (id, name) VALUES (%s, %s) RETURNING row_to_json(a)::text",
        (account, plan.default_account_name),
    ).fetchone()
    record = record_default(connection, plan, job_id=job_id, account=account, image=image[0] if image else None)
    connection.execute(
        "INSERT INTO external_refs (entity_id, external_id, target_id, record_id, job_id) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (entity_id, external_id) DO UPDATE SET target_id = EXCLUDED.target_id, record_id = EXCLUDED.record_id",
        (entity, DEFAULT, account, record, job_id),
    )
    return account


def known_default(connection: psycopg.Connection, plan: LoadPlan) -> Any:
    """The id of the default account where an import made it before, else None."""
    row = connection.execute(
        "SELECT e.target_id FROM external_refs e JOIN accounts a ON a.id = e.target_id WHERE e.entity_id = %s "
        "AND e.external_id = %s",
        (plan.entity_ids[DEFAULT], DEFAULT),
    ).fetchone()
    return row[0] if row else None


def refuse_without_account(connection: psycopg.Connection, plan: LoadPlan) -> None:
    """Fail the rows of `work` whose account is not known, where none may be made for them."""
    column = plan.target.default_account
    field = next((each.name for each in plan.target.fields if each.storage == column), column)
    connection.execute(
        sql.SQL(
            "UPDATE pg_temp.work SET action = 'failed', code = 'no_account', target_id = NULL, problems = jsonb_build_array("
            "jsonb_build_object('code', 'no_account', 'field', %(field)s::text, 'message', %(message)s::text)) "
            "WHERE {} IS NULL AND action = 'created'"
        ).format(work.stored(column)),
        {
            "field": field,
            "message": f"Its account is not known, and you may not import into accounts: “{plan.default_account_name}” "
            "is not made for it.",
        },
    )


def record_default(
    connection: psycopg.Connection, plan: LoadPlan, *, job_id: str, account: uuid.UUID, image: str | None
) -> uuid.UUID:
    """Count the default account in the job as one row created, and record it; returns the record's id."""
    record = uuid.uuid4()
    connection.execute(
        "INSERT INTO importer_importrecord (id, run_id, batch_no, source_identifier, ordinal, action, target_id, after_image) "
        "VALUES (%s, %s, 0, %s, 0, 'created', %s, %s::json)",
        (record, _default_run(connection, plan, job_id=job_id), DEFAULT, account, image),
    )
    return record


def recorded_default(connection: psycopg.Connection, job_id: str) -> tuple[uuid.UUID, str | None] | None:
    """The default account that the job made, and its image; None when it made none."""
    return connection.execute(
        "SELECT r.target_id, r.after_image::text FROM importer_importrecord r JOIN importer_queryrun q ON q.id = r.run_id "
        "WHERE q.job_id = %s AND q.key = %s",
        (job_id, DEFAULT),
    ).fetchone()


def _default_run(connection: psycopg.Connection, plan: LoadPlan, *, job_id: str) -> int:
    row = connection.execute(
        "INSERT INTO importer_queryrun (job_id, key, name, target_type, source_table, entity_id, position, status, plan, read, "
        "created, updated, unchanged, skipped, failed, review, warnings, late_linked, error_message, total, started_at, "
        "completed_at) VALUES (%s, %s, 'Default account', 'accounts', '', %s, 999, 'done', '{}', 1, 1, 0, 0, 0, 0, 0, "
        "0, 0, '', 1, now(), now()) RETURNING id",
        (job_id, DEFAULT, plan.entity_ids[DEFAULT]),
    ).fetchone()
    assert row is not None
    return int(row[0])
