"""Tables as people may see them: which there are, how they are made, what is in them, what is permitted (F-001 to F-014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter import reading
from exporter.errors import NotPermitted
from exporter.planning import permitted_columns, planned, table_of
from exporter.selection import Selection
from exporter.wanted import Wanted
from permissions.tables import (
    ExportAllowance,
    ImportAllowance,
    export_allowance,
    exportable_tables,
    import_allowance,
    importable_tables,
)
from servicevault import catalog, tables
from servicevault.tables import Column, Table

SAMPLED = 3


@dataclass(frozen=True)
class Offered:
    """A table in the list."""

    table_name: str
    label: str
    row_estimate: int
    can_import: bool
    can_export: bool
    target_type: str


def available(user: Any) -> list[Offered]:
    """Tables the person may import or export, sorted by name (F-001, F-004). Three queries."""
    imports, exports = importable_tables(user), exportable_tables(user)
    types = {target.table: target.name for target in catalog.all_targets()}
    found = []
    for table in tables.listed():
        can_import = imports is None or table.name in imports
        can_export = exports is None or table.name in exports
        if can_import or can_export:
            label = table.comment or table.name.replace("_", " ").capitalize()
            kind = types.get(table.name, f"table:{table.name}")
            found.append(Offered(table.name, label, table.row_estimate, can_import, can_export, kind))
    return found


@dataclass(frozen=True)
class Described:
    """A table with what the person may know of it."""

    table: Table
    imports: ImportAllowance
    exports: ExportAllowance
    importable: Mapping[str, Column]
    exportable: Mapping[str, Column]
    sample: list[dict[str, Any]]

    @property
    def columns(self) -> list[Column]:
        """Columns of either direction, in table order."""
        return [column for column in self.table.columns if column.name in {**self.importable, **self.exportable}]


def describe(name: str, user: Any, *, samples: bool = True) -> Described:
    """The table's make and three rows of it (F-005 to F-008). Raises UnknownTable, NotPermitted."""
    table = table_of(name)
    imports, exports = import_allowance(user, table.name), export_allowance(user, table.name)
    if not (_allows(imports) or _allows(exports)):
        raise NotPermitted(table.name, "see")
    importable = {
        column.name: column
        for column in table.columns
        if _allows(imports)
        and column.writable
        and (not imports.allowed_columns or column.name in imports.allowed_columns)
    }
    exportable = permitted_columns(table, exports) if _allows(exports) else {}
    rows: list[dict[str, Any]] = []
    if samples and exports.can_preview and exportable:
        # What a row filter keeps away is kept away here too.
        rows = table_data(name, user, limit=SAMPLED, counted=False).data
    return Described(table, imports, exports, importable, exportable, rows)


def _allows(allowance: ImportAllowance | ExportAllowance) -> bool:
    """Whether anything at all may be done in this direction; a preview alone is something (F-125)."""
    if isinstance(allowance, ExportAllowance):
        return allowance.can_export or allowance.can_preview
    return allowance.can_import or allowance.can_validate or allowance.can_preview


def allowances(name: str, user: Any) -> tuple[Table, ImportAllowance, ExportAllowance]:
    """What is permitted as stored; nothing at all is an answer too (F-010). Raises UnknownTable."""
    table = table_of(name)
    return table, import_allowance(user, table.name), export_allowance(user, table.name)


@dataclass(frozen=True)
class TableData:
    """A page of rows as JSON."""

    table: Table
    columns: tuple[str, ...]
    data: list[dict[str, Any]]
    total_rows: int
    is_exact: bool
    offset: int
    limit: int

    @property
    def has_more(self) -> bool:
        return self.offset + len(self.data) < self.total_rows


def table_data(
    name: str,
    user: Any,
    *,
    limit: int = 50,
    offset: int = 0,
    search: str = "",
    filters: Any = (),
    sort: Sequence[Mapping[str, Any]] = (),
    columns: Sequence[str] = (),
    counted: bool = True,
) -> TableData:
    """Rows by page, in the order of the primary key unless said otherwise (F-012); needs can_preview of export.

    Raises UnknownTable, NotPermitted, InvalidColumns, InvalidFields.
    """
    selection = selection_of(Wanted(name, selected_columns=columns, filters=filters, search=search, sort=sort), user)
    total, is_exact = reading.count(selection) if counted else (0, False)
    rows = reading.page(selection, limit=limit, offset=offset)
    data = [
        {column: reading.shown(value) for column, value in zip(selection.columns, row, strict=True)} for row in rows
    ]
    return TableData(selection.table, selection.columns, data, total, is_exact, offset, limit)


def selection_of(wanted: Wanted, user: Any) -> Selection:
    """The rows a person may look at, whatever formats they may export."""
    return planned(wanted, user, preview=True, any_format=True).selection
