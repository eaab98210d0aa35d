"""Turns the JSON of a query into a QuerySpec, whichever of the guides' shapes it has (Q21, Q6)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, cast

from servicevault.wording import say

from . import nodes, spec
from .filters import parse_filters
from .join_parsing import order_items, parse_base, parse_join
from .problems import Problem, QueryProblems, nearest
from .reading import Members, scalar_fault, text_fault
from .spec import Field, QuerySpec

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
            return say("The query is nested deeper than {max_levels} levels.", max_levels=spec.MAX_LEVELS)
        size += len(value.encode("utf-8", "replace")) if isinstance(value, str) else 4
        if isinstance(value, Mapping):
            pending.extend((item, level + 1) for key, item in value.items() if not str(key).endswith("_tree"))
            size += sum(len(str(key)) for key in value)
        elif isinstance(value, list | tuple):
            pending.extend((item, level + 1) for item in value)
        if size > spec.MAX_BYTES:
            return say("The query is larger than {max_bytes} KiB.", max_bytes=spec.MAX_BYTES // 1024)
    return ""


def _query(members: Members, target_types: Collection[str] | None) -> QuerySpec:
    target_type = _target_type(members, target_types)
    kind = members.choice("kind", ("builder", "sql"), "builder")
    aliases: dict[str, None] = {}
    base = parse_base(members, kind, aliases)
    joins = tuple(
        join
        for index, item in enumerate(members.items("joins", spec.MAX_JOINS))
        if (join := parse_join(Members(item, f"joins[{index}]", members.problems), base, aliases, first=index == 0))
    )
    fields = _fields(members)
    if kind == "builder" and not fields and not members.data.get("fields"):
        members.fault("fields", say("Map at least one field."), code="no_fields")
    key = members.text("key", limit=64) or re.sub(r"[^a-z0-9_-]+", "_", target_type.lower()).strip("_-")[:64]
    if target_type and not _KEY.fullmatch(key):
        members.fault("key", say("A key has 1 to 64 small letters, digits, _ and -."))
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
        members.fault(
            "target_type", say("Say what the rows become: target_type is missing."), code="missing_target_type"
        )
    elif not known or not _TARGET_TYPE.fullmatch(value):
        closest = nearest(value, allowed or ())
        hint = say("Did you mean {closest}?", closest=closest) if closest else ""
        members.fault(
            "target_type",
            say("`{value}` is not a target type.", value=value[:60]),
            hint=hint,
            code="unknown_target_type",
        )
    return value


def _raw_text(members: Members) -> str:
    text = members.text("sql", limit=spec.MAX_BYTES)
    if not text.strip() and not members.problems:
        members.fault("sql", say("The query has no SQL."))
    return text


def _raw_params(members: Members) -> spec.Params:
    pairs = members.pairs("params")
    for name, value in pairs:
        if fault := scalar_fault(value):
            members.fault(f"params.{name[:60]}", fault)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name):
            members.fault(f"params.{name[:60]}", say("A parameter is named by letters, digits and _."))
    return pairs


def _value_maps(members: Members) -> dict[str, Mapping[str, object]]:
    maps = dict(members.pairs("value_maps"))
    for name, value in maps.items():
        if not isinstance(value, Mapping):
            members.fault(f"value_maps.{name[:60]}", say("An object of code and value is expected here."))
    return cast("dict[str, Mapping[str, object]]", maps)


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
        inner.fault("columns", say("Say which columns make a row distinct."))
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
                members.problems.append(Problem(path, say("A field given as a text is the name of a column.")))
            found.append(Field(target, node))
        else:
            found.append(_field(Members(item, path, members.problems)))
    return tuple(found)


def _field(members: Members) -> Field:
    members.only(
        "source", "source_tree", "sources", "sources_tree", "target", "transformation", "params", "separator",
        "write_rule", "empty_values", "reference", "validations",
    )  # fmt: skip
    source = members.expression("source")
    sources = members.expressions("sources", spec.MAX_FIELDS) or _concat_parts(members)
    target = members.text("target")
    if (source is None) == (not sources) and not members.problems:
        members.fault("source", say("A field has either a source or sources."))
    if not target:
        members.fault("target", say("The field has no target."))
    elif len(target.encode("utf-8", "replace")) > spec.OUTPUT_BYTES:
        members.fault("target", say("A target has at most {output_bytes} bytes.", output_bytes=spec.OUTPUT_BYTES))
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
        validations=_validations(members),
    )


def _concat_parts(members: Members) -> tuple[nodes.Node, ...]:
    """The parts of a concat that names them among its parameters: they are sources (M4)."""
    given = members.data.get("transformation")
    inner = given.get("params") if isinstance(given, Mapping) and given.get("name") == "concat" else None
    params = inner or (members.data.get("params") if given == "concat" else None)
    if not isinstance(params, Mapping) or "parts" not in params:
        return ()
    return Members(params, members.at("params"), members.problems).expressions("parts", spec.MAX_FIELDS)


def _validations(members: Members) -> tuple[spec.Validation, ...]:
    """The list `validations`: names, or objects with name, params (or one value), severity and message."""
    found = []
    for index, item in enumerate(members.items("validations", 20)):
        path = f"{members.at('validations')}[{index}]"
        inner = Members({"name": item} if isinstance(item, str) else item, path, members.problems)
        inner.only("name", "rule", "params", "value", "severity", "message")
        params = inner.pairs("params") or ((("value", inner.data["value"]),) if inner.has("value") else ())
        name = inner.text("name", "rule").strip().lower()
        if not name:
            inner.fault("name", say("The validation has no name."))
        severity = inner.choice("severity", ("error", "warning"), "error")
        found.append(spec.Validation(name, params, cast(Any, severity), inner.text("message")))
    return tuple(found)


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
        name = spec.TRANSFORMATION_ALIASES.get(name, name)
        if name == "concat":
            value = dict(params).get("separator", separator)
            separator = value if isinstance(value, str) and not text_fault(value) else separator
        elif name in spec.TRANSFORMATIONS:
            found.append((name, params))
        elif name not in spec.NO_TRANSFORMATION:
            closest = nearest(name, spec.TRANSFORMATIONS)
            hint = say("Did you mean {closest}?", closest=closest) if closest else ""
            inner.fault(
                "",
                say("The transformation `{name}` is not known.", name=name[:40]),
                hint=hint,
                code="unknown_transformation",
            )
    return tuple(found), separator
