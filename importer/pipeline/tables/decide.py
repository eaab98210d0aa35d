"""Decide: one action per row of a table's file, by findings, repeats in the file, and the row that is there (F-057)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from importer.modes import Mode
from importer.pipeline import checks, columns, staging
from importer.pipeline.binding import Bind, fragment, name, slot
from importer.pipeline.findings import Finding, findings_array, row_findings, with_reading
from importer.pipeline.plan import Mapped
from importer.pipeline.prepare import STAGE, cell, prepared, value
from importer.pipeline.tables.plan import TablePlan, kept
from servicevault.tables import Column
from servicevault.wording import say

WORK_COLUMNS = {
    "n": "integer",
    "key": 'text COLLATE "C"',
    "record_id": "uuid",
    "action": "text",
    "code": "text",
    "problems": "jsonb",
    "warnings": "jsonb",
    "changed": "text[]",
    "before": "json",
}


WORK = sql.Identifier("pg_temp", "work")


def work_table(plan: TablePlan) -> sql.Composed:
    """CREATE statement of `work`: a row per staged row with its fate and the values to store."""
    return fate_table(plan, WORK, {mapped.field.name: columns.stored_type(mapped.field) for mapped in plan.load.mapped})


def fate_table(
    plan: TablePlan, table: sql.Identifier, types: Mapping[str, str], *, kind: str = "TABLE"
) -> sql.Composed:
    """The same of another table, with these types of the mapped columns."""
    parts = [sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind)) for column, kind in WORK_COLUMNS.items()]
    parts += [
        sql.SQL("{} {}").format(kept(mapped.field.name), fragment(types[mapped.field.name]))
        for mapped in plan.load.mapped
    ]
    parts += [sql.SQL("{} {}").format(kept(column.name), sql.SQL(column.sql_type)) for column in plan.numbered]
    return sql.SQL("CREATE {} {} ({})").format(sql.SQL(kind), table, sql.SQL(", ").join(parts))


def decide(
    plan: TablePlan,
    bind: Bind,
    *,
    run_id: int,
    repeats: bool,
    numbers: bool = False,
    into: sql.Identifier = WORK,
    source: sql.Composable = STAGE,
) -> sql.Composed:
    """INSERT into `work` of the staged rows. With `numbers` it also takes record_prefix and record_base.

    New rows get the next values of the table's sequences then; a rehearsal uses none up, nor has it records.
    """
    failures, warnings = _findings(plan, bind)
    targets = [kept(column) for column in (*plan.mapped, *(column.name for column in plan.numbered))]
    values = [_stored_value(mapped) for mapped in plan.load.mapped]
    values += [
        sql.SQL("CASE WHEN a.action = 'created' THEN {} END").format(next_value(plan, column, "q"))
        if numbers
        else sql.SQL("NULL")
        for column in plan.numbered
    ]
    return sql.SQL(
        "INSERT INTO {into} (n, key, record_id, action, code, problems, warnings, {targets}) "
        "SELECT q.n, q.key, {record_id}, a.action, a.code, q.failures, q.warnings, {values} "
        "FROM (SELECT p.*, e.hit, {repeated} AS repeated, {failures} AS failures, {warnings} AS warnings "
        "FROM ({rows}) p {existing} {others} {repeats} {checks} OFFSET 0) q "
        "CROSS JOIN LATERAL (SELECT {action} AS verdict OFFSET 0) v "
        "CROSS JOIN LATERAL (SELECT split_part(v.verdict, ' ', 1) AS action, "
        "nullif(split_part(v.verdict, ' ', 2), '') AS code) a"
    ).format(
        into=into,
        record_id=record_id("q") if numbers else sql.SQL("NULL"),
        targets=sql.SQL(", ").join(targets),
        values=sql.SQL(", ").join(values),
        repeated=sql.SQL("coalesce(r.rule = 0, false)") if repeats and plan.key else sql.SQL("false"),
        failures=with_reading(findings_array(failures + _duplicates(plan, repeats=repeats), bind)),
        warnings=findings_array(warnings, bind),
        rows=prepared(plan.load, bind, source),
        existing=_existing(plan),
        others=sql.SQL(" ").join(_other_key(plan, number) for number in range(len(plan.unique))),
        repeats=_repeats(run_id) if repeats else sql.SQL(""),
        checks=_checked(plan),
        action=_verdict(plan),
    )


def record_id(row: str) -> sql.Composable:
    """The id of the row's record, time-ordered; see `slices.uuid_counter`."""
    return sql.SQL("encode(%(record_prefix)s::bytea || int8send(%(record_base)s::bigint + {}), 'hex')::uuid").format(
        name(row, "n")
    )


# -- findings -----------------------------------------------------------------------------------------------------


def _findings(plan: TablePlan, bind: Bind) -> tuple[list[Finding], list[Finding]]:
    failures, _, warnings = row_findings(plan.load, bind)
    broken, doubtful = checks.check_findings(plan.load, bind)
    failures = [finding for finding in failures if finding.code != "nul_byte"] + broken
    failures += [_missing(plan, number) for number in range(len(plan.foreign))]
    failures += [_refused(plan, number) for number in range(len(plan.checks))]
    for mapped in plan.load.mapped:
        warnings += _odd(plan, mapped)
    return failures, warnings + doubtful


def _missing(plan: TablePlan, number: int) -> Finding:
    """A foreign key whose row does not exist; the database asks only when all its columns are filled (F-079)."""
    key = plan.foreign[number]
    fields = [plan.load.fields[column].field for column in key.columns]
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(value(field.name)) for field in fields)
    same = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(name("f", referred), columns.comparable(field, value(field.name)))
        for referred, field in zip(key.referred_columns, fields, strict=True)
    )
    text = (
        cell(fields[0].name)
        if len(fields) == 1
        else sql.SQL("concat_ws(', ', {})").format(sql.SQL(", ").join(cell(field.name) for field in fields))
    )
    return Finding(
        sql.SQL("({} AND NOT EXISTS (SELECT FROM {} f WHERE {}))").format(filled, key.identifier, same),
        "foreign_key",
        say(
            "{columns} names a row of {referred_table} that does not exist (rule {key}).",
            columns=", ".join(key.columns),
            referred_table=key.referred_table,
            key=key.name,
        ),
        key.columns[0],
        text,
    )


def _refused(plan: TablePlan, number: int) -> Finding:
    check = plan.checks[number]
    first = next(column for column in check.columns if column in plan.mapped)
    return Finding(
        name("c", f"check{number}"),
        "check_violation",
        say(
            "{first} breaks the rule {check} of the table: {condition}.",
            first=first,
            check=check.name,
            condition=check.condition[:200],
        ),
        first,
        cell(first),
    )


def _checked(plan: TablePlan) -> sql.Composable:
    """LATERAL giving per check constraint whether the row breaks it, over a row named as the table is."""
    if not plan.checks:
        return sql.SQL("")
    row = sql.SQL(", ").join(_as_column(plan, column.name) for column in plan.table.columns)
    broken = sql.SQL(", ").join(
        sql.SQL("coalesce({applies} AND NOT ({condition}), false) AS {alias}").format(
            applies=sql.SQL("true") if set(check.columns) <= set(plan.mapped) else sql.SQL("e.hit IS NULL"),
            condition=fragment(check.condition),
            alias=sql.Identifier(f"check{number}"),
        )
        for number, check in enumerate(plan.checks)
    )
    return sql.SQL("CROSS JOIN LATERAL (SELECT {} FROM (SELECT {}) AS {} OFFSET 0) c").format(
        broken, row, name(plan.table.relation)
    )


def _as_column(plan: TablePlan, column_name: str) -> sql.Composable:
    column = plan.table.by_name[column_name]
    kind = fragment("text" if column.is_text else column.sql_type)
    if column_name in plan.mapped:
        current = value(column_name)
        if column.default and not column.nullable and not column.autoincrement:
            current = sql.SQL("coalesce({}, {})").format(current, fragment(column.default))
    elif column.default and not column.autoincrement:
        current = sql.SQL("({})").format(fragment(column.default))
    else:
        current = sql.SQL("NULL")
    return sql.SQL("({})::{} AS {}").format(current, kind, name(column_name))


def _odd(plan: TablePlan, mapped: Mapped) -> list[Finding]:
    field = mapped.field
    return [
        Finding(
            sql.SQL("coalesce({}, false)").format(condition),
            code,
            f"{field.name} {said}.",
            field.name,
            cell(field.name),
        )
        for condition, code, said in columns.oddities(field, plan.year)
    ]


# -- keys ---------------------------------------------------------------------------------------------------------


def same_key(plan: TablePlan, key: Sequence[str], *, row: str = "p", prefix: str = "") -> sql.Composable:
    """Whether row `t` of the table has the key; NULL, thus no, when a part of it is empty."""
    fields = plan.load.fields
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(
            name("t", column), columns.comparable(fields[column].field, name(row, f"{prefix}{column}"))
        )
        for column in key
    )


def is_indexed(plan: TablePlan, key: Sequence[str]) -> bool:
    return set(key) in [set(known) for known in plan.table.unique_keys]


def _existing(plan: TablePlan) -> sql.Composable:
    """The row that is there already. An index is asked row by row; without one the table is joined as a whole."""
    if not plan.key:
        return sql.SQL("CROSS JOIN (SELECT NULL::boolean AS hit) e")
    same = same_key(plan, plan.key)
    if is_indexed(plan, plan.key):
        return sql.SQL("LEFT JOIN LATERAL (SELECT true AS hit FROM {} t WHERE {} OFFSET 0) e ON true").format(
            plan.quoted, same
        )
    picked = sql.SQL(", ").join(name("t", column) for column in plan.key)
    return sql.SQL("LEFT JOIN (SELECT true AS hit, {} FROM {} t) e ON {}").format(
        picked,
        plan.quoted,
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(
                name("e", column), columns.comparable(plan.load.fields[column].field, value(column))
            )
            for column in plan.key
        ),
    )


def _other_key(plan: TablePlan, number: int) -> sql.Composable:
    """Whether another row of the table has this unique key."""
    besides: sql.Composable = sql.SQL("")
    if plan.key:
        besides = sql.SQL("AND NOT coalesce({}, false)").format(same_key(plan, plan.key))
    return sql.SQL("LEFT JOIN LATERAL (SELECT true AS hit FROM {} t WHERE {} {} LIMIT 1 OFFSET 0) {} ON true").format(
        plan.quoted, same_key(plan, plan.unique[number]), besides, sql.Identifier(f"u{number}")
    )


def _repeats(run_id: int) -> sql.Composable:
    return sql.SQL(
        "LEFT JOIN LATERAL (SELECT min(r.rule) AS rule FROM {} r WHERE r.key = p.key OFFSET 0) r ON true"
    ).format(staging.repeats_table(run_id))


def _duplicates(plan: TablePlan, *, repeats: bool) -> list[Finding]:
    """Rows that are refused because a key is taken, in the table or by another row of the file (F-072)."""
    found = []
    if plan.strategy == "error" and plan.key:
        hit: sql.Composable = sql.SQL("(e.hit OR r.rule = 0)") if repeats else sql.SQL("e.hit")
        label = ", ".join(plan.key)
        found.append(_taken(hit, "duplicate", say("A row with this {label} is there already.", label=label), plan.key))
    for number, key in enumerate(plan.unique):
        conditions = [sql.SQL("{}.hit").format(sql.Identifier(f"u{number}"))]
        rule = number + bool(plan.key)
        if repeats:
            conditions.append(sql.SQL("r.rule = {}").format(sql.Literal(rule)))
        when = sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))
        if plan.strategy == "skip" and plan.key:  # a row that is passed over takes nothing
            when = sql.SQL("(e.hit IS NULL AND {})").format(when)
        found.append(
            _taken(when, "unique_conflict", say("Another row has this {key} already.", key=", ".join(key)), key)
        )
    return found


def _taken(when: sql.Composable, code: str, message: str, key: Sequence[str]) -> Finding:
    texts = sql.SQL(", ").join(cell(column) for column in key)
    shown = sql.SQL("concat_ws(', ', {})").format(texts)
    return Finding(sql.SQL("coalesce({}, false)").format(when), code, message, key[0], shown)


# -- action -------------------------------------------------------------------------------------------------------


def _verdict(plan: TablePlan) -> sql.Composable:
    new = "'skipped not_found'" if plan.load.mode is Mode.UPDATE else "'created'"
    hit = {"skip": "'skipped exists'", "update": "'existing'", "error": "'failed duplicate'"}[plan.strategy]
    return sql.SQL(
        "CASE WHEN q.failures IS NOT NULL THEN 'failed ' || (q.failures->0->>'code') "
        "WHEN q.repeated THEN 'skipped duplicate_in_source' WHEN q.hit THEN {} ELSE {} END"
    ).format(sql.SQL(hit), sql.SQL(new))


def _stored_value(mapped: Mapped) -> sql.Composable:
    return name("q", slot(mapped.field.name))


def next_value(plan: TablePlan, column: Column, row: str) -> sql.Composable:
    """The value the database would give, taken before, so that the record knows its row.

    Where no number is to be used up, a free one that the line tells.
    """
    if column.name in plan.made_up:
        return sql.SQL("{} - {}::bigint").format(sql.Literal(plan.made_up[column.name]), name(row, "key"))
    if column.identity:
        relation = sql.Literal(plan.table.identifier.as_string(None).replace("%", "%%"))
        return sql.SQL("nextval(pg_get_serial_sequence({}, {}))").format(
            relation, sql.Literal(column.name.replace("%", "%%"))
        )
    if column.default:
        return fragment(column.default)
    return sql.SQL("gen_random_uuid()") if column.base == "uuid" else sql.SQL("NULL")
