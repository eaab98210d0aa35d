"""A first look at an uploaded file, before all of it is judged: its first rows, its columns' meanings, 100 rows' errors.

Each call reads the file's beginning anew, about half a second; nothing here changes the file's findings.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from importer import file_planning, file_staging
from importer.file_options import file_options
from importer.models import FileImport, ImportJob
from importer.operations.files import rights, uploading, validating
from importer.operations.files.failures import FileRefused, ImportInvalid
from importer.runner import connect_target
from servicevault.stored_files import FileGone
from servicevault.tables import Table
from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected

SAMPLE_ROWS = 100  # F-157
PREVIEW_ROWS = 20  # F-160


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table as a mapping may choose it."""

    name: str
    type: str
    is_required: bool
    is_unique: bool


def first_rows(job: ImportJob, user: Any, *, rows: int = PREVIEW_ROWS) -> list[list[str | None]]:
    """The first rows as the import will read them, a cell for each of the file's headers; needs can_preview.

    Raises ImportDenied, FileRefused, and ImportInvalid when the file is gone.
    """
    file = job.file
    allowance = rights.require(user, file.table_name, "can_preview")
    width = len(file.headers)
    try:
        with (
            file_staging.unsealed(file) as content,
            sandbox.opened(content, file_options(file.import_options).read) as (_, reading),
        ):
            taken = [record.cells for record in itertools.islice(reading.records, rows)]
    except FileGone as error:
        raise ImportInvalid(str(error), hint="Upload it again.") from error
    except FileRejected as error:
        raise FileRefused(error.message, allowed_formats=allowance.allowed_formats) from error
    return [[*cells[:width], *[None] * (width - len(cells))] for cells in taken]


def targets(table_name: str, user: Any) -> list[TargetColumn]:
    """The columns an import of the person's may fill. Raises UnknownTable, ImportDenied."""
    allowance = rights.require(user, table_name)
    table = rights.table_of(table_name)
    return [
        TargetColumn(field.name, table.by_name[field.name].type, field.must_map, table.is_unique(field.name))
        for field in file_planning.target_of(table, columns=allowance.allowed_columns).fields
    ]


def keys(table: Table, mapped: Sequence[str]) -> list[tuple[str, ...]]:
    """The table's unique keys that the mapping fills wholly, by which rows can be recognised (F-057)."""
    return [key for key in table.unique_keys if set(key) <= set(mapped)]


def map_anew(job: ImportJob, user: Any, rows: Sequence[Sequence[Any]] = ()) -> ImportJob:
    """Take the proposals of high and medium confidence as the mapping (F-053). Raises what `configure` raises."""
    proposed = uploading.suggest_mapping(job.file.table_name, job.file.headers, rows, user)["mappings"]
    return uploading.configure(job, user, mappings=[each for each in proposed if each["preselected"]])


def validate_sample(job: ImportJob, user: Any, *, rows: int = SAMPLE_ROWS) -> dict[str, Any]:
    """The report of F-027 for the file's first rows, by its mapping as it is now (F-157). Nothing is kept.

    Raises ImportDenied, InvalidOption, FileRefused, and ImportInvalid when the file is gone.
    """
    file = job.file
    allowance = rights.require(user, file.table_name, "can_validate")
    options: Mapping[str, Any] = file.import_options
    sample = FileImport(
        table_name=file.table_name,
        original_filename=file.original_filename,
        file_format=file.file_format,
        headers=file.headers,
        import_options=dict(options) | {"max_rows": min(rows, options.get("max_rows") or rows)},
        field_mappings=file.field_mappings,
    )
    plan = file_planning.plan_file(sample, by=user, columns=allowance.allowed_columns)
    try:
        with file_staging.unsealed(file) as content, connect_target() as connection:
            report = validating.judged_stream(
                connection, content, sample, plan, limit_rows=allowance.max_rows_per_import, limit=validating.SHOWN
            )
            connection.rollback()
    except FileGone as error:
        raise ImportInvalid(str(error), hint="Upload it again.") from error
    except FileRejected as error:
        raise FileRefused(error.message, allowed_formats=allowance.allowed_formats) from error
    return report
