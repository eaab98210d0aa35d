"""One sentence that says what a query does (U21c)."""

from __future__ import annotations

from importer.web.builder.body import Body, alias_of, base_of, conditions, is_finished, sources_of
from importer.web.builder.filters import WORDS
from importer.web.builder.workbench import Workbench
from servicevault.wording import say, say_count

_JOINS = {
    "left": say("adds {table} where there is one"),
    "inner": say("keeps only rows with {table}"),
    "right": say("takes every row of {table}"),
    "full": say("takes every row of both sides with {table}"),
}
_TAKES = {
    "first": say("the first of {table}"),
    "last": say("the last of {table}"),
    "aggregate": say("{table} combined"),
}


def sentence(bench: Workbench) -> str:
    """What the query does, in words; what is left to do while it has no table."""
    body = bench.body
    if not base_of(body) and not bench.is_sql:
        return say("Choose the table to start with: its rows become the rows of this query.")
    parts = [say("Reads what its SQL gives") if bench.is_sql else say("Reads {table}", table=base_of(body)["table"])]
    parts += [_join(join) for join in body["joins"]]
    if kept := _filters(body):
        parts.append(kept)
    if body["group_by"]:
        parts.append(say("makes one row for each {group_by}", group_by=_list(body["group_by"])))
    if isinstance(body.get("distinct_on"), dict) and body["distinct_on"].get("columns"):
        parts.append(say("keeps one row for each {columns}", columns=_list(body["distinct_on"]["columns"])))
    count = sum(any(sources_of(item)) for item in body["fields"])
    label = bench.target.label if bench.target else str(body.get("target_type") or say("rows"))
    parts.append(
        say_count("fills {count} field of {label}", "fills {count} fields of {label}", count, label=label)
        if count
        else say("fills nothing of {label} yet", label=label)
    )
    return f"{_list(parts)}."


def _join(join: Body) -> str:
    mode = (join.get("take") or {}).get("mode", "all")
    table = _TAKES[mode].format(table=alias_of(join)) if mode in _TAKES else alias_of(join)
    return _JOINS.get(str(join.get("type") or "left").lower(), _JOINS["left"]).format(table=table)


def _filters(body: Body) -> str:
    found = [item for _, item in conditions(body["filters"]) if is_finished(item)]
    if not found:
        return ""
    if len(found) > 2:
        return say_count("keeps rows that pass {count} filter", "keeps rows that pass {count} filters", len(found))
    together = body["filters"]["op"]
    said = str(say(" or ") if together == "or" else say(" and ")).join(_condition(item) for item in found)
    if together == "not":
        return say("keeps rows where not {condition}", condition=said)
    return say("keeps rows where {condition}", condition=said)


def _condition(item: Body) -> str:
    value = item.get("value")
    if isinstance(value, dict):
        value = value.get("relative") or f"{value.get('unit')} {value.get('value')}"
    if isinstance(value, list):
        value = str(say(" and ")).join(str(each) for each in value)
    operator = str(item.get("operator"))
    words = WORDS.get(operator, operator)
    return " ".join(str(part) for part in (item.get("field"), words, value) if part not in (None, ""))


def _list(parts: list[str]) -> str:
    return (
        parts[0]
        if len(parts) == 1
        else say("{parts} and {last}", parts=", ".join(map(str, parts[:-1])), last=parts[-1])
    )
