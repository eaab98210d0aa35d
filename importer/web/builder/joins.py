"""The joins block: suggestions with their evidence, joins by hand, and what taking one out costs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from importer import operations
from importer.query import nodes
from importer.query.expressions import render
from importer.query.functions import AGGREGATES
from importer.query.rendering import quote_text
from importer.sources.schema import Relation, Table
from importer.web.builder.body import (
    Body,
    alias_of,
    base_of,
    columns_in,
    conditions,
    free_alias,
    sources_of,
    without,
)
from importer.web.builder.tables import chosen_table, start_with
from importer.web.builder.workbench import Ask, Change, Workbench
from servicevault.wording import say

OPERATORS = ("=", "<>", "<", "<=", ">", ">=")
TYPE_WORDS = {
    "left": say("Left: keep rows without a partner"),
    "inner": say("Inner: only rows with a partner"),
    "right": say("Right: all rows of the joined table"),
    "full": say("Full: all rows of both"),
}
TAKE_WORDS = {
    "all": say("All partners"), "first": say("The first partner"), "last": say("The last partner"), "aggregate": say("Combine the partners"),
}  # fmt: skip
AGGREGATE_WORDS = tuple(sorted(AGGREGATES))
MOST_SUGGESTIONS = 8


@dataclass(frozen=True)
class Proposal:
    """A join to add with one click."""

    join: Body
    title: str
    on: str
    confidence: int
    is_declared: bool
    evidence: tuple[str, ...]
    multiplicity: str  # a sentence

    @property
    def posted(self) -> str:
        return json.dumps(self.join)


def proposals(bench: Workbench, relations: Iterable[Relation]) -> list[Proposal]:
    """The joins that relations offer to this query, without those it has."""
    known = _known(bench)
    found: list[Proposal] = []
    for relation in relations:
        for placed in bench.tables:
            if not isinstance(placed.table, Table):
                continue
            here = (placed.table.schema, placed.table.name)
            if here == (relation.schema, relation.table):
                found += _proposal(bench, relation, placed.alias, to_parent=True, known=known)
            if here == (relation.ref_schema, relation.ref_table) and here != (relation.schema, relation.table):
                found += _proposal(bench, relation, placed.alias, to_parent=False, known=known)
    return found[:MOST_SUGGESTIONS]


def _known(bench: Workbench) -> set[tuple[str, str, str]]:
    """Both directions of each joined pair of columns: the one's text, the other's table and column."""
    found = set()
    for join in bench.body["joins"]:
        for pair in join.get("conditions") or []:
            sides = [(str(text), columns_in(str(text))) for text in (pair.get("left"), pair.get("right"))]
            for (text, _), (_, others) in (sides, sides[::-1]):
                found |= {(text, _table_name(bench, column), column.name) for column in others[:1]}
    return found


def _table_name(bench: Workbench, column: nodes.Column) -> str:
    alias = bench.owner(column)
    return next((placed.full_name for placed in bench.tables if placed.alias == alias), "")


def _proposal(
    bench: Workbench, relation: Relation, alias: str, *, to_parent: bool, known: set[tuple[str, str, str]]
) -> list[Proposal]:
    here, there = relation.columns, relation.ref_columns
    schema, name = relation.ref_schema, relation.ref_table
    if not to_parent:
        here, there, schema, name = relation.ref_columns, relation.columns, relation.schema, relation.table
    table = bench.schema.table(name, schema)
    if table is None:
        return []
    new = free_alias(bench.body, name)
    pairs = [_pair(alias, left, new, right) for left, right in zip(here, there, strict=True)]
    if any((pair["left"], table.full_name, column) in known for pair, column in zip(pairs, there, strict=True)):
        return []
    join: Body = {"type": "left", "schema": schema, "table": name, "alias": new, "conditions": pairs, "take": None}
    if relation.polymorphic and relation.type_column and relation.type_values:
        owner = alias if to_parent else new
        kind = render(nodes.Column(relation.type_column, owner))
        join["where"] = f"{kind} = {quote_text(relation.type_values[0])}"
    on = " and ".join(f"{pair['left']} = {pair['right']}" for pair in pairs)
    return [
        Proposal(
            join, name, on, round(relation.confidence), relation.source == "foreign_key", relation.evidence,
            _multiplicity(relation, bench, to_parent=to_parent),
        )
    ]  # fmt: skip


def _pair(left_alias: str, left: str, right_alias: str, right: str) -> Body:
    return {
        "left": render(nodes.Column(left, left_alias)), "operator": "=",
        "right": render(nodes.Column(right, right_alias)),
    }  # fmt: skip


def _multiplicity(relation: Relation, bench: Workbench, *, to_parent: bool) -> str:
    child, parent = relation.table, relation.ref_table
    if to_parent:
        return say(
            "Each row of {child} has at most one of {parent}: the number of rows stays.", child=child, parent=parent
        )
    if relation.multiplicity == "1:1":
        return say(
            "Each row of {parent} has at most one of {child}: the number of rows stays.", parent=parent, child=child
        )
    many, few = bench.schema.table(child, relation.schema), bench.schema.table(parent, relation.ref_schema)
    rows, per = (many.row_estimate if many else None), (few.row_estimate if few else None)
    if rows and per and rows > per:
        return say(
            "One row of {parent} has about {rows:.1f} of {child}: rows \u00d7 {rows:.1f}. Take the first, combine them, or keep all.",
            parent=parent,
            rows=rows / per,
            child=child,
        )
    return say(
        "One row of {parent} may have several of {child}: rows can multiply. Take the first, combine them, or keep all.",
        parent=parent,
        child=child,
    )


# -- changes -----------------------------------------------------------------------------------------------------


def add(bench: Workbench, post: QueryDict) -> Body:
    """A suggestion taken, or an empty join with a table chosen by hand."""
    body = copy.deepcopy(bench.body)
    if post.get("join"):
        try:
            join = json.loads(post.get("join", ""))
        except ValueError:
            join = None
        if not _is_join(join):
            raise operations.InvalidFields({"join": [say("This suggestion cannot be read.")]})
        body["joins"].append(join)
        return body
    table = chosen_table(bench, post)
    body["joins"].append(
        {
            "type": "left",
            "schema": table.schema if isinstance(table, Table) else "",
            "table": table.name,
            "alias": free_alias(body, table.name),
            "conditions": [{"left": "", "operator": "=", "right": ""}],
            "take": None,
        }
    )
    return body


def _is_join(join: Any) -> bool:
    if not isinstance(join, dict) or not isinstance(join.get("conditions"), list):
        return False
    pairs = [pair.values() for pair in join["conditions"] if isinstance(pair, dict)]
    texts = [join.get("type"), join.get("schema"), join.get("table"), join.get("alias"), join.get("where") or ""]
    return len(pairs) == len(join["conditions"]) and all(
        isinstance(text, str) for text in [*texts, *(value for values in pairs for value in values)]
    )


def set_join(bench: Workbench, post: QueryDict) -> Body:
    """The join as its form says: type, conditions, extra condition, which partner."""
    body, number = _numbered(bench, post)
    join = body["joins"][number]
    join["type"] = post.get("type") or "left"
    pairs = zip(post.getlist("left"), post.getlist("operator"), post.getlist("right"), strict=False)
    join["conditions"] = [
        {"left": left.strip(), "operator": operator, "right": right.strip()} for left, operator, right in pairs
    ]
    kept = [pair for pair in join["conditions"] if pair["left"] or pair["right"]]
    join["conditions"] = kept or join["conditions"][:1]
    join["where"] = post.get("where", "").strip() or None
    join["take"] = _take(bench, join, post)
    return body


def _take(bench: Workbench, join: Body, post: QueryDict) -> Body | None:
    mode = post.get("take", "all")
    if mode == "all":
        return None
    old = join.get("take") or {}
    take: Body = {"mode": mode, "order_by": old.get("order_by") or [], "columns": old.get("columns") or []}
    if mode == "aggregate":
        names, functions = post.getlist("take_column"), post.getlist("take_function")
        separators = post.getlist("take_separator")
        rows = zip(names, functions, separators, strict=False)
        take["columns"] = (
            [
                {"column": name, "function": function, "separator": separator}
                for name, function, separator in rows
                if name
            ]
            or old.get("columns")
            or _combined(bench, join)
        )
        return take
    order = post.get("order_by", "").strip() or _natural_order(bench, join)
    take["order_by"] = (
        [{"expression": order, "direction": post.get("direction") or "asc", "nulls": ""}] if order else []
    )
    return take


def _natural_order(bench: Workbench, join: Body) -> str:
    """What "the first" means when nobody has said it: by the table's key."""
    table = bench.find(join)
    keys: Sequence[str] = table.primary_key if isinstance(table, Table) else ()
    return render(nodes.Column(keys[0], alias_of(join))) if keys else ""


def _combined(bench: Workbench, join: Body) -> list[Body]:
    """Each column that is used of the joined table, as a list of its values."""
    texts = [text for field in bench.body["fields"] for text in sources_of(field)]
    texts += [
        str(item.get("field") or "") for root in ("filters", "having") for _, item in conditions(bench.body[root])
    ]
    columns = [column for text in [*texts, *bench.body["group_by"]] for column in columns_in(text)]
    used = dict.fromkeys(column.name for column in columns if bench.owner(column) == alias_of(join))
    return [{"column": name, "function": "STRING_AGG", "separator": ", "} for name in used]


def add_condition(bench: Workbench, post: QueryDict) -> Body:
    body = set_join(bench, post)
    body["joins"][_number(bench, post)]["conditions"].append({"left": "", "operator": "=", "right": ""})
    return body


def remove(bench: Workbench, post: QueryDict) -> Body:
    """Take a join out, with everything that reads its table; what that is, is said first."""
    number = _number(bench, post)
    alias = alias_of(bench.body["joins"][number])
    body, lost = without(bench.body, {alias}, bench.owner)
    lost = [item for item in lost if item != f"the join of {alias}"]
    if lost and not post.get("confirmed"):
        raise Ask(say("Removing the join of {alias} drops what reads it.", alias=alias), lost)
    return body


def _number(bench: Workbench, post: QueryDict) -> int:
    text = post.get("number", "")
    if not text.isdecimal() or int(text) >= len(bench.body["joins"]):
        raise operations.InvalidFields({"number": [say("This join is gone. Look at the joins as they are now.")]})
    return int(text)


def _numbered(bench: Workbench, post: QueryDict) -> tuple[Body, int]:
    return copy.deepcopy(bench.body), _number(bench, post)


def use(bench: Workbench, post: QueryDict) -> Body:
    """What + in the tree does: the first table is started with, another one joined."""
    return add(bench, post) if base_of(bench.body) else start_with(bench, post)


CHANGES: dict[str, Change] = {
    "tables.use": use,
    "joins.add": add,
    "joins.set": set_join,
    "joins.condition": add_condition,
    "joins.remove": remove,
}
