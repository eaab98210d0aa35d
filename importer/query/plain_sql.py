"""A built query as the SQL a person goes on writing (Q25): the statement of a run, in lines, without our prefixes.

The prefixes guard against look-alike functions of the source. Whoever may write SQL may also read tables of any
shape, so the text says `lower(…)` and `=` as people do; `raw` reads it again before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from .compiled import CompiledQuery
from .nodes import Column
from .spec import Condition, Field, FilterGroup, QuerySpec, RelativeDate, TableRef

_TOKEN = re.compile(
    r"""
    (?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*')
  | (?P<comment>--[^\r\n]*|/\*.*?\*/)
  | %\((?P<parameter>\w+)\)s
  | [ ]?OPERATOR\(pg_catalog\.(?P<operator>[^)]+)\)[ ]?
  | (?P<prefix>pg_catalog\.)
  | (?P<clause>[ ](?:FROM|(?:LEFT[ ]|RIGHT[ ]|FULL[ ])?JOIN|WHERE|GROUP[ ]BY|HAVING|ORDER[ ]BY)\b)
  | (?P<select>\bSELECT[ ])
  | (?P<and>[ ]AND[ ])
  | (?P<comma>,[ ])
  | (?P<percent>%%)
  | (?P<open>\()
  | (?P<close>\))
    """,
    re.VERBOSE | re.DOTALL,
)


def as_sql(spec: QuerySpec, compiled: CompiledQuery) -> QuerySpec:
    """`spec` as a query of kind "sql" that reads the same rows: its fields take the columns of the text.

    Transformations, references, write rules and value maps stay with their fields. What the builder keeps as blocks
    (tables, filters, groups) is in the text now. The text is not judged here.
    """
    targets = {field.target for field in spec.fields}
    text, texts = text_of(compiled)
    watermark = spec.watermark if spec.watermark and spec.watermark.updated_at in targets else None
    return replace(
        spec,
        kind="sql",
        sql=text,
        params=(*compiled.params.items(), *texts.items()),
        base=TableRef("", alias="query"),
        joins=(),
        fields=tuple(_taken(field) for field in spec.fields),
        filters=FilterGroup(),
        group_by=(),
        having=FilterGroup(),
        distinct_on=None,
        watermark=watermark,
    )


def _taken(field: Field) -> Field:
    return replace(field, source=Column(field.target), sources=(), separator=" ")


def text_of(compiled: CompiledQuery) -> tuple[str, dict[str, str]]:
    """The statement in lines, `:name` for its parameters; and texts of it that are parameters now.

    What is quoted stays byte for byte, but for texts with a backslash, as patterns of a pack's views have: `raw`
    takes those as parameters only. PostgreSQL gives a bound text the type it would give the written one.
    """
    depth, written = 0, []
    text, end = compiled.text, 0
    texts: dict[str, str] = {}
    for token in _TOKEN.finditer(text):
        written.append(text[end : token.start()])
        end = token.end()
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if token.lastgroup == "quoted" and token[0].startswith("'") and "\\" in token[0]:
            texts[f"text{len(texts) + 1}"] = token[0][1:-1].replace("''", "'").replace("%%", "%")
            written.append(f":text{len(texts)}")
        else:
            written.append(_written(token, is_outermost=depth == 0))
    return "".join([*written, text[end:]]).strip(), texts


def _written(token: re.Match[str], *, is_outermost: bool) -> str:
    found = token[0]
    match token.lastgroup:
        case "quoted":
            return found.replace("%%", "%")
        case "comment":
            return " "
        case "parameter":
            return f":{token['parameter']}"
        case "operator":
            return f" {token['operator'].replace('%%', '%')} "
        case "prefix":
            return ""
        case "percent":
            return "%"
        case "clause" if is_outermost:
            return f"\n{found.strip()}"
        case "select" if is_outermost:
            return "SELECT\n  "
        case "and" if is_outermost:
            return "\n  AND "
        case "comma" if is_outermost:
            return ",\n  "
    return found


def frozen_dates(spec: QuerySpec) -> list[str]:
    """The relative dates of the filters: SQL keeps the day they mean now."""
    return [
        value.text
        for group in (spec.filters, spec.having)
        for condition in _conditions(group)
        for value in condition.values
        if isinstance(value, RelativeDate)
    ]


def _conditions(group: FilterGroup) -> Iterator[Condition]:
    for item in group.items:
        if isinstance(item, Condition):
            yield item
        else:
            yield from _conditions(item)
