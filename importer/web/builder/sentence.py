"""One sentence that says what a query does (U21c)."""

from __future__ import annotations

from importer.web.builder.body import Body, alias_of, base_of, conditions, is_finished, sources_of
from importer.web.builder.filters import WORDS
from importer.web.builder.workbench import Workbench

_JOINS = {
    "left": "adds {} where there is one",
    "inner": "keeps only rows with {}",
    "right": "takes every row of {}",
    "full": "takes every row of both sides with {}",
}
_TAKES = {"first": "the first of {}", "last": "the last of {}", "aggregate": "{} combined"}


def sentence(bench: Workbench) -> str:
    """What the query does, in words; what is left to do while it has no table."""
    body = bench.body
    if not base_of(body) and not bench.is_sql:
        return "Choose the table to start with: its rows become the rows of this query."
    parts = ["Reads what its SQL gives" if bench.is_sql else f"Reads {base_of(body)['table']}"]
    parts += [_join(join) for join in body["joins"]]
    if kept := _filters(body):
        parts.append(kept)
    if body["group_by"]:
        parts.append(f"makes one row for each {_list(body['group_by'])}")
    if isinstance(body.get("distinct_on"), dict) and body["distinct_on"].get("columns"):
        parts.append(f"keeps one row for each {_list(body['distinct_on']['columns'])}")
    count = sum(any(sources_of(item)) for item in body["fields"])
    label = bench.target.label if bench.target else str(body.get("target_type") or "rows")
    fields = f"{count} field{'' if count == 1 else 's'}"
    parts.append(f"fills {fields} of {label}" if count else f"fills nothing of {label} yet")
    return f"{_list(parts)}."


def _join(join: Body) -> str:
    mode = (join.get("take") or {}).get("mode", "all")
    what = _TAKES.get(mode, "{}").format(alias_of(join))
    return _JOINS.get(str(join.get("type") or "left").lower(), _JOINS["left"]).format(what)


def _filters(body: Body) -> str:
    found = [item for _, item in conditions(body["filters"]) if is_finished(item)]
    if not found:
        return ""
    if len(found) > 2:
        return f"keeps rows that pass {len(found)} filters"
    word = {"or": " or "}.get(body["filters"]["op"], " and ")
    said = word.join(_condition(item) for item in found)
    return f"keeps rows where {'not ' if body['filters']['op'] == 'not' else ''}{said}"


def _condition(item: Body) -> str:
    value = item.get("value")
    if isinstance(value, dict):
        value = value.get("relative") or f"{value.get('unit')} {value.get('value')}"
    if isinstance(value, list):
        value = " and ".join(str(each) for each in value)
    operator = str(item.get("operator"))
    words = WORDS.get(operator, operator)
    return " ".join(str(part) for part in (item.get("field"), words, value) if part not in (None, ""))


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
