"""Sampling: what a query's first rows would become, by the run's own statements, rolled back (X3, X5, U23).

Nothing is stored: the sample lives in one transaction of the target that always ends in ROLLBACK. References find
what was imported before; rows of other queries that have not run yet are not there.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Any

import psycopg
from psycopg import errors, sql

from importer.modes import Outcome
from importer.pipeline import early, staging
from importer.pipeline.binding import Bind
from importer.pipeline.plan import LoadPlan
from importer.pipeline.prepare import prepared
from importer.pipeline.readers import fetched_at_once
from importer.pipeline.rehearsal import Plan
from importer.pipeline.rehearsal_loading import TrialLoader
from importer.pipeline.slices import Statement
from importer.pipeline.staging import Row
from importer.pipeline.tables import decide as table_decide
from importer.pipeline.tables import judge as table_judge
from importer.pipeline.tables import repeats, stage
from importer.pipeline.tables import write as table_write
from importer.pipeline.tables.plan import TablePlan, kept
from importer.pipeline.trial import Busy
from importer.sources.session import SourceSession
from servicevault.catalog import Field
from servicevault.wording import say

MOST_ROWS = 200  # X5
MAX_ROW_BYTES = 8 * 1024 * 1024
LOCK_SECONDS = 2  # a preview never waits long for somebody's lock
_STAGED = 2**41  # number of a run that there is none of: what is staged is temporary
_RUN = 0  # of the records inside the transaction; no run has it
_WRITTEN = {Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED}


@dataclass(frozen=True)
class SampledRow:
    """One source row and what the run would make of it."""

    identifier: str
    outcome: Outcome
    source: Mapping[str, Any]  # target field → value as it was read
    target: Mapping[str, Any]  # target field → value as it would be stored
    code: str | None = None  # why it was skipped, failed or held
    problems: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[Mapping[str, Any]] = ()
    target_id: Any = None
    confidence: float | None = None
    changed: Sequence[str] = ()  # columns an update would write
    is_known: bool = False  # by the id it had in the source; nothing was compared


@dataclass(frozen=True)
class Sample:
    """The first rows of a query; `fields` in the order of the mapping."""

    fields: tuple[str, ...]
    rows: tuple[SampledRow, ...]
    outcomes: Mapping[Outcome, int] = attribute(default_factory=dict)


@dataclass(frozen=True)
class Impact:
    """What a run is expected to do (X5)."""

    created: int
    updated: int
    unchanged: int
    skipped: int
    failed: int
    review: int
    sample_size: int
    basis: str = "sample"


def sample(source: SourceSession, plan: Plan, *, connect: Callable[[], psycopg.Connection], limit: int = 10) -> Sample:
    """The first `limit` rows (at most 200) as the run would store them.

    `connect` opens a connection to the target as the pipeline uses it.
    """
    if plan.table is not None:
        return _into_table(source, plan, plan.table, connect=connect, limit=min(limit, MOST_ROWS))
    rows = first_rows(source, plan, min(limit, MOST_ROWS))
    load = replace(plan.load, record_unchanged=True)  # every row leaves a record, so every row is known
    with connect() as inside:
        try:
            inside.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{LOCK_SECONDS}s"))
            inside.execute("SET CONSTRAINTS ALL IMMEDIATE")
            loader = TrialLoader(inside, load, run_id=_RUN, job_id=str(uuid.uuid4()))
            loader.write(rows, batch=0)
            records = _records(inside)
            stored = _stored(inside, load, records)
            values = prepared_values(inside, load, rows)
        except errors.LockNotAvailable as error:
            raise Busy(
                say("Somebody else writes the same rows just now."), hint=say("Look again in a minute.")
            ) from error
        finally:
            inside.rollback()
    found = tuple(_row(load, row, records[_place(row)], stored, value) for row, value in zip(rows, values, strict=True))
    return Sample(tuple(mapped.field.name for mapped in load.mapped), found, Counter(row.outcome for row in found))


def impact(sampled: Sample, total: int) -> Impact:
    """The sample's outcomes for `total` rows; their sum is `total`, or the sample's size when that is all there is."""
    size = len(sampled.rows)
    total = max(total, size)
    shares = {outcome: sampled.outcomes.get(outcome, 0) * total / size if size else 0.0 for outcome in Outcome}
    whole = {outcome: int(share) for outcome, share in shares.items()}
    rest = (total if size else 0) - sum(whole.values())
    for outcome in sorted(shares, key=lambda item: whole[item] - shares[item])[:rest]:
        whole[outcome] += 1
    return Impact(
        created=whole[Outcome.CREATED],
        updated=whole[Outcome.UPDATED],
        unchanged=whole[Outcome.UNCHANGED],
        skipped=whole[Outcome.SKIPPED],
        failed=whole[Outcome.FAILED],
        review=whole[Outcome.REVIEW],
        sample_size=size,
    )


def _into_table(
    source: SourceSession, plan: Plan, table: TablePlan, *, connect: Callable[[], psycopg.Connection], limit: int
) -> Sample:
    """The same for a table: judged and compared, nothing written, no number of the table used up."""
    query, params = plan.compiled.first_rows(limit, max_row_bytes=MAX_ROW_BYTES)
    cells = source.stream(query, params, size=fetched_at_once(source, plan.compiled), raw=True)
    with connect() as inside:
        try:
            stage.stage_lines(inside, _STAGED, stage.lines_of(cells), temporary=True)
            table_judge.judge(inside, table, _STAGED, temporary=True)
            has_repeats = repeats.are_known(inside, _STAGED)
            stage.create_slice_tables(inside, table_decide.work_table(table))
            stage.take(inside, _STAGED, stage.Span(None, stage.END), made=early.maker(table.load))
            Statement.of(lambda bind: table_decide.decide(table, bind, run_id=_STAGED, repeats=has_repeats)).run(inside)
            Statement.of(lambda bind: table_write.compare(table, bind)).run(inside)
            values = sql.SQL(", ").join(
                sql.SQL("{}, {}").format(sql.Literal(name.replace("%", "%%")), sql.SQL("w.{}").format(kept(name)))
                for name in table.mapped
            )
            found = inside.execute(
                sql.SQL(
                    "SELECT s.row, w.action, w.code, w.problems, w.warnings, w.changed, json_build_object({}) "
                    "FROM pg_temp.work w JOIN pg_temp.stage s ON s.n = w.n ORDER BY w.n"
                ).format(values),
                {},
            ).fetchall()
        finally:
            inside.rollback()
    rows = tuple(
        SampledRow(
            identifier=str(read.get(table.identifier) or ""),
            outcome=Outcome(action),
            source={mapped.field.name: read.get(mapped.column) for mapped in table.load.mapped},
            target=stored if Outcome(action) in _WRITTEN else {},
            code=code,
            problems=problems or (),
            warnings=warnings or (),
            changed=changed or (),
        )
        for read, action, code, problems, warnings, changed, stored in found
    )
    return Sample(table.mapped, rows, Counter(row.outcome for row in rows))


# -- parts ---------------------------------------------------------------------------------------------------------


def first_rows(source: SourceSession, plan: Plan, limit: int) -> list[Row]:
    """The query's first rows in the order of their keys, as a slice takes them."""
    query, params = plan.compiled.first_rows(limit, max_row_bytes=MAX_ROW_BYTES)
    found = source.stream(query, params, size=fetched_at_once(source, plan.compiled), raw=True)
    # Repeats of a key are judged together; a query without a key is not read in its order.
    return list(staging.read_rows(sorted(found, key=lambda pair: pair[0] or b"")))


def _place(row: Row) -> tuple[str, int]:
    return staging.stored_key(row.key).decode(), row.ordinal


def _records(inside: psycopg.Connection) -> dict[tuple[str, int], dict[str, Any]]:
    columns = (
        "action",
        "code",
        "target_id",
        "after_image",
        "changed_fields",
        "problems",
        "warnings",
        "confidence",
        "matching",
    )
    found = inside.execute(
        sql.SQL("SELECT source_identifier, ordinal, {} FROM importer_importrecord WHERE run_id = %s").format(
            sql.SQL(", ").join(map(sql.Identifier, columns))
        ),
        (_RUN,),
    )
    return {(key, ordinal): dict(zip(columns, rest, strict=True)) for key, ordinal, *rest in found}


def _stored(
    inside: psycopg.Connection, plan: LoadPlan, records: Mapping[tuple[str, int], Mapping[str, Any]]
) -> Mapping[Any, Mapping[str, Any]]:
    """The target rows there are, by id; what an update would write is in its record."""
    ids = [record["target_id"] for record in records.values() if record["target_id"]]
    return dict(
        inside.execute(
            sql.SQL("SELECT t.id, row_to_json(t) FROM {} t WHERE t.id = ANY(%s)").format(
                sql.Identifier(plan.target.table)
            ),
            (ids,),
        ).fetchall()
    )


def prepared_values(inside: psycopg.Connection, plan: LoadPlan, rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    """Per row the values of its fields after transformation, typed, references as the ids that were read."""
    staging.stage(inside, enumerate(rows), made=early.maker(plan))
    bind = Bind()
    query = sql.SQL("SELECT v.n, row_to_json(v) FROM ({}) v ORDER BY v.n").format(prepared(plan, bind))
    return [value for _, value in inside.execute(query, bind.params).fetchall()]


def _row(
    plan: LoadPlan,
    row: Row,
    record: Mapping[str, Any],
    stored: Mapping[Any, Mapping[str, Any]],
    value: Mapping[str, Any],
) -> SampledRow:
    outcome = Outcome(record["action"])
    image: Mapping[str, Any] = {}
    if outcome in _WRITTEN:
        image = {**stored.get(record["target_id"], {}), **(record["after_image"] or {})}
    read = json.loads(row.data)
    return SampledRow(
        identifier=_place(row)[0],
        outcome=outcome,
        source={mapped.field.name: read.get(mapped.column) for mapped in plan.mapped},
        target={mapped.field.name: _cell(plan, mapped.field, image, value) for mapped in plan.mapped},
        code=record["code"],
        problems=record["problems"] or (),
        warnings=record["warnings"] or (),
        target_id=record["target_id"] if outcome is not Outcome.CREATED else None,  # it would get another one
        confidence=float(record["confidence"]) if record["confidence"] is not None else None,
        changed=record["changed_fields"] or (),
        is_known=(record["matching"] or {}).get("by") in ("source_identity", "choice"),
    )


def _cell(plan: LoadPlan, field: Field, image: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
    """What would be in the field's column; where nothing is written, what the field was to be."""
    if field.json_key and plan.target.json_column in image:
        return (image[plan.target.json_column] or {}).get(field.json_key)
    if field.storage in image:
        return image[field.storage]
    return value.get(field.name)
