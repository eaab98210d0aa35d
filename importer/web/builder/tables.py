"""The tree of the source's tables, the details of one, and the block that says what the query starts with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from importer import operations
from importer.errors import ImporterError
from importer.operations import masking
from importer.operations.schema import column_values, search_tables
from importer.query.problems import nearest
from importer.sources.schema import Column, PackView, SourceSchema, Table
from importer.web.builder.body import Body, alias_of, base_of, without
from importer.web.builder.workbench import Ask, Change, Workbench, profile_for, source_of
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say

PAGE_SIZE = 80
KIND_WORDS = {
    "table": "", "partitioned": say("partitioned"), "view": say("view"), "matview": say("stored view"), "foreign": say("foreign table"),
    "pack_view": say("view of the pack"),
}  # fmt: skip


@dataclass(frozen=True)
class Branch:
    """A table in the tree."""

    name: str
    schema: str
    kind: str
    rows: int | None
    matched: tuple[str, ...]  # what of it answers the search
    comment: str
    chips: tuple[str, ...]
    is_used: bool


def tree(bench_tables: set[str], schema: SourceSchema, asked: QueryDict) -> dict[str, Any]:
    """One page of the tree as the search, the schema and the page in `asked` want it."""
    text, in_schema = asked.get("q", ""), asked.get("schema", "")
    found = search_tables(schema, text, in_schema=in_schema, hide_empty=asked.get("hide_empty") == "1")
    branches = [] if in_schema else [_view(view, bench_tables) for view in schema.views if _answers(view, text)]
    branches += [_branch(item.table, item.matched, bench_tables, schema) for item in _window(found, asked, branches)]
    start = _start(asked)
    total = len(found)
    return {
        "branches": branches,
        "total": total,
        "more": start + PAGE_SIZE if total > start + PAGE_SIZE else None,
        "schemas": sorted({table.schema for table in schema.tables}),
        "asked": {"q": text, "schema": in_schema, "hide_empty": asked.get("hide_empty", "")},
        "is_first": start == 0,
    }


def _start(asked: QueryDict) -> int:
    text = asked.get("start", "0")
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _window(found: list[Any], asked: QueryDict, views: list[Branch]) -> list[Any]:
    start = _start(asked)
    if start:
        views.clear()  # they stand on the first page
    return found[start : start + PAGE_SIZE]


def _answers(view: PackView, text: str) -> bool:
    wanted = text.strip().casefold()
    return wanted in view.name.casefold() or any(wanted in column.name.casefold() for column in view.columns)


def _view(view: PackView, used: set[str]) -> Branch:
    return Branch(view.name, "", KIND_WORDS["pack_view"], None, (), view.comment, (), view.name in used)


def _branch(table: Table, matched: tuple[str, ...], used: set[str], schema: SourceSchema) -> Branch:
    chips = (*(["PK"] if table.primary_key else []), *(["FK"] if table.foreign_keys else []))
    if not table.foreign_keys and any(_names_another(column, table, schema) for column in table.columns):
        chips = (*chips, "inferred")
    others = tuple(item for item in matched if item != "name")
    return Branch(
        table.name, table.schema, KIND_WORDS.get(table.kind, table.kind), table.row_estimate, others,
        table.comment or "", chips, table.full_name in used,
    )  # fmt: skip


def _names_another(column: Column, table: Table, schema: SourceSchema) -> bool:
    """Whether a column looks like a key of another table: person_id beside people is found when it is looked into."""
    return column.name.endswith("_id") and column.name not in table.primary_key and len(schema.tables) > 1


# -- views -------------------------------------------------------------------------------------------------------


@members_only
@require_safe
def tree_part(request: PageRequest, pk: Any) -> HttpResponse:
    """The tree that a search, a filter or "more" asks for."""
    profile = profile_for(request, pk)
    source, trouble = source_of(profile)
    context = {"profile": profile, "trouble": trouble, "key": _query_key(request)}
    if source is not None:
        used = set(request.GET.getlist("used"))
        context |= tree(used, source.schema, request.GET)
    return render(request, "importer/builder/_branches.html", context)


def _query_key(request: PageRequest) -> str:
    """The query whose builder shows the part; forms in it change that query. Raises Http404 without one."""
    key = request.GET.get("key", "")
    if not re.fullmatch(r"[-a-zA-Z0-9_]{1,64}", key):
        raise Http404
    return key


@members_only
@require_safe
def details(request: PageRequest, pk: Any) -> HttpResponse:
    """One table: its columns with type, key, null and default; its size; the frequent values of a column on request."""
    profile = profile_for(request, pk)
    source, trouble = source_of(profile)
    context: dict[str, Any] = {"profile": profile, "trouble": trouble, "key": _query_key(request)}
    if source is not None:
        table = table_named(source.schema, request.GET.get("name", ""), request.GET.get("schema", ""))
        context |= described(table)
        if isinstance(table, Table) and (column := table.column(request.GET.get("column", ""))):
            context |= {"open_column": column.name, **_values(profile, table, column, request.user)}
    return render(request, "importer/builder/_details.html", context)


def table_named(schema: SourceSchema, name: str, in_schema: str) -> Table | PackView:
    """The table or view of that name. Raises Http404."""
    found = (None if in_schema else schema.view(name)) or schema.table(name, in_schema)
    if found is None:
        raise Http404
    return found


def described(table: Table | PackView) -> dict[str, Any]:
    """What the details panel shows of a table."""
    if isinstance(table, PackView):
        return {"table": table, "columns": [(column, "", "") for column in table.columns], "is_view": True}
    links = {name: key for key in table.foreign_keys for name in key.columns}
    columns = []
    for column in table.columns:
        link = links.get(column.name)
        points_at = f"{link.ref_table}.{', '.join(link.ref_columns)}" if link else ""
        columns.append((column, "PK" if column.name in table.primary_key else "", points_at))
    return {"table": table, "columns": columns, "kind": KIND_WORDS.get(table.kind, table.kind)}


def _values(profile: Any, table: Table, column: Column, user: Any) -> dict[str, Any]:
    try:
        found = column_values(profile, table, column.name, by=user)
    except ImporterError as error:
        return {"values_trouble": error}
    hidden = column.role in masking.PERSONAL
    shown = [(masking.masked([value], [column.role or ""])[0], count) for value, count in found]
    return {"values": shown[:5], "is_masked": hidden}


# -- changes -----------------------------------------------------------------------------------------------------


def chosen_table(bench: Workbench, post: QueryDict) -> Table | PackView:
    """The table a form names. Raises InvalidFields."""
    name, schema = post.get("table", "").strip(), post.get("schema", "")
    found = bench.find({"table": name, "schema": schema}) if schema else bench.named(name)
    if found is None:
        closest = nearest(name, bench.schema.names())
        hint = say("Did you mean {closest}?", closest=closest) if closest else ""
        said = say("The source has no table “{name}”.", name=name)
        raise operations.InvalidFields({"table": [f"{said} {hint}".strip()]})
    return found


def start_with(bench: Workbench, post: QueryDict) -> Body:
    """Another base table. What reads the old one is dropped, after it was said."""
    chosen = chosen_table(bench, post)
    old = base_of(bench.body)
    if (old.get("table"), bench.find(old) if old else None) == (chosen.name, chosen):
        return bench.body
    body, lost = without(bench.body, {alias_of(old)}, bench.owner) if old else (dict(bench.body), [])
    if lost and not post.get("confirmed"):
        raise Ask(
            say(
                "Starting with {chosen} instead of {table} drops what reads {table}.",
                chosen=chosen.name,
                table=alias_of(old),
            ),
            lost,
        )
    taken = {alias_of(join) for join in body["joins"]}
    alias = next(
        text for n in range(1, 100) if (text := chosen.name[:58] if n == 1 else f"{chosen.name[:58]}_{n}") not in taken
    )
    body["base_table"] = {
        "table": chosen.name, "schema": chosen.schema if isinstance(chosen, Table) else "", "alias": alias,
    }  # fmt: skip
    return body


CHANGES: dict[str, Change] = {"base.set": start_with}
