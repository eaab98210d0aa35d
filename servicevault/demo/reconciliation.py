"""Was everything imported? Counted on both sides by statements that share nothing with the pack's own SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from django.db import connection
from django.db.models import Count
from psycopg import sql

from importer.models import ImportJob, ImportRecord, QueryRun
from servicevault import catalog
from servicevault.wording import say

# Per query the external ids that the source holds for it.
# A published conversation has state 2; a status that begins with 4 is spam.
SOURCE_IDS = {
    "accounts": """
        SELECT DISTINCT btrim(left(lower(btrim(regexp_replace(company, '[[:space:]]+', ' ', 'g'))), 255))
        FROM customers WHERE company ~ '[^[:space:]]'""",
    "agents": "SELECT id FROM users WHERE type = 1",
    "customers": "SELECT id FROM customers",
    "tickets": "SELECT id FROM conversations WHERE state = 2 AND status::text NOT LIKE '4%'",
    # The first message of each conversation is the ticket's description.
    "comments": """
        SELECT t.id FROM threads t JOIN conversations k ON k.id = t.conversation_id
        WHERE t.type < 4 AND t.state = 2 AND k.state = 2 AND k.status::text NOT LIKE '4%'
        EXCEPT
        SELECT min(t.id) FROM threads t WHERE t.type < 4 AND t.state = 2 GROUP BY t.conversation_id""",
    # Each log climbs from its conversation through the merges to the one that is left.
    "time_entries": """
        WITH RECURSIVE climb (log, conversation, steps) AS (
            SELECT l.id, l.conversation_id, 0 FROM timelogs l WHERE l.finished
            UNION
            SELECT c.log, (t.meta::json ->> 'mic')::int, c.steps + 1
            FROM climb c
            JOIN conversations k ON k.id = c.conversation AND k.state = 3
            JOIN threads t ON t.conversation_id = k.id AND t.action_type = 4 AND t.meta::json ->> 'mic' <> ''
            WHERE c.steps < 30)
        SELECT DISTINCT c.log FROM climb c JOIN conversations k ON k.id = c.conversation
        WHERE k.state = 2 AND k.status::text NOT LIKE '4%'""",
}
LEFT_BEHIND = {
    "agents": {"robots": "SELECT count(*) FROM users WHERE type = 2"},
    "tickets": {
        "drafts": "SELECT count(*) FROM conversations WHERE state = 1",
        "deleted or merged away": "SELECT count(*) FROM conversations WHERE state = 3",
        "spam": "SELECT count(*) FROM conversations WHERE state = 2 AND status::text LIKE '4%'",
    },
    "comments": {
        "lines of history": "SELECT count(*) FROM threads WHERE type = 4",
        "drafts and hidden messages": "SELECT count(*) FROM threads WHERE type < 4 AND state <> 2",
    },
    "time_entries": {"running timers": "SELECT count(*) FROM timelogs WHERE NOT finished"},
}
REASONS = {
    "unique_conflict": say("wait for review: another row has the same address in other case"),
    "ambiguous_match": say("wait for review: more than one row may be meant"),
    "unmapped_value": say("wait for review: a code that the value map does not know"),
    "target_deleted": say("were deleted here"),
    "duplicate_in_source": say("are there twice in the source"),
}


@dataclass(frozen=True)
class Line:
    """One entity on both sides."""

    entity: str
    source: int  # rows the source holds for it
    read: int
    created: int
    updated: int
    unchanged: int
    skipped: int
    failed: int
    review: int
    target: int  # rows here that came from these; fewer where two source rows are one
    missing: int  # source rows that are neither here nor held back with a reason
    notes: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether every row of the source was read and is here, or waits with a reason."""
        return self.source == self.read and not self.missing and not self.failed

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"equal": self.is_equal}


def reconcile(job: ImportJob, source: psycopg.Connection[Any]) -> list[Line]:
    """The lines of a finished import of the demo's source, in the order the queries ran."""
    return [_line(run, _ids(source, SOURCE_IDS[run.key]), source) for run in job.runs.all() if run.key in SOURCE_IDS]


def _line(run: QueryRun, expected: set[str], source: psycopg.Connection[Any]) -> Line:
    homes = _homes(run)
    held = set(
        ImportRecord.objects.filter(run=run, action__in=["review", "skipped"]).values_list(
            "source_identifier", flat=True
        )
    )
    here = expected & homes.keys()
    targets = {homes[external_id] for external_id in here}
    notes = [*_exceptions(run), *_left_behind(run.key, source, len(expected))]
    if len(targets) < len(here):
        notes.append(say("{here:,} share a row with another", here=len(here) - len(targets)))
    if older := len(homes.keys() - expected):
        notes.append(say("{older:,} more are here from rows that the source does not have any more", older=older))
    return Line(
        entity=run.key,
        source=len(expected),
        read=run.read,
        created=run.created,
        updated=run.updated,
        unchanged=run.unchanged,
        skipped=run.skipped,
        failed=run.failed,
        review=run.review,
        target=len(targets),
        missing=len(expected - homes.keys() - held),
        notes=tuple(notes),
    )


def _homes(run: QueryRun) -> dict[str, Any]:
    """External ids of the run's entity that have a living target, with its id."""
    target = catalog.get(run.target_type)
    living = (
        sql.SQL(" AND t.{} IS NULL").format(sql.Identifier(target.soft_delete)) if target.soft_delete else sql.SQL("")
    )
    query = sql.SQL(
        "SELECT e.external_id, t.id FROM external_refs e JOIN {} t ON t.id = e.target_id{} WHERE e.entity_id = %s"
    ).format(sql.Identifier(target.table), living)
    with connection.cursor() as cursor:
        cursor.execute(query.as_string(cursor.connection), [run.entity_id])
        return dict(cursor.fetchall())


def _exceptions(run: QueryRun) -> Iterator[str]:
    found = (
        ImportRecord.objects.filter(run=run, action__in=["review", "failed", "skipped"])
        .values_list("action", "code")
        .annotate(number=Count("id"))
        .order_by("-number")
    )
    for action, code, number in found:
        yield f"{number:,} {REASONS.get(code or '', f'{action}: {code}')}"


def _left_behind(key: str, source: psycopg.Connection[Any], expected: int) -> Iterator[str]:
    found = {reason: _count(source, statement) for reason, statement in LEFT_BEHIND.get(key, {}).items()}
    if key == "time_entries":
        finished = _count(source, "SELECT count(*) FROM timelogs WHERE finished")
        found["logs of deleted, spam and draft conversations"] = finished - expected
    listed = ", ".join(f"{number:,} {reason}" for reason, number in found.items() if number)
    if listed:
        yield f"left behind on purpose: {listed}"


def _ids(source: psycopg.Connection[Any], statement: str) -> set[str]:
    return {str(row[0]) for row in source.execute(sql.SQL(statement))}


def _count(source: psycopg.Connection[Any], statement: str) -> int:
    row = source.execute(sql.SQL(statement)).fetchone()
    return int(row[0]) if row else 0
