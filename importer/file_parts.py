"""The parts of a file: each of its tables with where it goes; a plain file is one part (F-067)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from importer.file_options import FieldMapping, field_mappings, file_options
from importer.file_part_options import of_part
from importer.models import FileImport, ImportJob, QueryRun
from servicevault import catalog
from servicevault.tabular.options import ReadOptions

WHOLE = "file"  # key of the one run of a file that is one table
PLACES = ("record_path", "sheet", "member")  # options by which a reader finds a part of a document


@dataclass
class Part:
    """One table of a file: how it is read, where it goes, how its columns are mapped."""

    key: str  # of its run
    table_name: str  # whose permissions count
    target_type: str = ""  # empty: the table as it is
    reads: dict[str, Any] = field(default_factory=dict)  # the option of PLACES that leads to it; none for a plain file
    file_format: str = ""
    headers: list[str] = field(default_factory=list)
    detected: dict[str, Any] = field(default_factory=dict)
    field_mappings: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    total_rows: int | None = None
    only_rows: list[int] | None = None
    staged_as: str = ""

    @property
    def place(self) -> str:
        """Its name in the document; empty for a file that is one table."""
        return str(next(iter(self.reads.values()), ""))

    @property
    def target_name(self) -> str:
        """As a run names its target."""
        return self.target_type or f"table:{self.table_name}"

    @property
    def label(self) -> str:
        """What people call the target."""
        return catalog.get(self.target_type).label if self.target_type else self.table_name

    @property
    def mappings(self) -> tuple[FieldMapping, ...]:
        return field_mappings(self.field_mappings)

    @property
    def sources(self) -> dict[str, str]:
        """Column or field it fills → column of the file."""
        return {mapping["target_column"]: mapping["source_column"] for mapping in self.field_mappings}

    def read_options(self, options: Mapping[str, Any]) -> ReadOptions:
        """How the part is read, by the file's options and its own."""
        read = file_options(of_part(options, self)).read
        return replace(read, **self.reads) if self.reads else read


_STORED = ("table_name", "target_type", "file_format", "headers", "detected", "notices", "total_rows", "only_rows", "staged_as")  # fmt: skip


def parts_of(file: FileImport) -> list[Part]:
    """The file's parts in the order in which they are imported."""
    if file.parts is None:
        given = {name: getattr(file, name) for name in _STORED}
        return [Part(WHOLE, field_mappings=file.field_mappings or [], **given)]
    return [Part(**stored) for stored in file.parts]


def named(parts: Iterable[Part], name: str) -> Part | None:
    """The part of that place, or called so when the document was sent."""
    return next((part for part in parts if name in (part.place, part.key)), None)


def part_of(file: FileImport, place: str = "") -> Part:
    """The part of that place; the first when none is of it."""
    parts = parts_of(file)
    return next((part for part in parts if part.place == place), parts[0])


def put(file: FileImport, parts: Iterable[Part]) -> None:
    """Write parts of the file back to it; the caller saves it."""
    changed = {part.key: part for part in parts}
    if file.parts is None:
        part = changed[WHOLE]
        for name in _STORED:
            setattr(file, name, getattr(part, name))
        file.field_mappings = part.field_mappings
        return
    kept = [changed.get(part.key, part) for part in parts_of(file)]
    file.parts = [vars(part) for part in kept]
    totals = [part.total_rows for part in kept]
    file.total_rows = None if None in totals else sum(total for total in totals if total is not None)


def runs_of(job: ImportJob) -> dict[str, QueryRun]:
    """The job's runs by their parts' keys."""
    return {run.key: run for run in job.runs.all()}
