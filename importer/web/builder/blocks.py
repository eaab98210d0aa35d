"""What the templates of the blocks show, made from the bench and from what is known of the draft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from importer.sources.schema import Table
from importer.web.builder import fields, filters, grouping, joins, ordering, sql
from importer.web.builder.body import Body, alias_of
from importer.web.builder.facts import Facts, told
from importer.web.builder.workbench import Workbench


@dataclass(frozen=True)
class JoinView:
    """One join as its form shows it."""

    number: int
    join: Body
    alias: str
    table: str
    is_known: bool
    pairs: list[Body]
    take: str
    order: str
    direction: str
    columns: list[Body]
    line: str
    kind: str

    @property
    def number_text(self) -> str:
        return str(self.number)

    @property
    def note(self) -> str:
        return f"b-joins-{self.number}-note"


def blocks_of(bench: Workbench, facts: Facts) -> dict[str, Any]:
    """Everything the middle of the page shows."""
    return {
        "base": bench.tables[0] if bench.tables else None,
        "join_views": [_join(bench, number, join) for number, join in enumerate(bench.body["joins"])],
        "join_types": joins.TYPE_WORDS.items(),
        "join_operators": joins.OPERATORS,
        "takes": joins.TAKE_WORDS.items(),
        "aggregates": joins.AGGREGATE_WORDS,
        "table_names": _table_names(bench),
        "table": fields.table_of(bench),
        "options": bench.options,
        "filter_tree": filters.tree_of(bench, "filters"),
        "having_tree": filters.tree_of(bench, "having"),
        "grouping": grouping.grouping_of(bench),
        "grouping_modes": grouping.MODES.items(),
        "ordering": ordering.ordering_of(bench),
        "ordering_columns": ordering.choices(bench),
        "ordering_limits": ordering.LIMITS,
        "sql_parameters": sql.parameters_of(bench),
        "facts": facts,
        **told(bench, facts),
    }


def _shown_name(bench: Workbench, table: Table) -> str:
    """The table's name, with its schema where the name alone would not find it."""
    return table.name if table.schema in bench.schema.search_schemas else table.full_name


MOST_NAMES = 300  # in the list of the table inputs; the tree on the left finds the others


def _table_names(bench: Workbench) -> list[str]:
    named = [_shown_name(bench, table) for table in bench.schema.tables]
    return [*(view.name for view in bench.schema.views), *named][:MOST_NAMES]


def _join(bench: Workbench, number: int, join: Body) -> JoinView:
    alias, take = alias_of(join), join.get("take") or {}
    first: Any = next(iter(take.get("order_by") or []), {})
    first = first if isinstance(first, dict) else {"expression": str(first)}
    known = bench.find(join)
    return JoinView(
        number=number,
        join=join,
        alias=alias,
        table=_shown_name(bench, known) if isinstance(known, Table) else str(join.get("table") or ""),
        is_known=known is not None or bench.source is None,
        pairs=join.get("conditions") or [],
        take=str(take.get("mode") or "all"),
        order=str(first.get("expression") or ""),
        direction=str(first.get("direction") or "asc"),
        columns=take.get("columns") or [],
        line=_line(join, alias),
        kind=str(join.get("type") or "left").lower().replace(" join", ""),
    )


def _line(join: Body, alias: str) -> str:
    """The join as a line of SQL to read."""
    pairs = [
        f"{pair.get('left')} {pair.get('operator', '=')} {pair.get('right')}" for pair in join.get("conditions") or []
    ]
    on = " AND ".join([*pairs, *([str(join["where"])] if join.get("where") else [])])
    name = f"{join['schema']}.{join['table']}" if join.get("schema") else str(join.get("table"))
    named = name if alias == join.get("table") else f"{name} AS {alias}"
    return f"{str(join.get('type') or 'left').upper()} JOIN {named} ON {on or '…'}"
