"""An export as it will be done: what was wanted, checked against the table and the rights of who asks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DataError, ProgrammingError, connection, transaction
from psycopg import sql

from exporter import filters
from exporter.bounds import Bounds
from exporter.errors import ExportError, InvalidColumns, InvalidFields, NotPermitted, UnknownTable
from exporter.selection import Selection, column_of
from exporter.wanted import Wanted
from importer.query.composing import Parameters, binary, cast
from importer.query.operators import escape_like
from importer.query.spec import FilterGroup
from permissions import policy
from permissions.tables import ExportAllowance, allows_format, export_allowance
from servicevault import tables
from servicevault.tables import Column, Table
from servicevault.tabular import formats
from servicevault.tabular.contract import Format
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.filenames import cleaned
from servicevault.tabular.options import WriteOptions, snake
from servicevault.wording import say

SHEET_ROWS, SHEET_COLUMNS = 1_048_575, 16_384  # of Excel (F-177)
NAME_CHARACTERS = 150


@dataclass(frozen=True)
class Extras:
    """The options of F-111 and F-112 that are about the file, not about its cells."""

    compression: str = "auto"
    filename: str = ""
    row_limit: int | None = None
    split_rows: int | None = None
    round_trip: bool = False
    search_term: str = ""


@dataclass(frozen=True)
class Plan:
    """What will be written: everything here may be."""

    table: Table
    allowance: ExportAllowance
    format: Format
    selection: Selection
    options: WriteOptions
    extras: Extras

    @property
    def limit(self) -> int:
        """Most rows of this export (F-093)."""
        if self.format.name == "xlsx" and self.extras.split_rows is None:
            return min(self.allowance.max_rows_per_export, SHEET_ROWS)
        return self.allowance.max_rows_per_export

    def filename(self, now: datetime) -> str:
        """The name of the file, without what compression adds to it."""
        ending = f".{self.format.extensions[0]}"
        default = f"{cleaned(self.table.name)[:120]}_{now:%Y%m%d-%H%M%S}"
        given = (
            cleaned(self.extras.filename, default)[: NAME_CHARACTERS - len(ending)] if self.extras.filename else default
        )
        return given if given.lower().endswith(ending) else given + ending


def table_of(name: str) -> Table:
    """The table. Raises UnknownTable, for internal ones too."""
    try:
        return tables.find(name)
    except tables.UnknownTable:
        raise UnknownTable(name) from None


def permitted_columns(table: Table, allowance: ExportAllowance) -> dict[str, Column]:
    """Columns the caller may see, in table order (F-131)."""
    return {
        column.name: column
        for column in table.open_columns
        if not allowance.allowed_columns or column.name in allowance.allowed_columns
    }


def planned(
    wanted: Wanted, user: Any, *, preview: bool = False, any_format: bool = False, now: datetime | None = None
) -> Plan:
    """The export, checked. A few catalog queries, one for the rights, one for the values of filters.

    Raises UnknownTable, NotPermitted, InvalidColumns, InvalidFields.
    """
    table = table_of(wanted.table_name)
    bounds = Bounds.of(wanted.within)
    allowance = bounds.narrowed(export_allowance(user, table.name))
    if not (allowance.can_preview if preview else allowance.can_export):
        raise NotPermitted(table.name, "preview" if preview else "export")
    chosen = formats.writable("csv") if any_format else _format(wanted.export_format, allowance)
    extras, options = _options(wanted, chosen, table, user)
    permitted = bounds.left_of(permitted_columns(table, allowance))
    selection = Selection(
        table,
        _columns(wanted, table, permitted, round_trip=extras.round_trip),
        sort=_sort(wanted.sort, table, permitted),
        row_limit=extras.row_limit,
    )
    fixed = [allowance.row_filter, bounds.filters]
    selection = _with_conditions(selection, wanted, permitted, fixed, extras=extras, now=now or datetime.now(UTC))
    if chosen.name == "xlsx" and len(selection.columns) > SHEET_COLUMNS:
        raise InvalidFields(
            {
                "export_format": [
                    say(
                        "An Excel sheet has at most {sheet_columns:,} columns. Choose csv.", sheet_columns=SHEET_COLUMNS
                    )
                ]
            }
        )
    return Plan(table, allowance, chosen, selection, options, extras)


def _format(name: str, allowance: ExportAllowance) -> Format:
    try:
        found = formats.writable(name)
    except OptionRefused as error:
        raise InvalidFields({"export_format": [str(error)]}, allowed_formats=list(allowance.allowed_formats)) from error
    if not allows_format(allowance, found.name) or found.name not in settings.EXPORT_ALLOWED_FORMATS:
        raise InvalidFields(
            {"export_format": [say("{found} is not among the formats you may export.", found=found.label)]},
            allowed_formats=[name for name in allowance.allowed_formats if name != "xls"],
        )
    return found


def row_filter_fault(given: Mapping[str, Any], table: Table) -> str:
    """What is wrong with the row filter of a permission; "" when nothing."""
    try:
        group = filters.parse(given, table, table.by_name, where="row_filter")
        _check_values(filters.typed_values(group, table))
        parameters = Parameters()
        condition = filters.compose(group, table, parameters, now=datetime.now(UTC))
        if condition is not None:
            _check_runs(Selection(table, (), conditions=(condition,), values=dict(parameters.values)))
    except ExportError as error:
        return str(error)
    return ""


# -- options


def _options(wanted: Wanted, chosen: Format, table: Table, user: Any) -> tuple[Extras, WriteOptions]:
    if not isinstance(wanted.export_options, Mapping):
        raise InvalidFields({"export_options": [say("Options are an object.")]})
    given = {snake(str(key)): value for key, value in wanted.export_options.items()}
    own = {"format", "compression", "filename", "row_limit", "split_rows", "round_trip", "search_term"}
    try:
        options = WriteOptions.parse(given, others=own)
    except OptionRefused as error:
        raise InvalidFields({f"export_options.{error.option}"[:120]: [str(error)]}) from error
    if "format" in given:
        _check_same_format(given["format"], chosen)
    if options.date_format == "auto" or not options.encoding:
        raise InvalidFields({"export_options": [say("`auto` is for reading files; say how to write this one.")]})
    if not options.formula_guard and user is not None and not policy.has(user, "export.unguarded"):
        raise policy.Denied("export.unguarded")
    root = options.root_name if "root_name" in given else table.relation
    return _extras(given), replace(options, compression="none", root_name=root)


def _check_same_format(given: Any, chosen: Format) -> None:
    try:
        same = formats.writable(str(given)) is chosen
    except OptionRefused:
        same = False
    if not same:
        raise InvalidFields(
            {
                "export_options.format": [
                    say("This is not the export_format, {chosen}. Leave one out.", chosen=chosen.name)
                ]
            }
        )


def _extras(given: Mapping[str, Any]) -> Extras:
    def fault(name: str, words: str) -> InvalidFields:
        return InvalidFields({f"export_options.{name}": [say("Option `{name}` is {words}.", name=name, words=words)]})

    def number(name: str) -> int | None:
        value = given.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31):
            raise fault(name, say("a whole number from 1"))
        return value

    compression = given.get("compression", "auto")
    if compression not in ("none", "auto", "gzip", "zip"):
        raise fault("compression", "none, auto, gzip or zip")
    for name in ("filename", "search_term"):
        if not isinstance(given.get(name, ""), str) or len(given.get(name, "")) > 255:
            raise fault(name, say("a text of at most 255 characters"))
    if not isinstance(given.get("round_trip", False), bool):
        raise fault("round_trip", "true or false")
    return Extras(
        compression=compression,
        filename=given.get("filename", ""),
        row_limit=number("row_limit"),
        split_rows=number("split_rows"),
        round_trip=given.get("round_trip", False),
        search_term=given.get("search_term", ""),
    )


# -- columns, order, conditions


def _columns(wanted: Wanted, table: Table, permitted: Mapping[str, Column], *, round_trip: bool) -> tuple[str, ...]:
    chosen = tuple(wanted.selected_columns or permitted)
    if not all(isinstance(name, str) for name in chosen):
        raise InvalidFields({"selected_columns": [say("Columns are a list of names.")]})
    if unknown := [name for name in dict.fromkeys(chosen) if name not in permitted]:
        raise InvalidColumns(table.name, unknown)
    if len(set(chosen)) < len(chosen):
        twice = sorted({name for name in chosen if chosen.count(name) > 1})
        raise InvalidColumns(table.name, twice, why=say("Column `{twice}` is chosen twice.", twice=twice[0]))
    if not chosen:
        raise NotPermitted(table.name)
    if round_trip:  # the keys by which an import finds the rows again
        keys = [name for name in table.primary_key if name in permitted and name not in chosen]
        return (*keys, *chosen)
    return chosen


def _sort(sort: Any, table: Table, permitted: Mapping[str, Column]) -> tuple[tuple[str, bool], ...]:
    if not isinstance(sort, list | tuple):
        raise InvalidFields({"sort": [say("An order is a list of {column, direction}.")]})
    found: list[tuple[str, bool]] = []
    for index, item in enumerate(sort):
        if (
            not isinstance(item, Mapping)
            or not isinstance(item.get("column"), str)
            or set(item) - {"column", "direction"}
        ):
            raise InvalidFields({f"sort[{index}]": [say("An order is an object {column, direction}.")]})
        direction = item.get("direction", "asc")
        if direction not in ("asc", "desc"):
            raise InvalidFields({f"sort[{index}].direction": [say("A direction is asc or desc.")]})
        found.append((item["column"], direction == "desc"))
    if unknown := [name for name, _ in found if name not in permitted]:
        raise InvalidColumns(table.name, unknown)
    for name, _ in found:
        if permitted[name].base in {"json", "xml", "point"}:
            raise InvalidFields({"sort": [say("Column `{name}` has no order.", name=name)]})
    return tuple(dict(found).items())


def _with_conditions(
    selection: Selection,
    wanted: Wanted,
    permitted: Mapping[str, Column],
    fixed: Sequence[Any],
    *,
    extras: Extras,
    now: datetime,
) -> Selection:
    table = selection.table
    parts: list[tuple[FilterGroup, Mapping[str, filters.Related]]] = [
        (filters.parse(wanted.filters, table, permitted), {})
    ]
    # The filters of a permission and of a page may name columns that the caller does not see: they are not theirs.
    for each in fixed:
        beside = filters.related(each, table)
        parts.append((filters.parse(each, table, {**table.by_name, **beside}, where="row_filter"), beside))
    _check_values([value for group, beside in parts for value in filters.typed_values(group, table, beside)])
    parameters = Parameters()
    composed = [filters.compose(group, table, parameters, now=now, beside=beside) for group, beside in parts]
    conditions = [condition for condition in composed if condition is not None]
    text = wanted.search or extras.search_term
    if text:
        conditions.append(_search(text, wanted.search_columns, table, permitted, parameters))
    elif wanted.search_columns:
        _searched(wanted.search_columns, table, permitted)
    selection = replace(
        selection,
        conditions=tuple(conditions),
        values=dict(parameters.values),
        filters_by_closed=any(_names_closed(each, table) for each in fixed),
    )
    _check_runs(selection)
    return selection


def _names_closed(row_filter: Any, table: Table) -> bool:
    try:
        filters.parse(row_filter, table, {column.name: column for column in table.open_columns}, where="row_filter")
    except InvalidColumns:
        return True
    return False


def _search(
    text: str, names: Sequence[str], table: Table, permitted: Mapping[str, Column], parameters: Parameters
) -> sql.Composable:
    """Containment without regard to case, `%` and `_` meant literally (F-114)."""
    if "\x00" in text:
        raise InvalidFields({"search": [say("The text holds a character that no database text can hold.")]})
    columns = _searched(names, table, permitted)
    if not columns:
        return sql.SQL("FALSE")
    pattern = cast(parameters.bind(f"%{escape_like(text)}%", "text"), "text")
    parts = [binary(cast(column_of(name), "text"), "~~*", pattern) for name in columns]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts))


def _searched(names: Sequence[str], table: Table, permitted: Mapping[str, Column]) -> list[str]:
    if unknown := [str(name) for name in names if name not in permitted]:
        raise InvalidColumns(table.name, unknown)
    return list(names) or [column.name for column in permitted.values() if column.is_text]


def _check_values(values: list[tuple[str, str, str]]) -> None:
    """Raise InvalidFields naming the first value that is not of its column's type (F1)."""
    if not values:
        return
    _, types, texts = (list(part) for part in zip(*values, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT no FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS given(kind, word, no) "
            "WHERE NOT pg_input_is_valid(word, kind) ORDER BY no LIMIT 1",
            [types, texts],
        )
        row = cursor.fetchone()
    if row:
        column, kind, text = values[row[0] - 1]
        raise InvalidFields(
            {
                "filters": [
                    say(
                        "Column `{column}` is {kind}; “{text}” is no such value.",
                        column=column,
                        kind=kind,
                        text=text[:60],
                    )
                ]
            }
        )


def _check_runs(selection: Selection) -> None:
    """Raise InvalidFields for a condition the database does not take, such as an order of JSON or a bad pattern."""
    if not selection.conditions:
        return
    statement, values = selection.explaining()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)  # type: ignore[arg-type]
    except (DataError, ProgrammingError) as error:
        said = re.sub(r"\s+", " ", str(error.__cause__ or error)).split(" LINE ")[0]
        raise InvalidFields(
            {"filters": [say("The database does not take these filters: {said}", said=said[:200])]}
        ) from error
