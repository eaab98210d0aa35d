"""Judges a query against the map of its source, before anything is sent there (Q31 without data)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal
from uuid import UUID

from importer.sources.schema import SourceSchema, Table
from servicevault.wording import say, say_count

from . import nodes
from .binding import BoundQuery, bind, moment_type
from .functions import AGGREGATES
from .joins import used_columns
from .nodes import Node
from .operators import FILTER_OPERATORS
from .problems import Problem, nearest
from .rendering import render
from .spec import MANY_JOINS, Condition, FilterGroup, QuerySpec, RelativeDate, Value

Complexity = Literal["simple", "moderate", "complex"]
Alternatives = Mapping[str, Collection[Collection[str]]]
NAME_PARTS: Alternatives = {"name": [("first_name", "last_name")]}  # E15: a name may come in two parts
LARGE_TABLE = 1_000_000  # rows; Q31 unindexed_join


def validate(
    spec: QuerySpec,
    schema: SourceSchema,
    *,
    target_fields: Collection[str],
    must_map: Collection[str],
    alternatives: Alternatives = NAME_PARTS,
) -> list[Problem]:
    """Errors and warnings of a query that need no data, errors first.

    `target_fields` are the fields of the target type, empty for "any"; `custom_fields.<key>` is always one.
    `alternatives` are groups of fields that stand in for one that must be mapped.
    """
    bound = bind(spec, schema)
    found = [*bound.problems, *_target_problems(spec, target_fields, must_map, alternatives)]
    if not any(problem.code in ("unknown_table", "sql_rejected") for problem in found):
        found += [
            *_group_problems(bound),
            *_take_problems(bound),
            *_value_problems(bound),
            *_warnings(bound),
            *_unindexed_joins(bound),
        ]
    # A comparison of unlike types may still be what PostgreSQL accepts: the source decides when it prepares.
    judged = [replace(problem, severity="warning") if problem.code == "type_mismatch" else problem for problem in found]
    return sorted(judged, key=lambda problem: not problem.is_error)


def complexity(spec: QuerySpec) -> Complexity:
    """How much there is to understand in a query (Q18)."""
    score = 2 * len(spec.joins) + len(list(conditions(spec.filters))) + len(spec.fields) // 5
    if score <= 3:
        return "simple"
    return "moderate" if score <= 8 else "complex"


def performance(rows: int) -> Literal["fast", "moderate", "slow"]:
    """What to expect of a query with so many rows (Q18)."""
    if rows > 100_000:
        return "slow"
    return "moderate" if rows > 10_000 else "fast"


def conditions(group: FilterGroup, path: str = "filters") -> Iterator[tuple[str, Condition]]:
    """The conditions of nested filters with their paths."""
    for index, item in enumerate(group.items):
        inner = f"{path}[{index}]"
        if isinstance(item, Condition):
            yield inner, item
        else:
            yield from conditions(item, f"{inner}.items")


# -- targets


def _target_problems(
    spec: QuerySpec, target_fields: Collection[str], must_map: Collection[str], alternatives: Alternatives
) -> Iterator[Problem]:
    counts = Counter(field.target for field in spec.fields)
    for index, field in enumerate(spec.fields):
        path = f"fields[{index}].target"
        if counts[field.target] > 1:
            yield Problem(
                path, say("`{target}` is filled by more than one field.", target=field.target), code="duplicate_target"
            )
        if target_fields and field.target not in target_fields and not field.target.startswith("custom_fields."):
            closest = nearest(field.target, target_fields)
            hint = (
                say("Closest: `{closest}`.", closest=closest)
                if closest
                else say("Use custom_fields.<name> to keep it.")
            )
            yield Problem(
                path,
                say("`{target}` is not a field of {target_type}.", target=field.target, target_type=spec.target_type),
                hint,
                "unknown_target",
            )
    outputs = set(counts)
    if not spec.fields and spec.kind == "sql":
        return  # The columns are known once the source has described them.
    if spec.source_identifier not in outputs:
        yield _warning(
            "source_identifier", say("No field fills `{source_identifier}`.", source_identifier=spec.source_identifier),
            say("Map the source's key to it, so that a row is recognised again."), "missing_external_id",
        )  # fmt: skip
    for target in must_map:
        stood_in = any(outputs.issuperset(group) for group in alternatives.get(target, ()))
        if target not in outputs and not stood_in and target != spec.source_identifier:
            yield _warning(
                "fields",
                say("`{target}` must be mapped.", target=target),
                say("Map a field to it."),
                "unmapped_required",
            )


def _warning(path: str, message: str, hint: str, code: str) -> Problem:
    return Problem(path, message, hint, code, severity="warning")


# -- grouping and taking


def _group_problems(bound: BoundQuery) -> Iterator[Problem]:
    spec = bound.spec
    if not spec.group_by:
        if spec.having.items:
            yield Problem(
                "having", say("having needs group_by."), say("Use filters, or group the rows."), "group_by_rule"
            )
        return
    grouped = set(spec.group_by)
    for index, field in enumerate(spec.fields):
        sources = (field.source,) if field.source is not None else field.sources
        if not all(_is_grouped(node, grouped) for node in sources):
            message = say("`{target}` is neither in group_by nor an aggregate.", target=field.target)
            yield Problem(
                f"fields[{index}].source", message, say("Add it to group_by, or use MIN or MAX."), "group_by_rule"
            )


def _is_grouped(node: Node, grouped: set[Node]) -> bool:
    if node in grouped or (isinstance(node, nodes.Call) and node.function in AGGREGATES):
        return True
    if isinstance(node, nodes.Column):
        return False
    return all(_is_grouped(child, grouped) for child in node.children)


def _take_problems(bound: BoundQuery) -> Iterator[Problem]:
    for index, join in enumerate(bound.spec.joins):
        path = f"joins[{index}].take"
        take = join.take
        if take.mode != "all" and join.type in ("right", "full"):
            yield Problem(path, say("A {type} join takes all rows.", type=join.type), say("Use an inner or left join."))
        if take.mode in ("first", "last") and not take.order_by:
            yield Problem(
                f"{path}.order_by", say("Say which row is the {mode} one: order_by is missing.", mode=take.mode)
            )
        if take.mode == "aggregate":
            known = {item.column for item in take.columns}
            for name in used_columns(bound.spec, bound.relation(join).scope.alias, without=join):
                if name not in known:
                    yield Problem(f"{path}.columns", say("Say how the values of `{name}` become one.", name=name))


# -- values


def _value_problems(bound: BoundQuery) -> Iterator[Problem]:
    for path, condition in conditions(bound.spec.filters):
        operator = FILTER_OPERATORS[condition.operator]
        if operator.shape not in ("compare", "in", "between") or not isinstance(condition.field, nodes.Column):
            continue
        type_name = bound.scope.type_of(condition.field)
        for value in condition.values:
            if not isinstance(value, RelativeDate) and not _fits(value, type_name):
                message = say(
                    "`{field}` is {type_name}; `{value}` is not a value of it.",
                    field=render(condition.field),
                    type_name=type_name,
                    value=str(value)[:60],
                )
                yield Problem(f"{path}.value", message, code="bad_value")
                break


_WHOLE = frozenset({"smallint", "integer", "bigint"})
_TRUTHS = frozenset({"true", "false", "t", "f", "yes", "no", "on", "off", "1", "0", "y", "n"})


def _fits(value: Value, type_name: str) -> bool:
    """Whether PostgreSQL would read `value` as `type_name`; True when only it can tell."""
    text = str(value).strip()
    try:
        if type_name in _WHOLE:
            return re.fullmatch(r"[+-]?[0-9]{1,19}", text) is not None
        if type_name == "numeric":
            Decimal(text)
        elif type_name == "boolean":
            return text.lower() in _TRUTHS
        elif type_name == "uuid":
            UUID(text)
        elif type_name in ("date", "timestamp without time zone", "timestamp with time zone"):
            if iso := re.match(r"(\d{4}-\d{2}-\d{2})(?!\d)", text):
                date.fromisoformat(iso[1])
            else:
                return re.search(r"\d|now|today|yesterday|tomorrow|infinity|epoch", text, re.IGNORECASE) is not None
    except (ValueError, InvalidOperation):
        return False
    return True


# -- warnings


def _warnings(bound: BoundQuery) -> Iterator[Problem]:
    spec = bound.spec
    if not spec.filters.items and spec.kind == "builder":
        yield _warning(
            "filters",
            say("The query has no filter: every row is read."),
            say("Add one if not all are wanted."),
            "no_filter",
        )
    if len(spec.joins) > MANY_JOINS:
        yield _warning(
            "joins",
            say_count("The query joins {count} table.", "The query joins {count} tables.", len(spec.joins)),
            say("Check that each is needed."),
            "many_joins",
        )
    for index, join in enumerate(spec.joins):
        alias = bound.relation(join).scope.alias
        if join.type != "inner" and not used_columns(spec, alias, without=join):
            yield _warning(
                f"joins[{index}]", say("No field and no filter uses `{alias}`.", alias=alias), say("Remove the join if it is not needed."),
                "unused_join",
            )  # fmt: skip
    for index, field in enumerate(spec.fields):
        if field.source is not None and moment_type(field.source, bound.scope) == "timestamp":
            yield _warning(
                f"fields[{index}].source", say("`{source}` has no time zone.", source=render(field.source)),
                say("It is read in the profile's source time zone; check that this is set."), "naive_timestamp",
            )  # fmt: skip


def _unindexed_joins(bound: BoundQuery) -> Iterator[Problem]:
    for index, join in enumerate(bound.spec.joins):
        table = bound.relation(join).source
        if not isinstance(table, Table) or (table.row_estimate or 0) <= LARGE_TABLE:
            continue
        keys = [item.right.name for item in join.conditions if isinstance(item.right, nodes.Column)]
        led = {found.columns[0] for found in table.indexes if found.columns} | set(table.primary_key[:1])
        led |= {key[0] for key in table.unique_keys}
        if keys and not led.intersection(keys):
            yield _warning(
                f"joins[{index}]", say("`{table}` has no index on {keys}.", table=table.full_name, keys=', '.join(keys)),
                say("The join may be slow on the source."), "unindexed_join",
            )  # fmt: skip
