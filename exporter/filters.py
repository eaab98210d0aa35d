"""Filters over one of our tables (F-113, F-166): the language of queries, with columns for fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from psycopg import sql

from exporter.errors import InvalidColumns, InvalidFields
from importer.query.binding import type_without_modifier
from importer.query.composing import Parameters
from importer.query.conditions import FilterComposer, scalar_text
from importer.query.filters import parse_filters
from importer.query.nodes import Column as ColumnNode
from importer.query.operators import FILTER_OPERATORS
from importer.query.problems import Problem
from importer.query.reading import Members
from importer.query.scope import Scope, ScopeTable
from importer.query.spec import Condition, FilterGroup, RelativeDate
from servicevault.tables import Table

ALIAS = "t"  # of the table, in every statement of an export
MEMBERS = {"column", "operator", "value", "value2", "unit"}
_BY_VALUE = {"compare", "in", "between"}  # shapes whose values must be of the column's type
_IS_NULL = {"=": "IS NULL", "equals": "IS NULL", "!=": "IS NOT NULL", "not_equals": "IS NOT NULL"}


def parse(data: Any, table: Table, permitted: Mapping[str, Any], *, where: str = "filters") -> FilterGroup:
    """The filters as a tree: a list (AND), a group, one condition, or an object of column → value.

    Raises InvalidColumns for columns that are not permitted, InvalidFields for anything that is not a filter: never
    an unfiltered export.
    """
    columns: list[str] = []
    found = _normalised(data, columns, where, 1)
    if unknown := [name for name in dict.fromkeys(columns) if name not in permitted]:
        raise InvalidColumns(table.name, unknown)
    problems: list[Problem] = []
    group = parse_filters(Members({where: found}, "", problems), where)
    if problems:
        errors: dict[str, list[str]] = {}
        for problem in problems:
            errors.setdefault(problem.path, []).append(f"{problem.message} {problem.hint}".strip())
        raise InvalidFields(errors)
    return group


def _normalised(data: Any, columns: list[str], where: str, level: int) -> Any:
    """The same filters as queries write them; `columns` collects the names."""
    if data in (None, [], {}, ()):
        return []
    if isinstance(data, list | tuple):
        return [_normalised_item(item, columns, f"{where}[{index}]", level) for index, item in enumerate(data)]
    if isinstance(data, Mapping):
        if "items" in data or "op" in data or MEMBERS & set(data):
            return _normalised_item(data, columns, where, level)
        return [
            _condition({"column": name, "operator": "equals", "value": value}, columns, where)
            for name, value in data.items()
        ]
    raise InvalidFields({where: ["Filters are a list of {column, operator, value}."]})


def _normalised_item(item: Any, columns: list[str], where: str, level: int) -> Any:
    if not isinstance(item, Mapping):
        raise InvalidFields({where: ["A filter is an object {column, operator, value}."]})
    if level > 10:
        raise InvalidFields({where: ["The filters are nested too deeply."]})
    if "items" in item or "op" in item:
        inner = item.get("items")
        if not isinstance(inner, list | tuple) or not inner:
            raise InvalidFields({where: ["A group of filters needs at least one filter in `items`."]})
        return {**item, "items": _normalised(inner, columns, f"{where}.items", level + 1)}
    return _condition(item, columns, where)


def _condition(item: Mapping[str, Any], columns: list[str], where: str) -> dict[str, Any]:
    for key in item:
        if key not in MEMBERS:
            raise InvalidFields({f"{where}.{key}"[:120]: [f"There is no member `{str(key)[:80]}` in a filter."]})
    column, operator = item.get("column"), item.get("operator")
    if not isinstance(column, str) or not column:
        raise InvalidFields({f"{where}.column": ["Name the column of the filter."]})
    if not isinstance(operator, str) or operator.strip().lower() == "expression":
        raise InvalidFields({f"{where}.operator": ["Name an operator, for example equals or contains."]})
    columns.append(column)
    if item.get("value") is None and operator.strip().lower() in _IS_NULL:
        operator = _IS_NULL[operator.strip().lower()]
    rest = {key: value for key, value in item.items() if key not in {"column", "operator"}}
    return {"field_tree": {"node": "column", "name": column, "table": ALIAS}, "operator": operator, **rest}


def compose(group: FilterGroup, table: Table, parameters: Parameters, *, now: datetime) -> sql.Composable | None:
    """The condition in SQL, its values bound; None when there is nothing to filter. Relative dates count in UTC."""
    types = {column.name: type_without_modifier(column.sql_type) for column in table.columns}
    scope = Scope((ScopeTable(ALIAS, ALIAS, "", types, ALIAS),))
    return FilterComposer(scope, parameters, now, "UTC").group(group, "filters")


def typed_values(group: FilterGroup, table: Table) -> list[tuple[str, str, str]]:
    """(column, type, text) of each value that must be of its column's type."""
    return [
        (condition.field.name, table.by_name[condition.field.name].sql_type, scalar_text(value))
        for condition in _conditions(group)
        if FILTER_OPERATORS[condition.operator].shape in _BY_VALUE and isinstance(condition.field, ColumnNode)
        for value in condition.values
        if not isinstance(value, RelativeDate)
    ]


def _conditions(group: FilterGroup) -> Iterator[Condition]:
    for item in group.items:
        if isinstance(item, FilterGroup):
            yield from _conditions(item)
        else:
            yield item
