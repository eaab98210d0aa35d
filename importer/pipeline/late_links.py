"""Late links: references whose row arrived after the row that names it (E28, E29).

A link is written only where the column still holds what the import left there: a person's choice stays.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from importer.pipeline import guarding
from importer.pipeline.slices import as_role
from servicevault import catalog


def link(
    connection: psycopg.Connection, job_id: str, *, entity_ids: list[int], role: Callable[[], str | None] = lambda: None
) -> int:
    """Link what can be linked now, record each as updated (`late_link`), and return how many.

    Only references that search an entity of this job are looked at. One transaction for each target column, with the
    rights of the role, which is asked for when there is something to link.
    """
    linked = 0
    for target_type, column in _pending_columns(connection, entity_ids):
        connection.commit()
        with connection.transaction(), as_role(connection, role()):
            linked += _link_column(connection, job_id, target_type, column)
    return linked


def link_all(connection: psycopg.Connection, job_id: str, *, entity_ids: list[int]) -> int:
    """The same inside a transaction that is open already, and stays so."""
    return sum(
        _link_column(connection, job_id, target_type, column)
        for target_type, column in _pending_columns(connection, entity_ids)
    )


def _pending_columns(connection: psycopg.Connection, entity_ids: list[int]) -> list[tuple[str, str]]:
    return connection.execute(
        'SELECT DISTINCT target_type, "column" FROM importer_pendingreference WHERE searched && %s::bigint[]',
        (entity_ids,),
    ).fetchall()


def _link_column(connection: psycopg.Connection, job_id: str, target_type: str, column: str) -> int:
    table, stored = sql.Identifier(catalog.get(target_type).table), sql.Identifier(column)
    row = connection.execute(
        sql.SQL(
            """
            WITH found AS (
                SELECT p.id, p.target_id, p.placeholder, p.run_id, p.record_id, min(e.target_id::text)::uuid AS parent
                FROM importer_pendingreference p
                JOIN external_refs e ON e.entity_id = ANY(p.searched) AND e.external_id = p.external_id
                WHERE p.target_type = %(type)s AND p."column" = %(column)s
                GROUP BY p.id HAVING count(DISTINCT e.target_id) = 1),
            before AS (SELECT f.*, t.{stored} AS old FROM found f JOIN {table} t ON t.id = f.target_id ORDER BY t.id FOR UPDATE OF t),
            written AS (UPDATE {table} t SET {stored} = b.parent FROM before b
                WHERE t.id = b.target_id AND b.old IS NOT DISTINCT FROM b.placeholder AND {is_open} RETURNING t.id),
            home AS (SELECT r.id AS run, r.entity_id FROM importer_queryrun r WHERE r.job_id = %(job)s),
            recorded AS (INSERT INTO importer_importrecord (id, run_id, batch_no, source_identifier, ordinal, action, code,
                    target_id, before_image, after_image, changed_fields)
                SELECT gen_random_uuid(), coalesce(h.run, (SELECT min(run) FROM home)), 0, r.source_identifier,
                    (1000000 + row_number() OVER (PARTITION BY r.source_identifier)), 'updated', 'late_link', b.target_id,
                    json_build_object(%(column)s::text, b.old), json_build_object(%(column)s::text, b.parent), ARRAY[%(column)s::text]
                FROM before b JOIN written w ON w.id = b.target_id JOIN importer_importrecord r ON r.id = b.record_id
                JOIN importer_queryrun q ON q.id = abs(r.run_id) LEFT JOIN home h ON h.entity_id = q.entity_id
                ON CONFLICT (run_id, source_identifier, ordinal) DO NOTHING RETURNING run_id),
            gone AS (DELETE FROM importer_pendingreference p USING found f WHERE p.id = f.id RETURNING p.id)
            SELECT (SELECT count(*) FROM written)
            """
        ).format(table=table, stored=stored, is_open=guarding.open_to(catalog.get(target_type).table, column)),
        {"type": target_type, "column": column, "job": job_id},
    ).fetchone()
    count = int(row[0]) if row else 0
    if count:
        connection.execute(
            "UPDATE importer_queryrun SET late_linked = late_linked + %s WHERE id = "
            "(SELECT min(id) FROM importer_queryrun WHERE job_id = %s AND target_type = %s)",
            (count, job_id, target_type),
        )
    return count
