"""Queries of a database into a table as it is: recognised by a key of the table, allowed by the right on it (M14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from importer import file_targets, table_planning
from importer.errors import JobFailed, QueryError
from importer.file_mapping import field_checks
from importer.models import ImportProfile, TableRule
from importer.modes import Mode
from importer.options import InvalidOption
from importer.pipeline.columns import DOCUMENTS, WHOLE
from importer.pipeline.plan import Mapped
from importer.pipeline.tables.plan import TablePlan
from importer.query.spec import QuerySpec
from permissions import tables as granted
from servicevault import tables
from servicevault.tables import Table
from servicevault.wording import say


def identified(spec: QuerySpec) -> QuerySpec:
    """The query with a column that names its rows: for a table the first of the key by which they are recognised.

    Raises QueryError when the table is gone.
    """
    if not file_targets.is_table(spec.target_type):
        return spec
    table, outputs = _table(spec), [field.target for field in spec.fields]
    if not outputs or spec.source_identifier in outputs:
        return spec
    return replace(spec, source_identifier=(_key(table, outputs) or tuple(outputs))[0])


def key_problems(spec: QuerySpec) -> list[str]:
    """A second run must know the rows of the first."""
    table = _table(spec)
    if spec.kind != "builder" or _key(table, [field.target for field in spec.fields]):
        return []
    keys = "; ".join(", ".join(key) for key in table.unique_keys) or say("it has none")
    return [
        say(
            "{table} needs a unique key that the query fills wholly, else each run brings every row again: {keys}.",
            table=table.name,
            keys=keys,
        )
    ]


def parents_first(specs: Sequence[QuerySpec]) -> list[QuerySpec]:
    """The queries in their order, those into tables last, behind the tables that theirs refer to (E28)."""
    into = [spec for spec in specs if file_targets.is_table(spec.target_type)]
    if len(into) < 2:
        return list(specs)
    order = [table.name for table in tables.parents_first({spec.target_type: _table(spec) for spec in into}.values())]
    into.sort(key=lambda spec: order.index(_table(spec).name))
    return [*(spec for spec in specs if not file_targets.is_table(spec.target_type)), *into]


def plan_query(
    profile: ImportProfile,
    spec: QuerySpec,
    mapped: tuple[Mapped, ...],
    *,
    mode: str,
    entity_id: int = 0,
    version_id: int = 0,
    by: Any = None,
    record_unchanged: bool = False,
) -> TablePlan:
    """How the query's rows go into its table. Raises QueryError for what cannot be right."""
    name = file_targets.table_of(spec.target_type)
    goal = file_targets.destination(table_name=name)
    rules = [rule.as_option() for rule in TableRule.objects.filter(table_name=goal.table.name, is_active=True)]
    try:
        plan = table_planning.plan_table(
            goal,
            tuple(_typed(item, goal, rules) for item in mapped),
            strategy="skip" if Mode(mode) is Mode.CREATE else "update",
            rules=rules,
            zone=profile.source_timezone,
            record_unchanged=record_unchanged,
            by=by,
        )
    except InvalidOption as error:
        raise QueryError(error.message, hint=error.hint) from error
    if not plan.key:
        raise QueryError(key_problems(replace(spec, kind="builder"))[0])
    load = replace(plan.load, mode=Mode(mode), entity_id=entity_id, version_id=version_id)
    return replace(plan, load=load, identifier=identified(spec).source_identifier)


def check_right(specs: Sequence[QuerySpec], by: Any) -> None:
    """Raise JobFailed when a table of these is none the person may import into, now; `by` None is the installation."""
    for spec in specs:
        if by is None or not file_targets.is_table(spec.target_type):
            continue
        allowance = granted.import_allowance(by, _table(spec).name)
        if not allowance.can_import:
            name = file_targets.table_of(spec.target_type)
            raise JobFailed(say("You may not import into {name}.", name=name), code="permission_denied")
        closed = [
            field.target for field in spec.fields if field.target not in (allowance.allowed_columns or (field.target,))
        ]
        if closed:
            raise JobFailed(say("You may not write “{closed}”.", closed=closed[0]), code="permission_denied")


def most_rows(plan: TablePlan, by: Any) -> int | None:
    """The most rows the person may bring into the table at once; None: no limit but the source's."""
    return None if by is None else granted.import_allowance(by, plan.table.name).max_rows_per_import


def _typed(item: Mapped, goal: file_targets.Destination, rules: Sequence[Any]) -> Mapped:
    """The mapping with the checks of the table; a value whose own type decides is opened as JSON."""
    base = item.field.base
    is_json = base in DOCUMENTS or (base in WHOLE and item.source_type.startswith("numeric"))
    return replace(
        item,
        source_type="json" if is_json and not item.transforms else "text",
        checks=(*item.checks, *field_checks(goal.target, item.field, rules)),
    )


def _key(table: Table, outputs: Sequence[str]) -> tuple[str, ...]:
    return next((key for key in table.unique_keys if set(key) <= set(outputs)), ())


def _table(spec: QuerySpec) -> Table:
    try:
        return tables.find(file_targets.table_of(spec.target_type))
    except tables.UnknownTable as error:
        raise QueryError(str(error)) from None
