"""Composes the filters of a query: each operator of `operators` has one shape here, each value is bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from psycopg import sql

from .binding import moment_type
from .composing import Parameters, array_text, binary, call, cast, compose, operator
from .nodes import Node
from .operators import FILTER_OPERATORS, FilterOperator, escape_like
from .relative import evaluate
from .scope import Scope
from .spec import Condition, FilterGroup, RelativeDate, Value


@dataclass(frozen=True)
class FilterComposer:
    scope: Scope
    params: Parameters
    now: datetime  # aware; what relative dates are counted from
    zone: str  # name of the time zone they are counted in
    members: list[tuple[str, sql.Composable]] = field(default_factory=list)  # (path, its SQL), for errors of the source

    def group(self, group: FilterGroup, path: str) -> sql.Composable | None:
        """The SQL of `group`, which stands at `path` of the query; None when it is empty."""
        found: list[sql.Composable] = []
        for index, item in enumerate(group.items):
            inner = f"{path}[{index}]"
            if isinstance(item, FilterGroup):
                if part := self.group(item, f"{inner}.items"):
                    found.append(part)
                continue
            condition = self.condition(item)
            self.members.append((inner, condition))
            found.append(condition)
        if not found:
            return None
        joint = sql.SQL(" OR ") if group.op == "or" else sql.SQL(" AND ")
        together = sql.SQL("({})").format(joint.join(found))
        return sql.SQL("(NOT {})").format(together) if group.op == "not" else together

    def condition(self, condition: Condition) -> sql.Composable:
        found = FILTER_OPERATORS[condition.operator]
        writers: dict[str, Callable[[Condition, FilterOperator], sql.Composable]] = {
            "compare": self.compare,
            "like": self.like,
            "escaped": self.like,
            "pattern": self.like,
            "in": self.one_of,
            "null": self.null,
            "between": self.between,
            "date_trunc": self.truncated,
            "expression": lambda condition, _: self.operand(condition),
        }
        return writers[found.shape](condition, found)

    def operand(self, condition: Condition) -> sql.Composable:
        return compose(condition.field, self.scope, self.params)

    def value(self, node: Node, value: Value) -> sql.Composable:
        """`value` bound without a type, so that PostgreSQL reads it as the type of `node`."""
        return self.params.bind(self.text(node, value), ("filter", node))

    def text(self, node: Node, value: Value) -> str:
        if isinstance(value, RelativeDate):
            return moment_text(evaluate(value.text, self.now, self.zone), moment_type(node, self.scope))
        return scalar_text(value)

    def compare(self, condition: Condition, found: FilterOperator) -> sql.Composable:
        return binary(self.operand(condition), found.symbol, self.value(condition.field, condition.values[0]))

    def like(self, condition: Condition, found: FilterOperator) -> sql.Composable:
        value = self.text(condition.field, condition.values[0])
        if found.shape == "escaped":
            value = f"{found.before}{escape_like(value)}{found.after}"
        pattern = cast(self.params.bind(value, "text"), "text")
        return binary(cast(self.operand(condition), "text"), found.symbol, pattern)

    def one_of(self, condition: Condition, found: FilterOperator) -> sql.Composable:
        texts: list[str | None] = [self.text(condition.field, value) for value in condition.values]
        values = self.params.bind(array_text(texts), ("array", condition.field))
        test = sql.SQL("({}{}ANY ({}))").format(self.operand(condition), operator(found.symbol), values)
        return sql.SQL("(NOT {})").format(test) if found.negated else test

    def null(self, condition: Condition, found: FilterOperator) -> sql.Composable:
        test = sql.SQL("IS NOT NULL") if found.negated else sql.SQL("IS NULL")
        return sql.SQL("({} {})").format(self.operand(condition), test)

    def between(self, condition: Condition, found: FilterOperator) -> sql.Composable:
        low, high = (self.value(condition.field, value) for value in condition.values)
        field = self.operand(condition)
        test = sql.SQL("({} AND {})").format(binary(field, ">=", low), binary(field, "<=", high))
        return sql.SQL("(NOT {})").format(test) if found.negated else test

    def truncated(self, condition: Condition, found: FilterOperator) -> sql.Composable:
        unit = cast(self.params.bind(condition.unit, "text"), "text")
        value = self.params.bind(self.text(condition.field, condition.values[0]), ("truncated", condition.field))
        return binary(call("date_trunc", unit, self.operand(condition)), found.symbol, value)


def scalar_text(value: Value) -> str:
    """A JSON value as PostgreSQL reads it in any type it fits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def moment_text(moment: datetime, type_name: str) -> str:
    """A local time as text for a column of `type_name`: with its offset only where the column keeps one."""
    if type_name == "date":
        return moment.date().isoformat()
    if type_name == "timestamptz":
        return moment.astimezone(UTC).isoformat(sep=" ")
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def day_text(moment: date | datetime, type_name: str, zone: str) -> str:
    """A date or an instant of a run's options as text for a column of `type_name`."""
    if not isinstance(moment, datetime):
        midnight = evaluate("today", datetime(moment.year, moment.month, moment.day, 12, tzinfo=UTC), "UTC")
        if type_name != "timestamptz":
            return moment.isoformat()
        return moment_text(_in_zone(midnight, zone), type_name)
    if moment.tzinfo is None:
        return moment_text(_in_zone(moment, zone), type_name)
    return moment_text(evaluate("now", moment, zone), type_name)


def _in_zone(moment: datetime, zone: str) -> datetime:
    """The same wall clock time in `zone`."""
    tzinfo = evaluate("now", datetime(2000, 1, 1, tzinfo=UTC), zone).tzinfo
    return moment.replace(tzinfo=tzinfo)
