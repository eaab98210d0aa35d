"""What an import into one table does, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import sql

from importer.pipeline.binding import name
from importer.pipeline.plan import LoadPlan
from servicevault.tables import Column, ForeignKey, Table

Strategy = Literal["skip", "update", "error"]


@dataclass(frozen=True)
class TableCheck:
    """A check constraint of the table."""

    name: str
    condition: str  # SQL over the table's columns
    columns: tuple[str, ...]


@dataclass(frozen=True)
class TablePlan:
    """Everything the statements of a table's slices are generated from."""

    load: LoadPlan  # target, mapping, zone: what `prepare` and the findings need
    table: Table
    key: tuple[str, ...] = ()  # columns by which a row is recognised; none: every row is new
    strategy: Strategy = "skip"
    unique: tuple[tuple[str, ...], ...] = ()  # other unique keys that the mapping fills
    foreign: tuple[ForeignKey, ...] = ()  # to other tables, filled by the mapping
    checks: tuple[TableCheck, ...] = ()
    fills: Mapping[str, tuple[Any, str]] = field(default_factory=dict)  # column → (value, type); on create (F-066)
    touches: str = ""  # column that takes the time of an update
    year: int = 2000  # the current one
    made_up: Mapping[str, int] = field(default_factory=dict)  # column → free number from which lines count down
    identifier: str = ""  # member of a row that names it in its source; a file's rows are named by their lines

    @property
    def quoted(self) -> sql.Composable:
        """The table in a statement that takes parameters."""
        return name(self.table.schema, self.table.relation)

    @property
    def mapped(self) -> tuple[str, ...]:
        """Columns the file fills, in the mapping's order."""
        return tuple(mapped.field.name for mapped in self.load.mapped)

    @property
    def numbered(self) -> tuple[Column, ...]:
        """Columns that the file does not fill and that get their value before the row is written.

        Those of the primary key; where no number is to be used up, all that the database would number.
        """
        names = dict.fromkeys((*self.table.primary_key, *self.made_up))
        return tuple(self.table.by_name[name] for name in names if name not in self.mapped)

    @property
    def rules(self) -> tuple[tuple[str, ...], ...]:
        """Keys of which the file may hold each value once: the duplicate key first."""
        return ((self.key,) if self.key else ()) + self.unique


def kept(column: str) -> sql.Composable:
    """The column of `work` that holds the value for the table's column; the name may hold any character."""
    return name(f"to:{column}")
