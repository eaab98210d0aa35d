"""The body of a draft as the builder edits it: plain JSON, incomplete at times, always of one shape."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from importer.errors import ExpressionError
from importer.query import nodes
from importer.query.expressions import parse
from importer.query.operators import filter_operator
from importer.query.problems import Problem
from servicevault.wording import say

Body = dict[str, Any]
Owner = Callable[[nodes.Column], str]  # the alias of the table a column belongs to
_VERBATIM = ("value_maps", "parameters", "params")


def plain(body: Mapping[str, Any]) -> Body:
    """The body without stored trees: a text that is edited must not meet the tree of what it said before."""
    found: Body = _bare(body)
    base = found.get("base_table")
    if isinstance(base, str) and base:
        schema, _, name = base.rpartition(".")
        found["base_table"] = {"table": name, "schema": schema, "alias": name}
    for name in ("joins", "fields", "group_by"):
        found[name] = list(found.get(name) or [])
    for join in found["joins"]:
        if join.get("conditions"):
            join.pop("on", None)
    for field in found["fields"]:
        field["transformation"] = _steps(field)
        field["write_rule"] = field.get("write_rule") or "overwrite"
        field["empty_values"] = field.get("empty_values") or None
    for name in ("filters", "having"):
        found[name] = _group(found.get(name))
    return found


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: copy.deepcopy(item) if key in _VERBATIM else _bare(item)
            for key, item in value.items()
            if not str(key).endswith("_tree")
        }
    return [_bare(item) for item in value] if isinstance(value, list | tuple) else value


def _steps(field: Body) -> list[Body]:
    given = field.get("transformation") or []
    listed = given if isinstance(given, list) else [given]
    own = field.pop("params", None) or {}
    return [{"name": item, "params": own} if isinstance(item, str) else item for item in listed]


def _group(data: Any) -> Body:
    if isinstance(data, Mapping) and "items" in data:
        return {"op": data.get("op") or "and", "items": list(data["items"])}
    return {"op": "and", "items": list(data) if isinstance(data, list) else [data] if data else []}


def base_of(body: Body) -> Body:
    """The base table, {} before one is chosen."""
    found = body.get("base_table")
    return found if isinstance(found, dict) and found.get("table") else {}


def alias_of(table: Body) -> str:
    return str(table.get("alias") or table.get("table") or "")


def aliases(body: Body) -> list[str]:
    """The aliases of the base table and of each join, in order."""
    listed = [base_of(body), *body["joins"]] if base_of(body) else list(body["joins"])
    return [alias_of(table) for table in listed]


def free_alias(body: Body, table: str) -> str:
    """An alias no other table of the query has: the table's own name, numbered when it is taken."""
    taken = set(aliases(body))
    return next(name for n in range(1, 100) if (name := table[:58] if n == 1 else f"{table[:58]}_{n}") not in taken)


def sources_of(field: Body) -> list[str]:
    """The texts a field reads, joined when there are several."""
    return [str(text) for text in field.get("sources") or [field.get("source") or ""]]


def columns_in(text: str) -> list[nodes.Column]:
    """The columns an expression names; none when it cannot be read."""
    try:
        return nodes.columns_of(parse(text))
    except ExpressionError:
        return []


# -- filters by place: "0.2" is the third item of the first ------------------------------------------------------


def group_at(group: Body, place: str) -> Body:
    """The group at a place, "" being the outermost. Raises LookupError when there is none."""
    for number in filter(None, place.split(".")):
        group = group["items"][int(number)]
    if "items" not in group:
        raise LookupError(place)
    return group


def split_place(place: str) -> tuple[str, int]:
    """The place of the group an item stands in, and its number there. Raises LookupError for what is no place."""
    parent, _, number = place.rpartition(".")
    if not number.isdecimal():
        raise LookupError(place)
    return parent, int(number)


def conditions(group: Body, place: str = "") -> Iterator[tuple[str, Body]]:
    """Each condition with its place."""
    for number, item in enumerate(group.get("items") or []):
        inner = f"{place}.{number}" if place else str(number)
        if isinstance(item, Mapping) and "items" in item:
            yield from conditions(dict(item), inner)
        elif isinstance(item, dict):
            yield inner, item


def is_finished(condition: Body) -> bool:
    """Whether a condition has a field and the values its operator needs."""
    operator = filter_operator(str(condition.get("operator") or ""))
    if not condition.get("field") or operator is None:
        return False
    value = condition.get("value")
    if operator.arity == "none":
        return True
    if operator.arity == "unit" and isinstance(value, Mapping):
        return value.get("value") not in (None, "")
    if operator.arity in ("pair", "list"):
        return bool(value) and (not isinstance(value, list) or all(item not in (None, "") for item in value))
    return value not in (None, "")


# -- what can be run of an unfinished body -----------------------------------------------------------------------


def runnable(body: Body) -> Body:
    """The body without what is not finished yet, so that the rest can be previewed (Q36)."""
    found = copy.deepcopy(body)
    found["joins"] = [join for join in found["joins"] if is_joined(join)]
    found["fields"] = [field for field in found["fields"] if any(sources_of(field))]
    for field in found["fields"]:
        if field.get("sources"):
            field["sources"] = [text for text in field["sources"] if text]
    for name in ("filters", "having"):
        found[name] = _finished(found[name])
    found["group_by"] = [text for text in found["group_by"] if text]
    distinct = found.get("distinct_on")
    if isinstance(distinct, dict):
        distinct["columns"] = [text for text in distinct.get("columns") or [] if text]
        found["distinct_on"] = distinct if distinct["columns"] else None
    return found


def is_joined(join: Body) -> bool:
    """Whether a join has its conditions."""
    pairs = join.get("conditions") or []
    complete = pairs and all(pair.get("left") and pair.get("right") for pair in pairs)
    return bool(complete or (not pairs and (join.get("where") or join.get("on") or join.get("condition"))))


def _finished(group: Body) -> Body:
    kept = []
    for item in group["items"]:
        if isinstance(item, dict) and "items" in item:
            inner = _finished(item)
            kept += [inner] if inner["items"] else []
        elif not isinstance(item, dict) or is_finished(item):
            kept.append(item)
    return {"op": group["op"] if kept else "and", "items": kept}


def original_path(body: Body, path: str) -> str:
    """A path in what was run as a path in the body, where unfinished items stand between the others."""
    root, numbers = path.partition("[")[0], [int(number) for number in re.findall(r"\[(\d+)\]", path)]
    if root not in ("joins", "fields", "filters", "having") or not numbers:
        return path
    tail = path.rpartition("]")[2]
    items, found = body[root]["items"] if root in ("filters", "having") else body[root], []
    for number in numbers if root in ("filters", "having") else numbers[:1]:
        kept = [place for place, item in enumerate(items) if _is_run(root, item)]
        if number >= len(kept):
            return path
        found.append(kept[number])
        items = items[kept[number]].get("items", []) if isinstance(items[kept[number]], dict) else []
    return root + "".join(f"[{number}]" for number in found) + tail


def _is_run(root: str, item: Any) -> bool:
    if not isinstance(item, dict):
        return True
    if root == "joins":
        return is_joined(item)
    if root == "fields":
        return any(sources_of(item))
    return bool(_finished(item)["items"]) if "items" in item else is_finished(item)


def unfinished(body: Body) -> list[Problem]:
    """What keeps the body from being saved although the preview can do without it."""
    found = []
    for number, join in enumerate(body["joins"]):
        if not is_joined(join):
            message = say("The join of “{table}” has no condition yet.", table=alias_of(join))
            found.append(Problem(f"joins[{number}]", message, say("Say which columns belong together, or remove it.")))
    for name in ("filters", "having"):
        for place, condition in conditions(body[name]):
            if not is_finished(condition):
                path = name + "".join(f"[{part}]" for part in place.split("."))
                found.append(
                    Problem(path, say("The filter is not finished."), say("Give it a field and a value, or delete it."))
                )
    return found


# -- taking tables out -------------------------------------------------------------------------------------------


def without(body: Body, gone: set[str], owner: Owner) -> tuple[Body, list[str]]:
    """The body without everything that needs these tables, and in words what that is."""
    found, lost = copy.deepcopy(body), []

    def needs(*texts: Any) -> bool:
        return any(owner(column) in gone for text in texts if text for column in columns_in(str(text)))

    kept = []
    for join in found["joins"]:
        pairs = [text for pair in join.get("conditions") or [] for text in (pair.get("left"), pair.get("right"))]
        if alias_of(join) in gone or needs(*pairs, join.get("where")):
            gone = gone | {alias_of(join)}
            lost.append(say("the join of {table}", table=alias_of(join)))
        else:
            kept.append(join)
    found["joins"] = kept
    for field in found["fields"]:
        if needs(*sources_of(field)):
            lost.append(
                say(
                    "the mapping {sources} → {target}",
                    sources=" + ".join(sources_of(field)),
                    target=field.get("target"),
                )
            )
    found["fields"] = [field for field in found["fields"] if not needs(*sources_of(field))]
    for name in ("filters", "having"):
        found[name] = _without(found[name], needs, lost)
    found["group_by"] = [text for text in found["group_by"] if not needs(text)]
    distinct = found.get("distinct_on")
    if isinstance(distinct, dict) and needs(*(distinct.get("columns") or [])):
        found["distinct_on"] = None
        lost.append(say("the rule which row is kept"))
    return found, lost


def _without(group: Body, needs: Callable[..., bool], lost: list[str]) -> Body:
    kept = []
    for item in group["items"]:
        if isinstance(item, dict) and "items" in item:
            inner = _without(item, needs, lost)
            kept += [inner] if inner["items"] else []
        elif isinstance(item, dict) and needs(item.get("field")):
            lost.append(say("the filter {field} {operator}", field=item.get("field"), operator=item.get("operator")))
        else:
            kept.append(item)
    return {"op": group["op"], "items": kept}
