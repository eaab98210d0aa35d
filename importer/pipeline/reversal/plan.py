"""What one run of a rollback does, as plain values: one table, one level of rows that refer to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from psycopg import sql

from importer.pipeline.binding import fragment, name
from servicevault import catalog
from servicevault.tables import Column, Table

TOUCHED = "updated_at"  # takes the time of each update: by itself it is nobody's work
_NOT_COMPARED_AS_SUCH = {"xml", "point", "polygon", "box", "path", "line", "circle"}


@dataclass(frozen=True)
class Child:
    """A foreign key that leads to the plan's table, from whatever table."""

    schema: str
    relation: str
    columns: tuple[str, ...]
    referred: tuple[str, ...]
    key: tuple[str, ...]  # the primary key of the rows that refer; none: they are named by where they lie
    has_uuid: bool  # the primary key is one UUID

    @property
    def quoted(self) -> sql.Composable:
        return name(self.schema, self.relation)

    @property
    def table_name(self) -> str:
        """As `Table.name`."""
        return self.relation if self.schema == "public" else f"{self.schema}.{self.relation}"


@dataclass(frozen=True)
class ReversalPlan:
    """Everything the statements of one run are generated from."""

    table: Table
    types: tuple[str, ...]  # target types that write into the table, "table:<name>" among them
    key: tuple[str, ...]  # columns that find a target again
    purpose: str  # preview, rollback or undo
    origin_id: str  # the import
    undoes_id: str = ""  # of an undo: the rollback
    brings_back: bool = False  # an undo, or the preview of one
    is_ring: bool = False  # rows of the run refer to each other in a ring: they are judged and removed as one
    children: tuple[Child, ...] = ()
    runs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # table → runs of this job

    @property
    def quoted(self) -> sql.Composable:
        """The table in a statement that takes parameters."""
        return name(self.table.schema, self.table.relation)

    @property
    def is_preview(self) -> bool:
        return self.purpose == "preview"

    @property
    def has_uuid(self) -> bool:
        """Whether records name targets by one UUID."""
        return len(self.key) == 1 and self.table.by_name[self.key[0]].base == "uuid"

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Columns that images tell of and that can be written."""
        return tuple(column for column in self.table.open_columns if not column.generated)

    @property
    def settled(self) -> sql.Composable:
        """Whether row `t` is built on outside of any foreign key."""
        found = [target.settled for target in catalog.all_targets() if target.table == self.table.name]
        conditions = [fragment(text) for text in found if text]
        return sql.SQL(" OR ").join(conditions) if conditions else sql.SQL("false")

    def same(self, row: str = "t", *, of_key: bool = False) -> sql.Composable:
        """Whether the row is the target that `w` names: a row of `work`, or with `of_key` of the listing."""
        if self.has_uuid:
            named_id = sql.SQL("w.key::uuid") if of_key else sql.SQL("w.target_id")
            return sql.SQL("{} = {}").format(name(row, self.key[0]), named_id)
        named_key = sql.SQL("(CASE WHEN w.key LIKE '{{%%' THEN w.key::jsonb END)").format()
        return sql.SQL(" AND ").join(
            sql.SQL("{} = ({} ->> {})::{}").format(
                name(row, column),
                named_key if of_key else sql.SQL("w.target_key"),
                sql.Literal(column.replace("%", "%%")),
                fragment(self.table.by_name[column].sql_type),
            )
            for column in self.key
        )

    def fresh(self, column: Column) -> sql.Composable | None:
        """What a new row has in a column its image does not tell of; None when nobody can say (a number, a time)."""
        default = fragment(column.default) if column.default else sql.SQL("NULL")
        is_constant = column.default is None or "(" not in column.default.replace("character varying(", "")
        constants = [
            (target.name, target.constants[column.name])
            for target in catalog.all_targets()
            if target.table == self.table.name and column.name in target.constants
        ]
        if not constants:
            return default if is_constant else None
        whens = sql.SQL(" ").join(
            sql.SQL("WHEN {} THEN {}").format(sql.Literal(kind), fragment(value)) for kind, value in constants
        )
        return sql.SQL("CASE w.kind {} ELSE {} END").format(whens, default)


def named(columns: tuple[str, ...], row: str, *, has_uuid: bool) -> sql.Composable:
    """How a record names this row, as `Reversal.key` holds it."""
    if not columns:
        return sql.SQL("{}::text").format(name(row, "ctid"))
    if has_uuid:
        return sql.SQL("{}::text").format(name(row, columns[0]))
    members = sql.SQL(", ").join(
        sql.SQL("{}, {}").format(sql.Literal(column.replace("%", "%%")), name(row, column)) for column in columns
    )
    return sql.SQL("jsonb_build_object({})::text").format(members)


def differ(column: Column, one: str, other: str) -> sql.Composable:
    """Whether two rows have another value in the column."""
    left, right = name(one, column.name), name(other, column.name)
    if column.base == "json":
        left, right = sql.SQL("{}::jsonb").format(left), sql.SQL("{}::jsonb").format(right)
    elif column.base in _NOT_COMPARED_AS_SUCH or column.base == "_json":
        left, right = sql.SQL("{}::text").format(left), sql.SQL("{}::text").format(right)
    return sql.SQL("{} IS DISTINCT FROM {}").format(left, right)
