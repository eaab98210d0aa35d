"""What a source database contains, as plain values: the map every query is checked against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

TableKind = Literal["table", "partitioned", "view", "matview", "foreign", "pack_view"]


@dataclass(frozen=True)
class Column:
    name: str
    type: str  # as format_type() prints it: "character varying(255)", "timestamp without time zone"
    nullable: bool = True
    default: str | None = None
    comment: str | None = None
    role: str | None = None  # email, phone, name, created, updated, ... (I12); a suggestion only

    @property
    def base_type(self) -> str:
        """The type without its modifier: "character varying(255)" gives "character varying"."""
        return self.type.split("(")[0].strip() + ("" if ")" not in self.type else self.type.split(")", 1)[1].rstrip())


@dataclass(frozen=True)
class ForeignKey:
    columns: tuple[str, ...]
    ref_schema: str
    ref_table: str
    ref_columns: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class Index:
    name: str
    columns: tuple[str, ...]  # empty strings stand for expressions
    unique: bool = False


@dataclass(frozen=True)
class Table:
    schema: str
    name: str
    kind: TableKind = "table"
    columns: tuple[Column, ...] = ()
    primary_key: tuple[str, ...] = ()
    unique_keys: tuple[tuple[str, ...], ...] = ()  # without the primary key; partial indexes are left out
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[Index, ...] = ()
    row_estimate: int | None = None  # from pg_class; None when never analysed
    size_bytes: int | None = None
    comment: str | None = None

    @cached_property
    def column_map(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> Column | None:
        """The column of exactly this name, or None."""
        return self.column_map.get(name)

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    def single_keys(self) -> tuple[str, ...]:
        """Columns that alone identify a row: the primary key first, then NOT NULL unique columns."""
        keys = [key[0] for key in (self.primary_key, *self.unique_keys) if len(key) == 1]
        return tuple(
            name
            for name in dict.fromkeys(keys)
            if name in self.primary_key or (name in self.column_map and not self.column_map[name].nullable)
        )


@dataclass(frozen=True)
class PackView:
    """A named SELECT a pack brings; usable wherever a table is, placed in a WITH clause by the compiler."""

    name: str
    sql: str
    key: str = ""  # output column that identifies a row, if any
    key_source: str = ""  # "table.column" whose values contain the key's: ranges are planned on its index
    columns: tuple[Column, ...] = ()
    comment: str = ""


@dataclass(frozen=True)
class SourceSchema:
    tables: tuple[Table, ...]
    views: tuple[PackView, ...] = ()  # of the applied pack
    search_schemas: tuple[str, ...] = ("public",)  # where a name without schema is looked up, in order
    server_version: int = 0  # as server_version_num
    database: str = ""

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, str], Table]:
        return {(table.schema, table.name): table for table in self.tables}

    def table(self, name: str, schema: str = "") -> Table | None:
        """The table of exactly this name; without a schema the search schemas, then a unique hit anywhere."""
        if schema:
            return self._by_name.get((schema, name))
        for candidate in self.search_schemas:
            if (candidate, name) in self._by_name:
                return self._by_name[candidate, name]
        hits = [table for table in self.tables if table.name == name]
        return hits[0] if len(hits) == 1 else None

    def view(self, name: str) -> PackView | None:
        return next((view for view in self.views if view.name == name), None)

    def with_views(self, views: Iterable[PackView]) -> SourceSchema:
        """This schema with a pack's views beside the tables."""
        return replace(self, views=tuple(views))

    def names(self) -> list[str]:
        """Every name a query may start from, views of the pack first."""
        return [view.name for view in self.views] + [table.name for table in self.tables]


@dataclass(frozen=True)
class Relation:
    """A join that is declared or likely: child columns point at parent columns."""

    schema: str
    table: str
    columns: tuple[str, ...]
    ref_schema: str
    ref_table: str
    ref_columns: tuple[str, ...]
    source: Literal["foreign_key", "inferred"] = "foreign_key"
    confidence: float = 100.0  # 0-100
    evidence: tuple[str, ...] = ()  # sentences for people
    multiplicity: Literal["1:1", "n:1", "unknown"] = "n:1"
    polymorphic: bool = False
    type_column: str = ""  # the sibling *_type column of a polymorphic pair
    type_values: tuple[str, ...] = field(default=())
