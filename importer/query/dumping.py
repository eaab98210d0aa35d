"""Turns a QuerySpec into JSON: texts for people beside the trees that count; `parse_spec` gives it back."""

from __future__ import annotations

from typing import Any

from .expressions import render, to_json
from .join_parsing import render_on
from .nodes import Node
from .operators import FILTER_OPERATORS
from .spec import Condition, Field, FilterGroup, Join, OrderItem, QuerySpec, RelativeDate, TableRef, Take, Value

Json = dict[str, Any]


def dump_spec(spec: QuerySpec) -> Json:
    """The canonical JSON of a query; a run's `restriction` is no part of it."""
    return {
        "version": spec.version,
        "key": spec.key,
        "name": spec.name,
        "entity": spec.entity,
        "kind": spec.kind,
        **_source(spec),
        "joins": [_join(join) for join in spec.joins],
        "fields": [_field(field) for field in spec.fields],
        "filters": _group(spec.filters),
        **_expressions("group_by", spec.group_by),
        "having": _group(spec.having),
        "distinct_on": _distinct_on(spec),
        "target_type": spec.target_type,
        "source_identifier": spec.source_identifier,
        "watermark": {"updated_at": spec.watermark.updated_at, "id": spec.watermark.id} if spec.watermark else None,
        "enabled": spec.enabled,
        "value_maps": {name: dict(values) for name, values in spec.value_maps.items()},
        "parameters": dict(spec.parameters),
    }


def _source(spec: QuerySpec) -> Json:
    if spec.kind == "sql":
        base = {"base_table": _table(spec.base)} if spec.base.name else {}
        return {**base, "sql": spec.sql, "params": dict(spec.params)}
    return {"base_table": _table(spec.base), **({"params": dict(spec.params)} if spec.params else {})}


def _table(table: TableRef) -> Json:
    return {"schema": table.schema, "table": table.name, "alias": table.alias}


def _expression(name: str, node: Node | None) -> Json:
    return {} if node is None else {name: render(node), f"{name}_tree": to_json(node)}


def _expressions(name: str, found: tuple[Node, ...]) -> Json:
    return {name: [render(node) for node in found], f"{name}_tree": [to_json(node) for node in found]}


def _join(join: Join) -> Json:
    conditions = [
        {
            **_expression("left", condition.left),
            "operator": condition.operator,
            **_expression("right", condition.right),
        }
        for condition in join.conditions
    ]
    return {
        "type": join.type,
        **_table(join.table),
        # Without pairs of columns the whole condition is in `where`.
        **({"conditions": conditions, "on": render_on(join.conditions)} if conditions else {}),
        **_expression("where", join.where),
        "take": _take(join.take),
    }


def _take(take: Take) -> Json | None:
    if take == Take():
        return None
    columns = [{"column": item.column, "function": item.function, "separator": item.separator} for item in take.columns]
    return {"mode": take.mode, "order_by": [_order(item) for item in take.order_by], "columns": columns}


def _order(item: OrderItem) -> Json:
    return {**_expression("expression", item.expression), "direction": item.direction, "nulls": item.nulls}


def _field(field: Field) -> Json:
    steps = [{"name": name, "params": dict(params)} for name, params in field.transformation]
    reference = field.reference
    data: Json = {
        **_expression("source", field.source),
        **({**_expressions("sources", field.sources), "separator": field.separator} if field.sources else {}),
        "target": field.target,
        "transformation": steps or None,
        "write_rule": field.write_rule,
        "empty_values": field.empty_values,
    }
    if field.validations:
        data["validations"] = [
            {"name": item.name, "params": dict(item.params), "severity": item.severity, "message": item.message}
            for item in field.validations
        ]
    if reference:
        data["reference"] = {"by": reference.by, "entity": reference.entity, "unresolved": reference.unresolved}
    return data


def _distinct_on(spec: QuerySpec) -> Json | None:
    found = spec.distinct_on
    if found is None:
        return None
    return {**_expressions("columns", found.columns), "order_by": [_order(item) for item in found.order_by]}


def _group(group: FilterGroup) -> Json:
    return {
        "op": group.op,
        "items": [_group(item) if isinstance(item, FilterGroup) else _condition(item) for item in group.items],
    }


def _condition(condition: Condition) -> Json:
    data: Json = {**_expression("field", condition.field), "operator": condition.operator}
    values = [_value(value) for value in condition.values]
    match FILTER_OPERATORS[condition.operator].arity:
        case "one":
            data["value"] = values[0]
        case "list" | "pair":
            data["value"] = values
        case "unit":
            data["value"] = {"unit": condition.unit, "value": values[0]}
    return data


def _value(value: Value) -> object:
    return {"relative": value.text} if isinstance(value, RelativeDate) else value
