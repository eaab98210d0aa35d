"""From an uploaded file and where it goes to plans: how its parts are read, and how their rows are loaded."""

from __future__ import annotations

from typing import Any

from importer import desk_planning, file_targets, table_planning
from importer.file_mapping import mapped_field
from importer.file_options import FileOptions, digest, file_options
from importer.file_part_options import of_part
from importer.file_parts import Part, parts_of
from importer.file_targets import Destination
from importer.models import FileImport, TableRule
from importer.pipeline.columns import Cells
from importer.pipeline.keyed import KeyedPlan
from importer.pipeline.plan import Mapped
from importer.pipeline.tables.plan import TablePlan

DOCUMENT_FORMATS = {"json", "jsonl", "yaml"}
TYPED_FORMATS = {*DOCUMENT_FORMATS, "xlsx", "xls"}
FilePlan = TablePlan | KeyedPlan


def staged_digest(file: FileImport, part: Part) -> str:
    """What the staged rows of a part hold for."""
    return digest(file.sha256, vars(part.read_options(file.import_options)), part.only_rows)


def validated_digest(file: FileImport) -> str:
    """What a validation of the file holds for (F-029)."""
    parts = [
        (staged_digest(file, part), part.table_name, part.target_type, part.field_mappings) for part in parts_of(file)
    ]
    return digest(parts, file.import_options)


def plan_part(
    file: FileImport, part: Part, *, by: Any = None, goal: Destination | None = None, stores: bool = True
) -> FilePlan:
    """The plan of one part of a file; `goal` is where it goes with the fields that may be filled, None: all.

    With `stores` the entities and the form of the mapping are noted for the rows that will carry them. Raises
    InvalidOption for what cannot be right, UnknownTable when the table is gone.
    """
    options = file_options(of_part(file.import_options, part))
    goal = goal or file_targets.destination_of(part)
    file_targets.check_mappings(goal, part.mappings, part.headers)
    cells = _cells(options, part.file_format)
    rules = [
        *(rule.as_option() for rule in TableRule.objects.filter(table_name=part.table_name, is_active=True)),
        *options.rules,
    ]
    if goal.is_desk:
        types = tuple(each.target_type for each in parts_of(file) if each.target_type)
        return desk_planning.plan_rows(goal, part, options, cells=cells, rules=rules, types=types, stores=stores)
    mapped: tuple[Mapped, ...] = tuple(mapped_field(goal.target, each, cells, rules) for each in part.mappings)
    return table_planning.plan_table(
        goal,
        mapped,
        strategy=options.on_duplicate,  # type: ignore[arg-type]
        duplicate_key=options.duplicate_key,
        rules=rules,
        zone=options.read.timezone,
        cells=cells,
        record_unchanged=options.record_unchanged,
        by=by,
    )


def unmapped_required(part: Part) -> list[str]:
    """Columns or fields that must have a value and get none (F-076)."""
    return file_targets.destination_of(part).missing([mapping.target for mapping in part.mappings])


def _cells(options: FileOptions, file_format: str) -> Cells:
    return Cells(
        date_format=options.read.date_format,
        decimal=options.read.decimal_separator,
        thousands=options.read.thousands_separator,
        typed=file_format in TYPED_FORMATS,
        documents=file_format in DOCUMENT_FORMATS,
    )
