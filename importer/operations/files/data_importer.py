"""The import of files for programs (F-170): the same permissions, the same statements, no job where none is asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from importer import runner
from importer.models import ImportJob
from importer.operations.files import parsing, starting, telling, uploading, validating
from importer.operations.files.uploading import Content


class DataImporter:
    """Imports for one person; with `system=True` for the installation itself, whose own limits alone count."""

    def __init__(self, user: Any = None, *, system: bool = False) -> None:
        self.user = user
        self.system = system

    def parse_file(self, file: Content, options: Mapping[str, Any] | None = None, *, table: str = "") -> dict[str, Any]:
        """What the file is and its first rows, as F-026. Raises what `files.parse` raises."""
        return parsing.parse(self.user, file, options=options, table_name=table, system=self.system)

    def validate_data(
        self,
        rows: Iterable[Mapping[str, Any]],
        mappings: Any,
        table: str = "",
        options: Mapping[str, Any] | None = None,
        *,
        target_type: str = "",
    ) -> dict[str, Any]:
        """The report of F-027 for rows in memory. Raises what `files.validate_file` raises."""
        return validating.validate_file(
            self.user,
            _as_file(rows),
            "rows.jsonl",
            table_name=table,
            target_type=target_type,
            options=_lines(options),
            mappings=mappings,
            system=self.system,
        )

    def import_data(
        self,
        rows: Iterable[Mapping[str, Any]],
        mappings: Any,
        table: str = "",
        options: Mapping[str, Any] | None = None,
        *,
        target_type: str = "",
        accept_errors: bool = False,
    ) -> dict[str, Any]:
        """Import rows in this process; the job's status as F-031. Raises what upload, validate and start raise."""
        job = uploading.upload(
            self.user, _as_file(rows), "rows.jsonl", table_name=table, target_type=target_type, options=_lines(options),
            mappings=mappings, system=self.system, trigger="api",
        )  # fmt: skip
        return self.run(job, accept_errors=accept_errors)

    def run(self, job: ImportJob, *, accept_errors: bool = False) -> dict[str, Any]:
        """Validate, start and work on an uploaded file's job until its end."""
        validating.validate(job, self.user, system=self.system)
        starting.start(job, self.user, accept_errors=accept_errors, system=self.system)
        runner.work(job.pk)
        job.refresh_from_db()
        return telling.status(job)


def _lines(options: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(options or {}) | {"format": "jsonl"}


def _as_file(rows: Iterable[Mapping[str, Any]]) -> io.BytesIO:
    return io.BytesIO("".join(json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows).encode())
