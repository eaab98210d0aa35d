"""A first look at an uploaded file, before all of it is judged: its first rows, its columns' meanings, 100 rows' errors.

Each call reads the file's beginning anew, about half a second; nothing here changes the file's findings.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from importer import file_parts, file_staging, file_targets
from importer.file_bounds import Bounds
from importer.file_part_options import of_part
from importer.file_parts import Part
from importer.models import FileImport, ImportJob
from importer.operations.files import parsing, rights, telling, uploading, validating
from servicevault import catalog
from servicevault.catalog import Field
from servicevault.tables import Table
from servicevault.tabular import sandbox
from servicevault.wording import say

KINDS = {
    "minutes": say("duration"), "numeric": say("number"), "integer": say("whole number"), "timestamptz": say("date and time"),
    "tags": say("list"), "boolean": say("yes or no"), "email": say("e-mail address"),
}  # fmt: skip
SAMPLE_ROWS = 100  # F-157
PREVIEW_ROWS = 20  # F-160


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table as a mapping may choose it."""

    name: str
    type: str
    is_required: bool
    is_unique: bool
    finders: tuple[str, ...] = ()  # of a reference: by what else than its external id the row is found
    choices: tuple[str, ...] = ()  # the values it can have


def first_rows(job: ImportJob, user: Any, *, part: str = "", rows: int = PREVIEW_ROWS) -> list[list[str | None]]:
    """The first rows as the import will read them, a cell for each of the part's headers; needs can_preview.

    Raises ImportDenied, FileRefused, and ImportInvalid when the file is gone.
    """
    file, wanted = job.file, file_parts.part_of(job.file, part)
    allowance = rights.require_parts(user, [wanted], "can_preview", within=file.bounds)
    width = len(wanted.headers)
    with (
        validating.reading_errors(allowance),
        file_staging.unsealed(file) as content,
        sandbox.opened(content, wanted.read_options(file.import_options)) as (_, reading),
    ):
        taken = [record.cells for record in itertools.islice(reading.records, rows)]
    return [[*cells[:width], *[None] * (width - len(cells))] for cells in taken]


def targets(part: Part, user: Any, within: Bounds) -> list[TargetColumn]:
    """The columns or fields an import of the person's may fill. Raises UnknownTable, ImportDenied."""
    rights.require_parts(user, [part], within=within)
    goal = rights.goal_of(user, part, within)
    if not goal.is_desk:
        return [
            TargetColumn(
                field.name, goal.table.by_name[field.name].type, field.must_map, goal.table.is_unique(field.name)
            )
            for field in goal.target.fields
        ]
    missing = set(goal.missing([]))
    return [
        TargetColumn(
            field.name,
            _kind(field),
            field.name in missing,
            field.name == "external_id",
            finders=file_targets.finders(field),
            choices=field.choices,
        )
        for field in goal.target.fields
    ]


def _kind(field: Field) -> str:
    """What a field of a target type takes, in words."""
    if field.reference is not None:
        return say("id of {types}", types=catalog.spoken(field.reference.types))
    if field.choices:
        return say("one of {choices}", choices=", ".join(field.choices))
    return KINDS.get(field.type, field.type)


def keys(table: Table, mapped: Sequence[str]) -> list[tuple[str, ...]]:
    """The table's unique keys that the mapping fills wholly, by which rows can be recognised (F-057)."""
    return [key for key in table.unique_keys if set(key) <= set(mapped)]


def proposed(job: ImportJob, user: Any) -> dict[str, Any]:
    """The proposals for an uploaded file as the API tells them, those of a document with its parts."""
    parts = file_parts.parts_of(job.file)
    within = job.file.bounds
    found = [
        parsing.suggest_mapping(part.headers, [], user, within=within, **named(part))["mappings"] for part in parts
    ]
    if job.file.parts is None:
        return {"suggested_mappings": found[0]}
    told = telling.described(job)["parts"]
    return {
        "suggested_mappings": [],
        "parts": [part | {"suggested_mappings": each} for part, each in zip(told, found, strict=True)],
    }


def match_fields(part: Part) -> list[tuple[str, ...]]:
    """Fields of a target type by which its rows can be recognised besides their external ids (K2, E19)."""
    target = file_targets.destination_of(part).target
    texts = [each for each in target.fields if each.storage and each.type in {"text", "email"} and not each.reference]
    return [(field.name,) for field in texts if field.name in part.sources and not field.choices]


def map_anew(job: ImportJob, user: Any, rows: Sequence[Sequence[Any]] = (), *, part: str = "") -> ImportJob:
    """Take the proposals of high and medium confidence as the part's mapping (F-053). Raises what `configure` raises."""
    wanted = file_parts.part_of(job.file, part)
    within = job.file.bounds
    proposed = parsing.suggest_mapping(wanted.headers, rows, user, within=within, **named(wanted))["mappings"]
    return uploading.configure(
        job, user, part=wanted.place, mappings=[each for each in proposed if each["preselected"]]
    )


def named(part: Part) -> dict[str, Any]:
    """The part's destination, as operations take it."""
    return {"target_type": part.target_type} if part.target_type else {"table_name": part.table_name}


def validate_sample(job: ImportJob, user: Any, *, part: str = "", rows: int = SAMPLE_ROWS) -> dict[str, Any]:
    """The report of F-027 for the part's first rows, by its mapping as it is now (F-157). Nothing is kept.

    Of a document, rows of other parts that are not here yet are not found. Raises ImportDenied, InvalidOption,
    FileRefused, and ImportInvalid when the file is gone.
    """
    file, wanted = job.file, file_parts.part_of(job.file, part)
    allowance = rights.require_parts(user, [wanted], "can_validate", within=file.bounds)
    options: Mapping[str, Any] = of_part(file.import_options, wanted)
    sample = FileImport(
        original_filename=file.original_filename,
        import_options=dict(options) | {"max_rows": min(rows, options.get("max_rows") or rows)},
        parts=file.parts,
        within=file.within,
    )
    file_parts.put(sample, [wanted])
    with validating.reading_errors(allowance), file_staging.unsealed(file) as content:
        return validating.judged_stream(
            content, sample, wanted, user, limit_rows=allowance.max_rows_per_import, limit=validating.SHOWN
        )
