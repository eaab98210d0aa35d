"""How rows go into a table as it is: by which key they are recognised, what the table itself demands of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.utils import timezone
from psycopg import sql

from importer.file_targets import Destination
from importer.modes import Mode
from importer.options import InvalidOption
from importer.pipeline.columns import MOMENTS, Cells
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.tables.plan import Strategy, TableCheck, TablePlan
from servicevault.tables import Table
from servicevault.wording import say

UNCOMPARED = {"json", "xml", "point", "polygon", "box", "path", "line", "circle"}  # have no order to group by


def plan_table(
    goal: Destination,
    mapped: tuple[Mapped, ...],
    *,
    strategy: Strategy,
    duplicate_key: Sequence[str] = (),
    rules: Sequence[Mapping[str, Any]] = (),
    zone: str = "UTC",
    cells: Cells | None = None,
    record_unchanged: bool = False,
    by: Any = None,
) -> TablePlan:
    """The plan of rows whose columns are mapped so. Raises InvalidOption for what cannot be right."""
    table = goal.table
    filled = {item.field.name for item in mapped}
    key = _key(table, duplicate_key, filled)
    wanted_once = [(rule["column"],) for rule in rules if rule["rule"] == "unique" and rule["column"] in filled]
    for (column,) in wanted_once:
        _require_equality(table, column, "import_options.validation_rules")
    uniques = [found for found in (*table.unique_keys, *wanted_once) if set(found) <= filled and set(found) != set(key)]
    load = LoadPlan(
        target=goal.target,
        mapped=mapped,
        entity_id=0,
        version_id=0,
        searched={},
        mode=Mode.UPSERT if strategy == "update" else Mode.CREATE,
        timezone=zone,
        record_unchanged=record_unchanged,
        cells=cells or Cells(),
    )
    return TablePlan(
        load=load,
        table=table,
        key=key,
        strategy=strategy,
        unique=tuple(dict.fromkeys(uniques)),
        foreign=tuple(
            found
            for found in table.foreign_keys
            if set(found.columns) <= filled
            and found.referred_table != table.name  # its own rows may come with the file
        ),
        checks=_checks(table, filled),
        fills=_fills(table, filled, by),
        touches="updated_at" if "updated_at" in table.by_name and "updated_at" not in filled else "",
        year=timezone.now().year,
    )


def _key(table: Table, chosen: Sequence[str], filled: set[str]) -> tuple[str, ...]:
    """The columns by which rows are recognised (F-057)."""
    where = "import_options.duplicate_key"
    if chosen:
        for column in chosen:
            if column not in filled:
                raise InvalidOption(say("“{column}” recognises no row: it is not mapped.", column=column), where=where)
            _require_equality(table, column, where)
        if set(chosen) not in [set(known) for known in table.unique_keys]:
            _refuse_collisions(table, chosen)
        return tuple(chosen)
    return next((known for known in table.unique_keys if set(known) <= filled), ())


def _require_equality(table: Table, column: str, where: str) -> None:
    if table.by_name[column].base in UNCOMPARED:
        raise InvalidOption(
            say("“{column}” is {type}: no two values of that compare.", column=column, type=table.by_name[column].type),
            where=where,
        )


def _refuse_collisions(table: Table, key: Sequence[str]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, key))
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(column)) for column in key)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1) k").format(
                table.identifier, filled, columns
            )
        )
        collisions = cursor.fetchone()[0]
    if collisions:
        raise InvalidOption(
            say(
                "{key} is not unique in {table}: {collisions:,} values occur more than once.",
                key=", ".join(key),
                table=table.name,
                collisions=collisions,
            ),
            hint=say("Choose a key that tells the rows apart."),
            where="import_options.duplicate_key",
        )


def _checks(table: Table, filled: set[str]) -> tuple[TableCheck, ...]:
    found = []
    for (name, text), columns in zip(table.checks, table.check_columns, strict=True):
        condition = text.removeprefix("CHECK ").removesuffix(" NOT VALID").removesuffix(" NO INHERIT")
        if set(columns) & filled and condition.startswith("("):
            found.append(TableCheck(name, condition, columns))
    return tuple(found)


def _fills(table: Table, filled: set[str], by: Any) -> dict[str, tuple[Any, str]]:
    """Stamps that the file does not bring (F-066)."""
    found: dict[str, tuple[Any, str]] = {}
    now = timezone.now()
    for name in ("created_at", "updated_at"):
        column = table.by_name.get(name)
        if column is not None and name not in filled and column.writable and column.base in MOMENTS:
            found[name] = (now, column.sql_type)
    for name in ("created_by", "created_by_id"):
        column = table.by_name.get(name)
        if by is None or column is None or name in filled or not column.writable:
            continue
        if column.base == "uuid":
            found[name] = (by.pk, "uuid")
        elif column.is_text:
            found[name] = (str(by.email or by.username)[: column.max_length or 255], "text")
    return found
