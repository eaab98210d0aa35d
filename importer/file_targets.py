"""What a file can go into: any permitted table as it is, or a target type of the help desk; one notion of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from importer.errors import QueryError
from importer.file_bounds import Bounds
from importer.file_options import FieldMapping
from importer.file_parts import Part
from importer.mapping.auto import AutoMap, Proposal, auto_map, columns_of_rows
from importer.mapping.fields import UNRESOLVED
from importer.mapping.value_maps import suggest
from importer.options import InvalidOption
from importer.pipeline.transforms import chain
from servicevault import catalog, tables
from servicevault.catalog import Field, Target
from servicevault.tables import Column, Table
from servicevault.wording import say

STAMPS = ("created_at", "updated_at", "created_by", "created_by_id")  # F-066


@dataclass(frozen=True)
class Destination:
    """A target, and the table its rows lie in, whose permissions count."""

    target: Target  # with the fields this person's import may fill
    table: Table
    is_desk: bool  # a target type: rows have external ids, references, matching
    makes_account: bool = True  # whether rows without an account may get a default one, which is made beside them

    @property
    def proposed(self) -> Target:
        """The target without the numbers that the database gives: those are never proposed (F-053)."""
        if self.is_desk:
            return self.target
        fields = self.target.fields
        return replace(
            self.target, fields=tuple(each for each in fields if not self.table.by_name[each.name].autoincrement)
        )

    def missing(self, mapped: Sequence[str]) -> list[str]:
        """Fields that must be mapped and are not (F-076, E14)."""
        target, names = self.target, {found.name for name in mapped if (found := self.target.field(name))}
        return [
            name
            for name in target.must_map
            if name not in names
            and not any(all(part in names for part in group) for group in target.derived_needs.get(name, ()))
            and not (self.is_desk and name == "external_id" and set(recognised_by(target)) <= names)
        ]


def recognised_by(target: Target, chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """The fields whose values stand for an external id that a file does not bring (E19)."""
    return tuple(chosen) or target.match_fields or ("external_id",)


def destination(*, table_name: str = "", target_type: str = "", columns: Sequence[str] = ()) -> Destination:
    """The destination of these names; `columns` are those of the table that may be filled, none: all.

    Raises UnknownTarget for a target type nobody registered, UnknownTable.
    """
    if target_type:
        target = catalog.get(target_type)
        return Destination(_narrowed(target, columns), tables.find(target.table), is_desk=True)
    table = tables.find(table_name)
    return Destination(target_of(table, columns=columns), table, is_desk=False)


def destination_of(part: Part, columns: Sequence[str] = (), within: Bounds | None = None) -> Destination:
    """The destination of a file's part, within the bounds of the page. Raises UnknownTable when the table is gone."""
    goal = destination(table_name=part.table_name, target_type=part.target_type, columns=columns)
    return replace(goal, target=within.left_of(goal.target)) if within else goal


def target_of(table: Table, *, columns: Sequence[str] = ()) -> Target:
    """The table as a target: every column that an import may fill; `columns` narrows them."""
    return Target(
        name=f"{OF_TABLES}:{table.name}",
        label=table.comment or table.name,
        table=table.name,
        fields=tuple(
            _field(table, column)
            for column in table.columns
            if column.writable and (not columns or column.name in columns)
        ),
    )


OF_TABLES = "table"  # before the name of a table, where a target type could be meant too


def table_named(name: str) -> Target:
    """Any table as a target, as `catalog.get` gives it. Raises UnknownTarget."""
    try:
        return target_of(tables.find(name))
    except tables.UnknownTable as error:
        raise catalog.UnknownTarget(str(error)) from None


def is_table(target_type: str) -> bool:
    return target_type.startswith(f"{OF_TABLES}:")


def table_of(target_type: str) -> str:
    """The table's name in `table:<name>`."""
    return target_type.removeprefix(f"{OF_TABLES}:")


def narrowed(goal: Destination, columns: Sequence[str], within: Bounds | None = None) -> Destination:
    """The same with only the fields that these columns hold (none: all), within the bounds of the page."""
    target = goal.target
    if columns:
        target = _narrowed(target, columns) if goal.is_desk else target_of(goal.table, columns=columns)
    return replace(goal, target=within.left_of(target) if within else target)


def _narrowed(target: Target, columns: Sequence[str]) -> Target:
    """The target with the fields that are stored in these columns, and those that only feed others."""
    if not columns:
        return target
    fields = tuple(
        each for each in target.fields if (target.json_column if each.json_key else each.storage) in {"", *columns}
    )
    return replace(target, fields=fields, json_column=target.json_column if target.json_column in columns else "")


def _field(table: Table, column: Column) -> Field:
    must = not column.nullable and column.default is None and not column.identity and not _is_made(table, column)
    return Field(
        name=column.name,
        type="column",
        label=column.comment or column.name,
        max_length=column.max_length,
        must_map=must,
        not_empty=not column.nullable and column.default is None and not column.identity,
        sql_type=column.sql_type,
        base=column.base,
        labels=column.labels,
    )


def _is_made(table: Table, column: Column) -> bool:
    """Whether the value comes from us where the file has none: stamps, and keys that are UUIDs."""
    return column.name in STAMPS or (table.primary_key == (column.name,) and column.base == "uuid")


# -- proposals ----------------------------------------------------------------------------------------------------


def proposals(goal: Destination, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> AutoMap:
    """What the file's columns most likely are (F-053)."""
    of = goal.target.label.split()[-1].lower() if goal.is_desk else ""
    return auto_map(goal.proposed, [replace(column, table=of) for column in columns_of_rows(headers, rows)])


def suggested(
    goal: Destination, found: AutoMap, headers: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[dict[str, Any]]:
    """The proposals as the API tells them (F-043)."""
    return [
        {
            "source_column": proposal.source,
            "target_column": proposal.target,
            "transform": proposal.transformation[0][0] if proposal.transformation else None,
            **_meant(goal, proposal, headers, rows),
            "confidence": proposal.confidence,
            "reason": proposal.reason,
            "level": proposal.level,
            "preselected": proposal.preselected,
        }
        for proposal in found.mappings
    ]


def _meant(
    goal: Destination, proposal: Proposal, headers: Sequence[str], rows: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """How references are found and what values mean, by the file's first rows (E33a)."""
    field = goal.target.field(proposal.target)
    if field is None or not goal.is_desk or not (field.reference or field.choices):
        return {}
    place = headers.index(proposal.source)
    values = [str(row[place]) for row in rows if place < len(row) and row[place] not in (None, "")]
    if field.reference and values and all("@" in value for value in values) and _is_found_by("email", field):
        return {"reference": {"by": "email"}}
    own = {choice.lower() for choice in field.choices}
    unknown = dict.fromkeys(value.strip() for value in values if value.strip().lower() not in own)
    meant = {each.value: each.target for each in suggest(unknown, field)}
    return {"value_map": meant} if meant else {}


def _is_found_by(key: str, field: Field) -> bool:
    types = field.reference.types if field.reference else ()
    return bool(types) and all(key in catalog.get(kind).natural_keys for kind in types)


def finders(field: Field) -> tuple[str, ...]:
    """By what a reference is found besides its external id."""
    if field.reference is None:
        return ()
    keys = [set(catalog.get(kind).natural_keys) for kind in field.reference.types]
    return tuple(sorted(set.intersection(*keys)))


def certain(found: AutoMap) -> tuple[FieldMapping, ...]:
    """What an import without a mapping takes: the proposals of high confidence (F-054)."""
    return tuple(
        FieldMapping(proposal.source, proposal.target, proposal.transformation)
        for proposal in found.mappings
        if proposal.level == "High"
    )


# -- mappings -----------------------------------------------------------------------------------------------------


def check_mappings(goal: Destination, mappings: Sequence[FieldMapping], headers: Sequence[str]) -> None:
    """Raise InvalidOption for a mapping that names what is not there, or what nobody may write (F-054)."""
    seen: set[str] = set()
    for place, mapping in enumerate(mappings):
        where = f"field_mappings[{place}]"
        if mapping.source not in headers:
            raise InvalidOption(
                say("The file has no column “{source}”.", source=mapping.source[:80]),
                hint=say("Its columns: {headers}.", headers=", ".join(headers[:40])),
                where=f"{where}.source_column",
            )
        field = goal.target.field(mapping.target)
        if field is None:
            raise InvalidOption(
                _why_not(goal, mapping.target),
                hint=say("Columns: {known}.", known=", ".join(goal.target.known)),
                where=f"{where}.target_column",
            )
        if field.name in seen:  # by its alias
            raise InvalidOption(
                say("“{field}” is filled twice.", field=field.name), hint=say("Map each field once."), where=where
            )
        seen.add(field.name)
        _check_meaning(field, mapping, where)
        try:
            steps = chain(mapping.transforms)
        except QueryError as error:
            raise InvalidOption(error.message, hint=error.hint, where=f"{where}.transform") from None
        if field.name == "external_id" and goal.is_desk and any(step.kind.early for step in steps):
            raise InvalidOption(
                say("“{steps}” cannot make an external id.", steps=steps[0].name),
                hint=say("Use another."),
                where=f"{where}.transform",
            )


def _check_meaning(field: Field, mapping: FieldMapping, where: str) -> None:
    """Raise InvalidOption when the mapping says how a reference is found, or what values mean, where it cannot."""
    said = mapping.reference
    if said and field.reference is None:
        raise InvalidOption(
            say("“{field}” names no other row.", field=field.name),
            hint=say("Leave its reference out."),
            where=f"{where}.reference",
        )
    by, unresolved = said.get("by", ""), said.get("unresolved", "")
    if by and by not in ("external_id", "id", *finders(field)):
        known = ", ".join(("external_id", "id", *finders(field)))
        raise InvalidOption(say("“{field}” cannot be found by “{by}”.", field=field.name, by=by), hint=say("Use {known}.", known=known), where=f"{where}.reference.by")  # fmt: skip
    if unresolved and unresolved not in UNRESOLVED:
        raise InvalidOption(
            say("“{unresolved}” is no answer to an unresolved reference.", unresolved=unresolved),
            hint=say("Use {unresolved}.", unresolved=", ".join(UNRESOLVED)),
            where=f"{where}.reference.unresolved",
        )
    if mapping.value_map and not field.choices:
        raise InvalidOption(say("“{field}” has no fixed values.", field=field.name), hint=say("Use a transformation."), where=f"{where}.value_map")  # fmt: skip
    for wanted in mapping.value_map.values():
        if wanted is not None and wanted not in field.choices:
            raise InvalidOption(
                say("“{wanted}” is no value of {field}.", wanted=wanted, field=field.name),
                hint=say("Values: {choices}.", choices=", ".join(field.choices)),
                where=f"{where}.value_map",
            )


def _why_not(goal: Destination, name: str) -> str:
    if goal.is_desk:
        full = catalog.get(goal.target.name)
        return (
            say("You may not write “{name}”.", name=name)
            if full.field(name)
            else say("“{name}” is not a field of {full}.", name=name[:80], full=full.label)
        )
    column = goal.table.by_name.get(name)
    if column is None:
        return say("{table} has no column “{name}”.", table=goal.table.name, name=name[:80])
    if column.generated:
        return say("“{name}” is computed by the database and cannot be filled.", name=name)
    if column.sensitive:
        return say("“{name}” is never written by an import.", name=name)
    if not column.readable:
        return say("“{name}” holds XML, which this PostgreSQL was built without: it takes no value.", name=name)
    return say("You may not write “{name}”.", name=name)
