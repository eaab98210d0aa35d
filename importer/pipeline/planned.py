"""Planned: a run beside the plan of its rehearsal; rows whose fate is another one are named, or held (X20, N-020).

Records are compared with records, once a slice is written and before it is committed: so whatever decided about a row
is judged by what came of it. What is not the source's to say is left out, since every run makes it anew: ids, drawn
numbers, times. The id of a row that was new in the rehearsal stands for the same row of the source as the run's own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from importer.modes import Outcome
from importer.pipeline import guarding, references, work
from importer.pipeline.binding import Bind, literal
from importer.pipeline.plan import LoadPlan
from importer.pipeline.slices import Counts, Key, SliceLoader, Statement, as_role
from importer.pipeline.tables.plan import TablePlan

CODE = "replanned"  # of a row that is held
_HOLDABLE = frozenset({Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED, Outcome.SKIPPED})  # what failed says why
_MADE_ANEW = ("now()", "current_", "random_uuid", "nextval", "clock_timestamp")


@dataclass(frozen=True)
class Beside:
    """The rehearsal that a job's rows are held against."""

    job_id: str
    strict: bool = False  # rows that differ wait for a person instead of being written


@dataclass(frozen=True)
class Compared:
    """What of a new row's image the source decides."""

    columns: Sequence[str]  # of the target, in the image
    cells: Sequence[str]  # members of the source's row, for what is made anew where they say nothing
    every: Sequence[str]  # columns of the target
    ids: Sequence[str] = ()  # columns that hold the id of another row
    numbers: bool = False  # the source brings numbers, of which one may be taken


def of_load(plan: LoadPlan, types: Mapping[str, str]) -> Compared:
    """What is compared of rows of a target type whose columns have these types."""
    anew = {"created_at", "updated_at"} | {
        key.column for key in plan.target.unique_keys if key.on_conflict == "renumber"
    }
    anew |= {column for column, default in plan.target.defaults.items() if _is_made_anew(default)}
    # Whether a row of the same query is found depends on where a slice ends; a later one links what was not.
    anew |= {
        mapped.field.storage
        for mapped in references.references(plan)
        if plan.entity_id in references.entities_searched(plan, mapped)
    }
    columns = [column for column in work.stored_columns(plan) if column not in anew]
    return Compared(
        columns=columns,
        cells=[mapped.column for mapped in plan.mapped if mapped.field.storage in anew],
        every=list(types),
        ids=[column for column, kind in types.items() if kind == "uuid"],
        numbers="ticket_number" in plan.fields,
    )


def of_table(plan: TablePlan) -> Compared:
    """What is compared of rows of a table as it is."""
    anew = {column.name for column in plan.table.columns if column.autoincrement or _is_made_anew(column.default or "")}
    return Compared(
        columns=[column for column in plan.mapped if column not in anew],
        cells=[mapped.column for mapped in plan.load.mapped if mapped.field.name in anew],
        every=[column.name for column in plan.table.columns],
    )


def _is_made_anew(default: str) -> bool:
    return any(part in default.lower() for part in _MADE_ANEW)


class Planned:
    """One run's rows beside those of the rehearsal's run of the same query; where it had none, all are new."""

    def __init__(
        self, loader: SliceLoader[Any], beside: Beside, compared: Compared, *, table: str, keeps: bool
    ) -> None:
        """`keeps` says that records of unchanged rows were asked for anyway."""
        row = loader.connection.execute(
            "SELECT p.id FROM importer_queryrun q JOIN importer_queryrun p ON p.job_id = %s AND p.key = q.key "
            "WHERE q.id = %s",
            (beside.job_id, loader.run_id),
        ).fetchone()
        self.loader = loader
        self.strict = beside.strict
        self.context = {"run": loader.run_id, "planned": row[0] if row else None, "plan": beside.job_id}
        self._name = Statement.of(lambda bind: _name_differing(loader.of_slice, compared, bind))
        self._forget = None if keeps else Statement(_forget_equal(loader.of_slice, table), {})

    def write(self, rows: Any, *, batch: int) -> Counts:
        """The outcomes of the slice, and how many of its rows are `replanned`, within the open transaction.

        In a strict job it is written again without the rows that differ, as long as others differ for their lack.
        """
        held: set[Key] = set()
        while True:
            counts, differing = self._attempt(rows, batch=batch, held=held)
            if not differing:
                return counts
            held |= differing

    def _attempt(self, rows: Any, *, batch: int, held: Collection[Key]) -> tuple[Counts, set[Key]]:
        """Outcomes, and which more rows have to be held: where there are any, nothing is written."""
        loader, context = self.loader, self.context | self.loader.slice_params(rows)
        loader.held = held
        with loader.connection.transaction() as attempt:
            with as_role(loader.connection, loader.role):
                counts = loader.write(rows, batch=batch)
            named = self._name.run(loader.connection, **context).fetchall()
            counts["replanned"] = len(named)
            differing = {(name, line, ordinal) for name, line, ordinal, action in named if action in _HOLDABLE}
            differing = differing.difference(held) if self.strict else set()
            if differing:
                raise psycopg.Rollback(attempt)
            if self._forget is not None:
                self._forget.run(loader.connection, **context)
        return counts, differing

    def settled(self, numbers: Collection[int]) -> list[int]:
        """Those of the rows, which equal what was imported last, that the plan would have written."""
        asked = set(numbers)
        # LATERAL and OFFSET: from the slice to its plan, row by row; joined freely, it is gone through for each plan row.
        found = self.loader.connection.execute(
            "SELECT i.n FROM pg_temp.incoming i CROSS JOIN LATERAL (SELECT FROM importer_importrecord p WHERE p.run_id = %s "
            "AND p.source_identifier = i.key AND p.ordinal = 0 AND p.action <> 'unchanged' OFFSET 0) planned",
            (self.context["planned"],),
            prepare=True,
        )
        return [number for (number,) in found if number in asked]

    def record_settled(self, entity_id: int, *, batch: int) -> None:
        """Record them as they were staged, though nothing was compared: unchanged, or held."""
        self.loader.connection.execute(
            "INSERT INTO importer_importrecord (id, run_id, batch_no, source_identifier, source_row, ordinal, action, code, "
            "source_hash, source_data, target_id, matching) "
            "SELECT gen_random_uuid(), %(run)s, %(batch)s, s.key, s.line, s.ordinal, "
            "CASE WHEN %(strict)s THEN 'review' ELSE 'unchanged' END, CASE WHEN %(strict)s THEN 'replanned' END, s.hash, "
            "s.row, CASE WHEN NOT %(strict)s THEN e.target_id END, CASE WHEN %(strict)s THEN jsonb_build_object("
            "'by', 'source_identity', 'candidates', jsonb_build_array(jsonb_build_object('id', e.target_id))) END "
            "FROM pg_temp.stage s JOIN external_refs e ON e.entity_id = %(entity)s AND e.external_id = s.key",
            {"run": self.loader.run_id, "batch": batch, "strict": self.strict, "entity": entity_id},
        )


def held_rows(held: Collection[Key], bind: Bind) -> sql.Composable:
    """SELECT of name, line and ordinal of the rows that are held."""
    names, lines, ordinals = zip(*held, strict=True)
    return sql.SQL("SELECT * FROM unnest({}, {}, {}) AS h(name, line, ordinal)").format(
        bind(list(names), "text[]"), bind(list(lines), "bigint[]"), bind(list(ordinals), "integer[]")
    )


# -- statements ---------------------------------------------------------------------------------------------------


def _name_differing(of_slice: sql.Composable, compared: Compared, bind: Bind) -> sql.Composed:
    """UPDATE of the slice's records `r` whose plan row `p` is another one, or missing: then nothing was to be done."""
    return sql.SQL(
        "UPDATE importer_importrecord r SET replanned_from = d.planned FROM (SELECT r.id, coalesce(p.action, '') AS planned "
        "FROM importer_importrecord r LEFT JOIN importer_importrecord p ON p.run_id = %(planned)s "
        "AND p.source_identifier = r.source_identifier AND p.ordinal = r.ordinal "
        "WHERE r.run_id = %(run)s AND {of_slice} AND NOT coalesce(CASE WHEN p.id IS NULL THEN r.action = 'unchanged' "
        "WHEN r.action <> p.action OR r.code IS DISTINCT FROM p.code THEN false "
        "WHEN r.action = 'created' THEN {created} "
        "WHEN r.action = 'updated' THEN {updated} "
        "WHEN r.action = 'failed' THEN true ELSE {target} END, false)) d "
        "WHERE r.id = d.id RETURNING r.source_identifier, r.source_row, r.ordinal, r.action"
    ).format(of_slice=of_slice, created=_created(compared, bind), updated=_updated(compared, bind), target=_SAME_TARGET)


def _forget_equal(of_slice: sql.Composable, table: str) -> sql.Composed:
    """DELETE of records that were made to be compared: of unchanged rows, which nobody asked for."""
    return sql.SQL(
        "DELETE FROM importer_importrecord w USING importer_importrecord r WHERE r.id = w.id AND r.run_id = %(run)s "
        "AND {of_slice} AND w.action = 'unchanged' AND w.replanned_from IS NULL AND NOT {told}"
    ).format(of_slice=of_slice, told=guarding.told(table))


def _same_id(ours: sql.Composable, planned: sql.Composable) -> sql.Composable:
    """Whether two ids mean one row: they are one, or both were given to the same new row of the source."""
    return sql.SQL(
        "({ours} IS NOT DISTINCT FROM {planned} OR EXISTS (SELECT FROM external_refs e "
        "JOIN importer_queryrun q ON q.job_id = %(plan)s AND q.entity_id = e.entity_id "
        "JOIN importer_importrecord m ON m.run_id = q.id AND m.source_identifier = e.external_id AND m.action = 'created' "
        "AND m.target_id = ({planned})::uuid WHERE e.target_id = ({ours})::uuid))"
    ).format(ours=ours, planned=planned)


_SAME_TARGET = _same_id(sql.SQL("r.target_id"), sql.SQL("p.target_id"))


def _same_ids(image: str, columns: Sequence[str]) -> list[sql.Composable]:
    return [
        _same_id(
            sql.SQL("(r.{} ->> {})").format(sql.SQL(image), literal(column)),
            sql.SQL("(p.{} ->> {})").format(sql.SQL(image), literal(column)),
        )
        for column in columns
    ]


def _same_rest(image: str, left_out: Sequence[str], bind: Bind) -> sql.Composable:
    return sql.SQL("(r.{0}::jsonb - {1}) IS NOT DISTINCT FROM (p.{0}::jsonb - {1})").format(
        sql.SQL(image), bind(list(left_out), "text[]")
    )


def _created(compared: Compared, bind: Bind) -> sql.Composable:
    ids = [column for column in compared.ids if column in compared.columns]
    left_out = [column for column in compared.every if column not in compared.columns or column in ids]
    parts = [_same_rest("after_image", left_out, bind), *_same_ids("after_image", ids)]
    parts += [
        sql.SQL("(r.source_data ->> {0}) IS NOT DISTINCT FROM (p.source_data ->> {0})").format(literal(cell))
        for cell in compared.cells
    ]
    if compared.numbers:
        parts.append(sql.SQL("{} = {}").format(_number_taken("r"), _number_taken("p")))
    return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))


def _updated(compared: Compared, bind: Bind) -> sql.Composable:
    parts: list[sql.Composable] = [
        sql.SQL("r.changed_fields = p.changed_fields AND r.target_key IS NOT DISTINCT FROM p.target_key"),
        _SAME_TARGET,
    ]
    for image in ("before_image", "after_image"):
        parts += [_same_rest(image, compared.ids, bind), *_same_ids(image, compared.ids)]
    return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))


def _number_taken(row: str) -> sql.Composable:
    return sql.SQL('coalesce({}.warnings @> \'[{{"code": "number_taken"}}]\', false)').format(sql.SQL(row))
