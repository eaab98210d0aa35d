"""Filters over one of our tables (F-113, F-166): the language of queries, with columns for fields."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import sql

from exporter.errors import InvalidColumns, InvalidFields
from importer.query.binding import type_without_modifier
from importer.query.composing import Parameters, identifier
from importer.query.conditions import FilterComposer, scalar_text
from importer.query.filters import parse_filters
from importer.query.nodes import Column as ColumnNode
from importer.query.operators import FILTER_OPERATORS
from importer.query.problems import Problem
from importer.query.reading import Members
from importer.query.scope import Scope, ScopeTable
from importer.query.spec import Condition, FilterGroup, RelativeDate
from servicevault import tables
from servicevault.tables import Column, ForeignKey, Table
from servicevault.wording import say

RELATED = "r"  # the table that a key of ours leads to
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
    raise InvalidFields({where: [say("Filters are a list of {column, operator, value}.")]})


def _normalised_item(item: Any, columns: list[str], where: str, level: int) -> Any:
    if not isinstance(item, Mapping):
        raise InvalidFields({where: [say("A filter is an object {column, operator, value}.")]})
    if level > 10:
        raise InvalidFields({where: [say("The filters are nested too deeply.")]})
    if "items" in item or "op" in item:
        inner = item.get("items")
        if not isinstance(inner, list | tuple) or not inner:
            raise InvalidFields({where: [say("A group of filters needs at least one filter in `items`.")]})
        return {**item, "items": _normalised(inner, columns, f"{where}.items", level + 1)}
    return _condition(item, columns, where)


def _condition(item: Mapping[str, Any], columns: list[str], where: str) -> dict[str, Any]:
    for key in item:
        if key not in MEMBERS:
            raise InvalidFields(
                {f"{where}.{key}"[:120]: [say("There is no member `{key}` in a filter.", key=str(key)[:80])]}
            )
    column, operator = item.get("column"), item.get("operator")
    if not isinstance(column, str) or not column:
        raise InvalidFields({f"{where}.column": [say("Name the column of the filter.")]})
    if not isinstance(operator, str) or operator.strip().lower() == "expression":
        raise InvalidFields({f"{where}.operator": [say("Name an operator, for example equals or contains.")]})
    columns.append(column)
    if item.get("value") is None and operator.strip().lower() in _IS_NULL:
        operator = _IS_NULL[operator.strip().lower()]
    rest = {key: value for key, value in item.items() if key not in {"column", "operator"}}
    return {"field_tree": {"node": "column", "name": column, "table": ALIAS}, "operator": operator, **rest}


@dataclass(frozen=True)
class Related:
    """A column of the row that a key of the table leads to."""

    key: ForeignKey
    column: Column


def related(data: Any, table: Table) -> dict[str, Related]:
    """The columns of other tables that filters name as `customer_id.name`; four queries for each of these keys.

    For filters of a page: what people send knows the columns of the one table only.
    """
    found: dict[str, Related] = {}
    keys = {key.columns[0]: key for key in table.foreign_keys if len(key.columns) == 1}
    for name in sorted(_names(data) - set(table.by_name)):
        own, _, other = name.partition(".")
        if own in keys and other:
            with contextlib.suppress(tables.UnknownTable):  # an internal one: the name is unknown, as any other
                column = tables.find(keys[own].referred_table).by_name.get(other)
                if column is not None and not column.sensitive:
                    found[name] = Related(keys[own], column)
    return found


def _names(data: Any) -> set[str]:
    if isinstance(data, Mapping):
        own = {data["column"]} if isinstance(data.get("column"), str) else set()
        return own.union(*(_names(each) for each in data.values()))
    if isinstance(data, list | tuple):
        return set().union(*map(_names, data))
    return set()


@dataclass(frozen=True)
class _Composer(FilterComposer):
    related: Mapping[str, Related] = field(default_factory=dict)

    def condition(self, condition: Condition) -> sql.Composable:
        found, leads = super().condition(condition), self._leads(condition)
        if leads is None:
            return found
        # As a set, made once: many rows lead to few others.
        return sql.SQL("({}.{} IN (SELECT {}.{} FROM {} AS {} WHERE {}))").format(
            sql.Identifier(ALIAS),
            identifier(leads.key.columns[0]),
            sql.Identifier(RELATED),
            identifier(leads.key.referred_columns[0]),
            identifier(leads.key.referred_schema, leads.key.referred_relation),
            sql.Identifier(RELATED),
            found,
        )

    def operand(self, condition: Condition) -> sql.Composable:
        leads = self._leads(condition)
        if leads is None:
            return super().operand(condition)
        return sql.SQL("{}.{}").format(sql.Identifier(RELATED), identifier(leads.column.name))

    def _leads(self, condition: Condition) -> Related | None:
        return self.related.get(condition.field.name) if isinstance(condition.field, ColumnNode) else None


def compose(
    group: FilterGroup,
    table: Table,
    parameters: Parameters,
    *,
    now: datetime,
    beside: Mapping[str, Related] | None = None,
) -> sql.Composable | None:
    """The condition in SQL, its values bound; None when there is nothing to filter. Relative dates count in UTC."""
    types = {name: type_without_modifier(kind) for name, kind in _types(table, beside).items()}
    scope = Scope((ScopeTable(ALIAS, ALIAS, "", types, ALIAS),))
    return _Composer(scope, parameters, now, "UTC", related=beside or {}).group(group, "filters")


def typed_values(
    group: FilterGroup, table: Table, beside: Mapping[str, Related] | None = None
) -> list[tuple[str, str, str]]:
    """(column, type, text) of each value that must be of its column's type."""
    types = _types(table, beside)
    return [
        (condition.field.name, types[condition.field.name], scalar_text(value))
        for condition in _conditions(group)
        if FILTER_OPERATORS[condition.operator].shape in _BY_VALUE and isinstance(condition.field, ColumnNode)
        for value in condition.values
        if not isinstance(value, RelativeDate)
    ]


def _types(table: Table, beside: Mapping[str, Related] | None) -> dict[str, str]:
    return {
        **{name: leads.column.sql_type for name, leads in (beside or {}).items()},
        **{column.name: column.sql_type for column in table.columns},
    }


def _conditions(group: FilterGroup) -> Iterator[Condition]:
    for item in group.items:
        if isinstance(item, FilterGroup):
            yield from _conditions(item)
        else:
            yield item
