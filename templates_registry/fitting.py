"""Which form of a pack's query fits a source, and what is missing (T21, T23, T24). Pure: asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from importer.query import nodes
from importer.query.problems import nearest
from importer.query.scope import FAMILIES
from importer.query.spec import Condition, FilterGroup, Join, QuerySpec, TableRef
from importer.sources.schema import PackView, SourceSchema, Table
from servicevault.wording import say
from templates_registry.pack import Definition, QueryDefinition, QueryForm, Requirement, ViewDefinition

Status = Literal["fits", "fits_with_gaps", "missing"]


@dataclass(frozen=True)
class Gap:
    """Something a query needs and the source does not have."""

    needs: str  # "conversations.customer_email"
    nearest: str = ""  # what is there under a similar name
    is_table: bool = False

    def __str__(self) -> str:
        return (
            say("{needs} (closest: {nearest})", needs=self.needs, nearest=self.nearest) if self.nearest else self.needs
        )


@dataclass(frozen=True)
class QueryFit:
    """How one query of a pack stands to a source."""

    key: str
    name: str
    status: Status
    spec: QuerySpec  # of the chosen form, without the optional parts that are absent
    plain: frozenset[str] = frozenset()  # targets of fields that were given as bare names
    variant: str = ""
    missing_required: tuple[Gap, ...] = ()
    missing_optional: tuple[Gap, ...] = ()
    type_differences: tuple[str, ...] = ()
    reason: str = ""  # why it is missing
    row_estimate: int | None = None
    optional: bool = False


def pack_views(definition: Definition, schema: SourceSchema) -> tuple[PackView, ...]:
    """The views whose tables and columns this source has."""
    return tuple(
        PackView(view.name, view.sql.strip(), view.key, view.key_source, comment=view.comment)
        for view in definition.views
        if not any(unmet(schema, view.requires))
    )


def fit_query(query: QueryDefinition, definition: Definition, schema: SourceSchema) -> QueryFit:
    """The first form the source satisfies, else the closest one with what it lacks.

    Views count as present when `schema.views` has them, or, where it has none, when their requirements are met.
    """
    judged = [_judge(query, form, definition, schema) for form in query.forms]
    fitting = next((fit for fit in judged if fit.status != "missing"), None)
    return fitting or min(reversed(judged), key=_distance)


def with_variant(query: QueryDefinition, variant: str) -> QueryDefinition:
    """The query with this form only, where it has it."""
    forms = tuple(form for form in query.forms if form.variant == variant)
    return replace(query, forms=forms) if variant and forms else query


def unmet(schema: SourceSchema, requirements: Iterable[Requirement]) -> Iterator[Gap | str]:
    """Per requirement that is not met a Gap, or a sentence about a column of another kind."""
    for need in dict.fromkeys(requirements):
        table = schema.table(need.table)
        if table is None:
            yield Gap(need.table, nearest(need.table, [found.name for found in schema.tables]), is_table=True)
        elif need.column and (column := table.column(need.column)) is None:
            yield Gap(str(need), _nearest_column(table, need.column))
        elif need.column and column and need.family and FAMILIES.get(column.base_type, "") != need.family:
            yield say("{need} is {type}; a {family} is expected.", need=need, type=column.type, family=need.family)


def _distance(fit: QueryFit) -> int:
    """How far a form is from fitting: a whole table is much further than a column."""
    return sum(10 if gap.is_table else 1 for gap in fit.missing_required) + len(fit.type_differences)


# -- one form ----------------------------------------------------------------------------------------------------


def _judge(query: QueryDefinition, form: QueryForm, definition: Definition, schema: SourceSchema) -> QueryFit:
    spec, dropped = _without_absent(form, definition, schema)
    needs = [*form.requires, *(need for view in _views_of(spec, definition) for need in view.requires)]
    found = list(unmet(schema, needs))
    gaps = [gap for gap in found if isinstance(gap, Gap)]
    differences = tuple(text for text in found if isinstance(text, str))
    if not gaps and not differences:
        gaps = list(_absent(spec, definition, schema))
    gaps = list(dict.fromkeys(gaps))
    missing = bool(gaps or differences)
    plain = frozenset(form.spec.fields[index].target for index in form.plain)
    return QueryFit(
        key=query.key,
        name=query.name,
        status="missing" if missing else "fits_with_gaps" if dropped else "fits",
        spec=spec,
        plain=plain,
        variant=form.variant,
        missing_required=tuple(gaps),
        missing_optional=tuple(dropped),
        type_differences=differences,
        reason=_reason(query, gaps, differences) if missing else "",
        row_estimate=None if missing else _row_estimate(spec.base, definition, schema),
        optional=query.optional,
    )


def _reason(query: QueryDefinition, gaps: list[Gap], differences: tuple[str, ...]) -> str:
    if query.missing_reason and any(gap.is_table for gap in gaps):
        return query.missing_reason
    if gaps:
        shown = ", ".join(str(gap) for gap in gaps[:3])
        if len(gaps) > 3:
            return say("missing in the source: {shown} and more", shown=shown)
        return say("missing in the source: {shown}", shown=shown)
    return differences[0]


def _views_of(spec: QuerySpec, definition: Definition) -> list[ViewDefinition]:
    refs = [spec.base, *(join.table for join in spec.joins)]
    return [view for ref in refs if not ref.schema and (view := definition.view(ref.name))]


def _without_absent(form: QueryForm, definition: Definition, schema: SourceSchema) -> tuple[QuerySpec, list[Gap]]:
    """The form's spec without the optional joins and fields whose tables or columns are absent."""
    dropped: list[Gap] = []
    joins: list[Join] = []
    gone: set[str] = set()
    for index, join in enumerate(form.spec.joins):
        lacking = list(_absent_relation(join.table, definition, schema)) if index in form.optional_joins else []
        if lacking:
            dropped += lacking
            gone.add(join.table.alias or join.table.name)
        else:
            joins.append(join)
    trimmed = replace(form.spec, joins=tuple(joins))
    fields = []
    for index, item in enumerate(form.spec.fields):
        columns = [
            column for node in (item.source, *item.sources) if node is not None for column in nodes.columns_of(node)
        ]
        if index in form.optional_fields:
            if any(column.table in gone for column in columns):
                continue
            lacking = [gap for column in columns for gap in _absent_column(column, trimmed, definition, schema)]
            if lacking:
                dropped += lacking
                continue
        fields.append(item)
    return replace(trimmed, fields=tuple(fields)), list(dict.fromkeys(dropped))


def _absent(spec: QuerySpec, definition: Definition, schema: SourceSchema) -> Iterator[Gap]:
    """Tables and columns that the spec names itself and the source does not have."""
    if spec.kind == "sql":
        return
    refs = [spec.base, *(join.table for join in spec.joins)]
    lacking = [gap for ref in refs for gap in _absent_relation(ref, definition, schema)]
    yield from lacking
    if lacking:
        return
    for node in _nodes(spec):
        for column in nodes.columns_of(node):
            yield from _absent_column(column, spec, definition, schema)


def _absent_relation(ref: TableRef, definition: Definition, schema: SourceSchema) -> Iterator[Gap]:
    view = None if ref.schema else definition.view(ref.name)
    if view is not None:
        lacking = [gap for gap in unmet(schema, view.requires) if isinstance(gap, Gap)]
        yield from lacking
        # Its columns are of other kinds, or the source refused its SQL.
        refused = bool(schema.views) and schema.view(view.name) is None
        if not lacking and (refused or any(unmet(schema, view.requires))):
            yield Gap(view.name, is_table=True)
    elif schema.table(ref.name, ref.schema) is None and schema.view(ref.name) is None:
        yield Gap(ref.name, nearest(ref.name, schema.names()), is_table=True)


def _absent_column(
    column: nodes.Column, spec: QuerySpec, definition: Definition, schema: SourceSchema
) -> Iterator[Gap]:
    refs = [spec.base, *(join.table for join in spec.joins)]
    named = [ref for ref in refs if column.table in (ref.alias, ref.name)] if column.table else refs
    tables: list[Table] = []
    for ref in named:
        if not ref.schema and definition.view(ref.name):
            view = schema.view(ref.name)
            if view is None or not view.columns or column.name in {found.name for found in view.columns}:
                return  # nobody has asked the source what the view yields
            continue
        table = schema.table(ref.name, ref.schema)
        if table is None or {column.name, column.name.lower()} & set(table.column_map):
            return
        tables.append(table)
    first = tables[0] if tables else None
    place = first.name if first else named[0].name if named else column.table
    yield Gap(f"{place}.{column.name}", _nearest_column(first, column.name) if first else "")


def _nodes(spec: QuerySpec) -> Iterator[nodes.Node]:
    for item in spec.fields:
        if item.source is not None:
            yield item.source
        yield from item.sources
    for join in spec.joins:
        for condition in join.conditions:
            yield condition.left
            yield condition.right
        if join.where is not None:
            yield join.where
    yield from _conditions(spec.filters)
    yield from spec.group_by


def _conditions(group: FilterGroup) -> Iterator[nodes.Node]:
    for item in group.items:
        if isinstance(item, Condition):
            yield item.field
        else:
            yield from _conditions(item)


def _nearest_column(table: Table, name: str) -> str:
    closest = nearest(name, table.column_map)
    return f"{table.name}.{closest}" if closest else ""


def _row_estimate(base: TableRef, definition: Definition, schema: SourceSchema) -> int | None:
    """What the catalogue knows of the table the rows come from."""
    view = None if base.schema else definition.view(base.name)
    if view is None:
        table = schema.table(base.name, base.schema)
    else:
        table = schema.table(view.key_source.split(".")[0]) if view.key_source else None
    return table.row_estimate if table else None
