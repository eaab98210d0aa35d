"""Everything a block is rendered from: the person's draft, the map of the source, the target."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.cache import cache
from django.http import Http404, QueryDict
from django.utils.text import slugify

from importer import operations
from importer.errors import ImporterError, SourceError
from importer.models import ImportProfile, ImportQuery, QueryDraft
from importer.operations.drafts import body_in, is_changed
from importer.query import nodes
from importer.query.expressions import Scope, ScopeTable, parse, render
from importer.query.raw import RawQuery, read_raw
from importer.query.scope import family
from importer.sources.schema import Column, PackView, SourceSchema, Table
from importer.web.builder.body import Body, alias_of, base_of, columns_in, plain
from importer.web.profiles import PAGE
from permissions import policy
from servicevault import catalog
from servicevault.web.pages import PageRequest

SQL_ALIAS = "query"  # of the text of a query in SQL, as the compiler calls it
DOWN_SECONDS = 30  # a source that did not answer is not asked again for each change


class Ask(Exception):
    """A change that drops something: what would be lost is said first, and done when the person confirms."""

    def __init__(self, sentence: str, lost: list[str]) -> None:
        super().__init__(sentence)
        self.sentence, self.lost = sentence, lost


@dataclass(frozen=True)
class Option:
    """A column as the comboboxes offer it."""

    text: str  # as it is written in an expression
    name: str
    type: str
    group: str  # the table's alias
    is_key: bool = False


@dataclass(frozen=True)
class Placed:
    """A table where it stands in the query; `table` is None when the source has none of that name."""

    alias: str
    ref: Body
    table: Table | PackView | None

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.table.columns if self.table else ()

    @property
    def full_name(self) -> str:
        if isinstance(self.table, Table):
            return self.table.full_name
        return str(self.ref.get("table") or "")


@dataclass
class Workbench:
    """One query on one person's bench."""

    profile: ImportProfile
    user: Any
    draft: QueryDraft
    query: ImportQuery | None  # as it is saved; None before the first time
    source: operations.SourceMap | None
    trouble: ImporterError | None  # why there is no source

    @cached_property
    def body(self) -> Body:
        return plain(body_in(self.draft))

    @property
    def is_changed(self) -> bool:
        return is_changed(self.draft)

    @property
    def is_stale(self) -> bool:
        """Whether somebody saved the query since the draft was begun (U2)."""
        return self.query is not None and 0 < self.draft.base_version < self.query.version

    @property
    def is_sql(self) -> bool:
        """Whether somebody wrote the query as SQL; it has no tables and filters to build with then."""
        return self.body.get("kind") == "sql"

    @property
    def schema(self) -> SourceSchema:
        return self.source.schema if self.source else SourceSchema(())

    @cached_property
    def target(self) -> catalog.Target | None:
        try:
            return catalog.get(str(self.body.get("target_type") or ""))
        except catalog.UnknownTarget:
            return None

    @cached_property
    def tables(self) -> list[Placed]:
        listed = [base_of(self.body), *self.body["joins"]] if base_of(self.body) and not self.is_sql else []
        return [Placed(alias_of(ref), ref, self.find(ref)) for ref in listed]

    def find(self, ref: Body) -> Table | PackView | None:
        """The table of a reference, a view of the pack first as the compiler does it."""
        name, schema = str(ref.get("table") or ""), str(ref.get("schema") or "")
        return (None if schema else self.schema.view(name)) or self.schema.table(name, schema)

    def named(self, text: str) -> Table | PackView | None:
        """The table a person wrote: its name, or schema.name; both may hold dots."""
        cuts = [place for place, letter in enumerate(text) if letter == "."]
        pairs = [("", text), *((text[:place], text[place + 1 :]) for place in cuts)]
        return next((found for schema, name in pairs if (found := self.find({"table": name, "schema": schema}))), None)

    @cached_property
    def raw(self) -> RawQuery:
        """The text of a query in SQL, read; empty for a built one."""
        return read_raw(str(self.body.get("sql") or ""), self.body.get("params") or {}) if self.is_sql else RawQuery(())

    @property
    def may_write_sql(self) -> bool:
        return policy.has(self.user, operations.RAW_SQL)

    @cached_property
    def options(self) -> list[Option]:
        if self.is_sql:
            return [Option(render(nodes.Column(name)), name, "", SQL_ALIAS) for name in self.raw.columns]
        return [
            Option(
                render(nodes.Column(column.name, placed.alias)),
                column.name,
                column.type,
                placed.alias,
                isinstance(placed.table, Table) and column.name in placed.table.primary_key,
            )
            for placed in self.tables
            for column in placed.columns
        ]

    @cached_property
    def scope(self) -> Scope:
        """The tables of the query as expressions see them; of SQL, the columns of its text."""
        if self.is_sql:
            return Scope((ScopeTable(SQL_ALIAS, SQL_ALIAS, "", dict.fromkeys(self.raw.columns, "")),), aggregates=True)
        listed = [
            ScopeTable(
                placed.alias,
                str(placed.ref.get("table") or ""),
                placed.table.schema if isinstance(placed.table, Table) else "",
                {column.name: column.base_type for column in placed.columns},
            )
            for placed in self.tables
        ]
        return Scope(tuple(listed), aggregates=True)

    def owner(self, column: nodes.Column) -> str:
        """The alias of the table a column belongs to; a name without prefix that nobody has is the base table's."""
        hits = self.scope.find(column) or (self.scope.qualified(column.table) if column.table else [])
        return hits[0].alias if hits else column.table or (self.tables[0].alias if self.tables else "")

    def column_of(self, text: str) -> Column | None:
        """The source column a text names; None when it is another expression."""
        found = columns_in(text)
        if len(found) != 1 or render(found[0]) != text:
            return None
        alias = self.owner(found[0])
        placed = next((item for item in self.tables if item.alias == alias), None)
        return next((item for item in placed.columns if item.name == found[0].name), None) if placed else None

    def family(self, text: str) -> str:
        """The kind of value an expression gives: text, number, date, ...; "" when it cannot be told."""
        try:
            return family(parse(text), self.scope)
        except ImporterError:
            return ""

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.body, sort_keys=True, default=str).encode()).hexdigest()


Change = Callable[[Workbench, QueryDict], Body]


def profile_for(request: PageRequest, pk: Any) -> ImportProfile:
    """The profile, for somebody who may configure it; else 404 or 403 as everywhere."""
    policy.require(request.user, PAGE)
    return policy.fetch(ImportProfile.objects.all(), request.user, "change", pk)


def workbench(request: PageRequest, pk: Any, key: str, *, refresh: bool = False) -> Workbench:
    """The bench with the person's draft of a query that is saved or begun."""
    profile = profile_for(request, pk)
    query = ImportQuery.objects.select_related("changed_by").filter(profile=profile, key=key).first()
    if query is None and not QueryDraft.objects.filter(profile=profile, user=request.user, key=key).exists():
        raise Http404
    draft = operations.open_draft(profile, request.user, key)
    source, trouble = source_of(profile, refresh=refresh)
    return Workbench(profile, request.user, draft, query, source, trouble)


def source_of(
    profile: ImportProfile, *, refresh: bool = False
) -> tuple[operations.SourceMap | None, ImporterError | None]:
    """The map of the source, or why there is none; a failure is remembered for half a minute."""
    place = f"builder-down:{profile.pk}:{profile.version}"
    known: ImporterError | None = None if refresh else cache.get(place)
    if known is not None:
        return None, known
    try:
        return operations.source_map(profile, refresh=refresh), None
    except ImporterError as error:
        plain_error = SourceError(error.message, hint=error.hint, where=error.where, code=error.code)
        cache.set(place, plain_error, DOWN_SECONDS)
        return None, plain_error


def free_key(profile: ImportProfile, user: Any, wanted: str) -> str:
    """A key no query and no draft of this person has."""
    taken = set(profile.queries.values_list("key", flat=True)) | set(
        profile.drafts.filter(user=user).values_list("key", flat=True)
    )
    stem = slugify(wanted)[:58] or "query"
    return next(name for n in range(1, 1000) if (name := stem if n == 1 else f"{stem}_{n}") not in taken)
