"""Exports for Python programs (F-176)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter import run
from exporter.models import ExportJob
from exporter.operations.downloads import check_ready
from exporter.operations.jobs import create_export
from exporter.wanted import Wanted
from servicevault import stored_files
from servicevault.jobs.models import JobStatus
from servicevault.jobs.progress import ProgressSink


@dataclass(frozen=True)
class Exported:
    """A finished export, or one that waits for an approval."""

    job: ExportJob

    def read(self) -> Iterator[bytes]:
        """The file, piece by piece. Raises Conflict when there is none."""
        check_ready(self.job)
        return stored_files.read(self.job.stored)

    @property
    def content(self) -> bytes:
        return b"".join(self.read())


class DataExporter:
    """Exports with the rights of one person, in this process."""

    def __init__(self, user: Any) -> None:
        self.user = user

    def export_table(
        self,
        table_name: str,
        format: str = "csv",
        filters: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        columns: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        *,
        search: str = "",
        sort: Sequence[Mapping[str, Any]] = (),
        sink: ProgressSink | None = None,
        trigger: str = "python",
    ) -> Exported:
        """Export the table and wait for the file; filters are a list, or an object of column → value.

        Raises ExportError for what is refused; a job that fails later says so in `job.error_message`.
        """
        wanted = Wanted(table_name, format, columns, filters or (), search, (), sort, options or {})
        job = create_export(wanted, by=self.user, trigger=trigger)
        if job.status == JobStatus.PENDING:
            run.work(job.pk, sink=sink)
            job.refresh_from_db()
        return Exported(job)
