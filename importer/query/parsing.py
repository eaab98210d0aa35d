"""Turns the JSON of a query into a QuerySpec, whichever of the guides' shapes it has (Q21, Q6)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, cast

from . import nodes, spec
from .filters import parse_filters
from .functions import AGGREGATES
from .grammar import INFIX
from .nodes import Node
from .operators import join_type
from .problems import Problem, QueryProblems, nearest
from .reading import Members, scalar_fault, text_fault
from .rendering import render
from .spec import Field, Join, JoinCondition, OrderItem, QuerySpec, TableRef, Take, TakeColumn

_JOIN_OPERATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TARGET_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}|table:[^\x00]{1,200}")


def parse_spec(data: Mapping[str, Any], *, target_types: Collection[str] | None = None) -> QuerySpec:
    """The query that `data` describes: a body of the API, a query of a pack, or what `dump_spec` wrote.

    Unknown members at the top are ignored, elsewhere refused. `target_types`, when given, are the only ones
    allowed besides `table:<name>`.

    Raises QueryProblems (a QueryError) with every problem found.
    """
    problems: list[Problem] = []
    if fault := _size_fault(data):
        raise QueryProblems([Problem("", fault)])
    members = Members(data, "", problems)
    query = _query(members, target_types)
    if problems:
        raise QueryProblems(problems)
    return query


def _size_fault(data: object) -> str:
    """What makes `data` too large to look at; stored trees are bounded on their own."""
    size = 0
    pending: list[tuple[object, int]] = [(data, 1)]
    while pending:
        value, level = pending.pop()
        if level > spec.MAX_LEVELS:
            return f"The query is nested deeper than {spec.MAX_LEVELS} levels."
        size += len(value.encode("utf-8", "replace")) if isinstance(value, str) else 4
        if isinstance(value, Mapping):
            pending.extend((item, level + 1) for key, item in value.items() if not str(key).endswith("_tree"))
            size += sum(len(str(key)) for key in value)
        elif isinstance(value, list | tuple):
            pending.extend((item, level + 1) for item in value)
        if size > spec.MAX_BYTES:
            return f"The query is larger than {spec.MAX_BYTES // 1024} KiB."
    return ""


def _query(members: Members, target_types: Collection[str] | None) -> QuerySpec:
    target_type = _target_type(members, target_types)
    kind = members.choice("kind", ("builder", "sql"), "builder")
    aliases: dict[str, None] = {}
    base = _base(members, kind, aliases)
    joins = tuple(
        join
        for index, item in enumerate(members.items("joins", spec.MAX_JOINS))
        if (join := _join(Members(item, f"joins[{index}]", members.problems), base, aliases, first=index == 0))
    )
    fields = _fields(members)
    if kind == "builder" and not fields and not members.data.get("fields"):
        members.fault("fields", "Map at least one field.", code="no_fields")
    key = members.text("key", limit=64) or re.sub(r"[^a-z0-9_-]+", "_", target_type.lower()).strip("_-")[:64]
    if target_type and not _KEY.fullmatch(key):
        members.fault("key", "A key has 1 to 64 small letters, digits, _ and -.")
    watermark = Members(members.data["watermark"], "watermark", members.problems) if members.has("watermark") else None
    if watermark:
        watermark.only("updated_at", "id")
    return QuerySpec(
        version=spec.VERSION,
        key=key,
        name=members.text("name"),
        entity=members.text("entity") or key,
        base=base,
        joins=joins,
        fields=fields,
        filters=parse_filters(members, "filters"),
        group_by=members.expressions("group_by", spec.MAX_FIELDS),
        having=parse_filters(members, "having"),
        distinct_on=_distinct_on(members),
        target_type=target_type,
        source_identifier=members.text("source_identifier") or "external_id",
        watermark=spec.Watermark(watermark.text("updated_at"), watermark.text("id")) if watermark else None,
        enabled=members.flag("enabled", default=True),
        kind=cast(Any, kind),
        sql=_raw_text(members) if kind == "sql" else "",
        params=_raw_params(members),
        value_maps=_value_maps(members),
        parameters=members.pairs("parameters"),
    )


def _target_type(members: Members, allowed: Collection[str] | None) -> str:
    value = members.text("target_type")
    known = allowed is None or value in allowed or value.startswith("table:")
    if not value:
        members.fault("target_type", "Say what the rows become: target_type is missing.", code="missing_target_type")
    elif not known or not _TARGET_TYPE.fullmatch(value):
        closest = nearest(value, allowed or ())
        hint = f"Did you mean {closest}?" if closest else ""
        members.fault("target_type", f"`{value[:60]}` is not a target type.", hint=hint, code="unknown_target_type")
    return value


def _raw_text(members: Members) -> str:
    text = members.text("sql", limit=spec.MAX_BYTES)
    if not text.strip() and not members.problems:
        members.fault("sql", "The query has no SQL.")
    return text


def _raw_params(members: Members) -> spec.Params:
    pairs = members.pairs("params")
    for name, value in pairs:
        if fault := scalar_fault(value):
            members.fault(f"params.{name[:60]}", fault)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name):
            members.fault(f"params.{name[:60]}", "A parameter is named by letters, digits and _.")
    return pairs


def _value_maps(members: Members) -> dict[str, Mapping[str, object]]:
    maps = dict(members.pairs("value_maps"))
    for name, value in maps.items():
        if not isinstance(value, Mapping):
            members.fault(f"value_maps.{name[:60]}", "An object of code and value is expected here.")
    return cast("dict[str, Mapping[str, object]]", maps)


# -- tables and joins


def _base(members: Members, kind: str, aliases: dict[str, None]) -> TableRef:
    value = members.data.get("base_table")
    if kind == "sql" and value is None:
        return TableRef("", alias="query")
    if value is None or value == "":
        members.fault("base_table", "Choose the table to start from: base_table is missing.", code="missing_base_table")
        return TableRef("")
    if isinstance(value, str):
        return _table(Members({"table": value}, "base_table", members.problems), aliases)
    inner = Members(value, "base_table", members.problems)
    inner.only("table", "name", "schema", "alias")
    return _table(inner, aliases, exact=True)


def _table(members: Members, aliases: dict[str, None], *, exact: bool = False) -> TableRef:
    """The table of `table`, or of `schema.table` unless `exact`; its alias is made unique and added to `aliases`."""
    name, schema = members.text("table", "name"), members.text("schema")
    if not name:
        members.fault("table", "The table has no name.")
    if not exact and not schema and "." in name and "schema" not in members.data:
        schema, _, name = name.partition(".")
    alias = members.text("alias", limit=63)
    if alias in aliases:
        members.fault("alias", f"The alias `{alias}` is used twice.", hint="Give each table its own alias.")
    wanted = alias or name or "table"
    number = 2
    alias = wanted
    while alias in aliases:
        alias = f"{wanted}_{number}"
        number += 1
    aliases[alias] = None
    return TableRef(name, schema, alias)


def _join(members: Members, base: TableRef, aliases: dict[str, None], *, first: bool) -> Join | None:
    members.only(
        "type", "table", "schema", "alias", "on", "condition", "leftColumn", "rightColumn", "left_column",
        "right_column", "operator", "conditions", "where", "where_tree", "take",
    )  # fmt: skip
    written = members.text("type") or "left"
    kind = join_type(written)
    if kind is None:
        members.fault("type", f"`{written[:40]}` is not a join type.", hint="Use INNER, LEFT, RIGHT or FULL.")
    table = _table(members, aliases)
    conditions, extra = _join_conditions(members, base if first else None, table)
    where = members.expression("where") or members.expression("condition")
    if where is not None:
        extra.append(where)
    take = _take(Members(members.data["take"], members.at("take"), members.problems)) if members.has("take") else Take()
    if kind is None:
        return None
    if not conditions and not extra:
        members.fault("on", "A join needs a condition.", hint="Say which columns belong together.")
    return Join(kind, table, tuple(conditions), _all_of(extra), take)


def _all_of(parts: list[Node]) -> Node | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    flat = [item for part in parts for item in _conjuncts(part)]
    return nodes.Logical("and", tuple(flat))


def _conjuncts(node: Node) -> tuple[Node, ...]:
    return node.operands if isinstance(node, nodes.Logical) and node.operator == "and" else (node,)


def _join_conditions(
    members: Members, base: TableRef | None, table: TableRef
) -> tuple[list[JoinCondition], list[Node]]:
    """The pairs of columns and what else the join requires."""
    if members.has("conditions"):
        return _stored_conditions(members, table), []
    left = _column(members, base, "leftColumn", "left_column")
    right = _column(members, table, "rightColumn", "right_column")
    if left and right:
        return [JoinCondition(left, _operator(members), right)], []
    if left or right:
        members.fault("leftColumn", "A join needs both columns, leftColumn and rightColumn.")
        return [], []
    on = members.expression("on")
    conditions: list[JoinCondition] = []
    others: list[Node] = []
    for part in _conjuncts(on) if on is not None else ():
        condition = _pair(part, table)
        if condition:
            conditions.append(condition)
        else:
            others.append(part)
    return conditions, others


def _stored_conditions(members: Members, table: TableRef) -> list[JoinCondition]:
    found: list[JoinCondition] = []
    for index, item in enumerate(members.items("conditions", spec.MAX_JOINS)):
        inner = Members(item, f"{members.at('conditions')}[{index}]", members.problems)
        inner.only("left", "left_tree", "operator", "right", "right_tree")
        left, right = inner.expression("left"), inner.expression("right")
        if left is None or right is None:
            inner.fault("", "A condition needs left and right.")
            continue
        found.append(JoinCondition(left, _operator(inner), right))
    on = members.text("on", limit=spec.MAX_BYTES)
    if on and found and on != render_on(tuple(found)) and not members.problems:
        members.fault("on", "`on` and `conditions` say different things.", hint="Send only one of them.")
    return found


def render_on(conditions: tuple[JoinCondition, ...]) -> str:
    """The text of the pairs of columns of a join."""
    return " AND ".join(render(nodes.Binary(item.operator, item.left, item.right)) for item in conditions)


def _operator(members: Members) -> str:
    operator = members.text("operator") or "="
    if operator not in _JOIN_OPERATORS or operator not in INFIX:
        members.fault("operator", f"`{operator[:40]}` cannot join two columns.", hint="Use =, <>, <, <=, > or >=.")
        return "="
    return "<>" if operator == "!=" else operator


def _column(members: Members, table: TableRef | None, *names: str) -> Node | None:
    """A column named by itself or as table.column; the builder sends exact names, so case is kept."""
    text = members.text(*names, limit=spec.MAX_BYTES)
    if not text:
        return None
    if re.fullmatch(r"[^\s\"'.()]+(\.[^\s\"'.()]+){0,2}", text) and not text[0].isdigit():
        schema, prefix, name = ["", "", *text.split(".")][-3:]
        node: Node | None = nodes.Column(name, prefix, schema)
    else:
        node = members.one_expression(text, None, members.at(names[0]))
    if isinstance(node, nodes.Column) and not node.table and table is not None:
        return nodes.Column(node.name, table.alias)
    return node


def _pair(node: Node, table: TableRef) -> JoinCondition | None:
    """`node` as a condition between an earlier table and `table`, its column on the right; None when it is none."""
    if not isinstance(node, nodes.Binary) or node.operator not in _JOIN_OPERATORS:
        return None
    left, right = node.left, node.right
    if not isinstance(left, nodes.Column) or not isinstance(right, nodes.Column):
        return None
    own = (table.alias, table.name)
    if left.table in own and right.table not in own:
        mirrored = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
        return JoinCondition(right, mirrored.get(node.operator, node.operator), left)
    return JoinCondition(left, node.operator, right) if right.table in own and left.table not in own else None


def _take(members: Members) -> Take:
    if isinstance(members.data.get("mode", members.data.get("take")), type(None)) and not members.data:
        return Take()
    members.only("mode", "order_by", "columns")
    mode = members.choice("mode", ("all", "first", "last", "aggregate"), "all")
    columns = []
    for index, item in enumerate(members.items("columns", spec.MAX_FIELDS)):
        inner = Members(item, f"{members.at('columns')}[{index}]", members.problems)
        inner.only("column", "function", "separator")
        function = inner.text("function").upper()
        if function not in AGGREGATES:
            inner.fault("function", f"`{function[:40]}` is not an aggregate.", hint=", ".join(sorted(AGGREGATES)))
        separator = inner.text("separator") if inner.has("separator") else ", "
        columns.append(TakeColumn(inner.text("column"), function, separator))
    return Take(cast(Any, mode), order_items(members), tuple(columns))


def order_items(members: Members) -> tuple[OrderItem, ...]:
    """The list `order_by`: texts ("emails.id DESC") or objects."""
    found = []
    for index, item in enumerate(members.items("order_by", spec.MAX_JOINS)):
        path = f"{members.at('order_by')}[{index}]"
        direction, nulls = "asc", ""
        if isinstance(item, str):
            text, direction, nulls = _order_words(item)
            node = members.one_expression(text, None, path)
        else:
            inner = Members(item, path, members.problems)
            inner.only("expression", "expression_tree", "column", "direction", "nulls")
            direction = inner.choice("direction", ("asc", "desc"), "asc")
            nulls = inner.choice("nulls", ("", "first", "last"), "")
            node = inner.expression("expression") or inner.expression("column")
            if node is None:
                inner.fault("expression", "Say what to order by.")
        if node is not None:
            found.append(OrderItem(node, cast(Any, direction), cast(Any, nulls)))
    return tuple(found)


def _order_words(text: str) -> tuple[str, str, str]:
    """The expression, direction and place of NULLs of "emails.id DESC NULLS LAST"."""
    words = text.split()
    lowered = [word.lower() for word in words[-3:]]
    nulls = direction = ""
    if len(lowered) > 2 and lowered[-2] == "nulls" and lowered[-1] in ("first", "last"):
        nulls = lowered[-1]
        text = text.rstrip()[: -len(nulls)].rstrip()[: -len("nulls")]
        lowered = [word.lower() for word in text.split()[-2:]]
    if len(lowered) > 1 and lowered[-1] in ("asc", "desc"):
        direction = lowered[-1]
        text = text.rstrip()[: -len(direction)]
    return text.strip(), direction or "asc", nulls


def _distinct_on(members: Members) -> spec.DistinctOn | None:
    value = members.data.get("distinct_on")
    if not value:
        return None
    if not isinstance(value, Mapping):
        return spec.DistinctOn(members.expressions("distinct_on", spec.MAX_FIELDS))
    inner = Members(value, "distinct_on", members.problems)
    inner.only("columns", "columns_tree", "order_by")
    columns = inner.expressions("columns", spec.MAX_FIELDS)
    if not columns:
        inner.fault("columns", "Say which columns make a row distinct.")
    return spec.DistinctOn(columns, order_items(inner))


# -- fields


def _fields(members: Members) -> tuple[Field, ...]:
    found = []
    for index, item in enumerate(members.items("fields", spec.MAX_FIELDS)):
        path = f"fields[{index}]"
        if isinstance(item, str):
            node = members.one_expression(item, None, path)
            target = node.name if isinstance(node, nodes.Column) else ""
            if node is not None and not target:
                members.problems.append(Problem(path, "A field given as a text is the name of a column."))
            found.append(Field(target, node))
        else:
            found.append(_field(Members(item, path, members.problems)))
    return tuple(found)


def _field(members: Members) -> Field:
    members.only(
        "source", "source_tree", "sources", "sources_tree", "target", "transformation", "params", "separator",
        "write_rule", "empty_values", "reference",
    )  # fmt: skip
    source = members.expression("source")
    sources = members.expressions("sources", spec.MAX_FIELDS)
    target = members.text("target")
    if (source is None) == (not sources) and not members.problems:
        members.fault("source", "A field has either a source or sources.")
    if not target:
        members.fault("target", "The field has no target.")
    elif len(target.encode("utf-8", "replace")) > spec.OUTPUT_BYTES:
        members.fault("target", f"A target has at most {spec.OUTPUT_BYTES} bytes.")
    steps, separator = _transformations(members)
    return Field(
        target=target,
        source=source,
        sources=sources,
        separator=separator if sources else " ",
        transformation=steps,
        write_rule=cast(Any, members.choice("write_rule", ("overwrite", "if_empty", "never", "append"), "overwrite")),
        empty_values=cast(Any, members.choice("empty_values", ("", "write", "keep"), "") or None),
        reference=_reference(members),
    )


def _reference(members: Members) -> spec.Reference | None:
    if not members.has("reference"):
        return None
    inner = Members(members.data["reference"], members.at("reference"), members.problems)
    inner.only("by", "entity", "unresolved")
    return spec.Reference(inner.text("by"), inner.text("entity"), inner.text("unresolved"))


def _transformations(members: Members) -> tuple[tuple[tuple[str, spec.Params], ...], str]:
    """The transformations to apply after reading, and the separator when one of them is concat."""
    separator = members.text("separator") if members.has("separator") else " "
    given = members.items("transformation", 20)
    found = []
    for index, item in enumerate(given):
        path = f"{members.at('transformation')}[{index}]" if len(given) > 1 else members.at("transformation")
        inner = Members({"name": item} if isinstance(item, str) else item, path, members.problems)
        inner.only("name", "params")
        params = inner.pairs("params") or (members.pairs("params") if len(given) == 1 else ())
        name = inner.text("name").strip().lower()
        if name == "concat":
            value = dict(params).get("separator", separator)
            separator = value if isinstance(value, str) and not text_fault(value) else separator
        elif name in spec.TRANSFORMATIONS:
            found.append((name, params))
        elif name not in spec.NO_TRANSFORMATION:
            closest = nearest(name, spec.TRANSFORMATIONS)
            hint = f"Did you mean {closest}?" if closest else ""
            inner.fault("", f"The transformation `{name[:40]}` is not known.", hint=hint, code="unknown_transformation")
    return tuple(found), separator
