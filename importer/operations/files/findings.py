"""What a validation found: grouped by kind, and as a file to read along with the rows (U51)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from django.db.models import Count, Min

from importer import file_planning
from importer.models import FileImport, ImportJob
from importer.operations.failures import InvalidFields
from importer.operations.files.correcting import FORMATS
from importer.operations.files.suggestions import SUGGESTIONS
from servicevault.tabular import formats
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.options import WriteOptions
from servicevault.wording import say

COLUMNS = ("part", "row", "severity", "column", "field", "value", "message", "suggestion", "code")
GROUPS = 30


@dataclass(frozen=True)
class Group:
    """Findings of one kind in one column."""

    code: str
    field: str
    severity: str
    count: int
    first_row: int
    message: str  # of the first of them

    @property
    def suggestion(self) -> str:
        return SUGGESTIONS.get(self.code, "")


def is_current(file: FileImport) -> bool:
    """Whether the file was validated as it is read and mapped now (F-029)."""
    return bool(file.validation_results) and file.validated_as == file_planning.validated_digest(file)


def groups(job: ImportJob) -> list[Group]:
    """The kinds of findings, errors first, the most frequent first; two queries."""
    found = list(
        job.file.findings.values("code", "field", "severity")
        .annotate(count=Count("id"), first_row=Min("row"), first=Min("id"))
        .order_by("severity", "-count", "code", "field")[:GROUPS]
    )
    said = dict(job.file.findings.filter(pk__in=[each["first"] for each in found]).values_list("pk", "message"))
    return [Group(message=said[each.pop("first")], **each) for each in found]


def findings_file(job: ImportJob, format_name: str, target: IO[bytes]) -> int:
    """Write everything the validation found, in the order of rows; returns the number of lines.

    Raises InvalidFields for a format that is none of csv, xlsx and json.
    """
    if format_name not in FORMATS:
        raise InvalidFields({"format": [say("Use one of {formats}.", formats=", ".join(FORMATS))]})
    try:
        writer = formats.writable(format_name)
    except OptionRefused as error:
        raise InvalidFields({"format": [str(error)]}) from None
    return writer.write(target, list(COLUMNS), _rows(job), WriteOptions())


def _rows(job: ImportJob) -> Iterator[list[Any]]:
    for found in job.file.findings.iterator(chunk_size=1000):
        cells = (found.part, found.row, found.severity, found.column, found.field, found.value, found.message)
        yield [*cells, SUGGESTIONS.get(found.code, ""), found.code]
