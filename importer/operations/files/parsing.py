"""What a file is and what its columns most likely mean; nothing of it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from importer import file_targets
from importer.file_bounds import UNBOUNDED, Bounds
from importer.file_options import file_options
from importer.file_targets import Destination
from importer.operations.files import documents, rights, storing
from importer.operations.files.uploading import Content, samples
from permissions import audit
from servicevault import stored_files
from servicevault.tabular.records import Inspection


def parse(
    user: Any,
    content: Content,
    *,
    options: Mapping[str, Any] | None = None,
    table_name: str = "",
    target_type: str = "",
    system: bool = False,
) -> dict[str, Any]:
    """What the file is and its first rows (F-026); nothing stays stored.

    Raises UnknownTable, ImportDenied, InvalidOption, FileTooLarge, FileRefused, ImportInvalid for an empty file.
    """
    goal = None
    if table_name or target_type:
        goal = documents.goal_of(table_name=table_name, target_type=target_type)
        allowance = rights.require(user, goal.table.name, "can_preview", system=system)
        goal = file_targets.narrowed(goal, allowance.allowed_columns)
    else:
        allowance = rights.require_any(user, system=system)
    chosen = file_options(options or {})
    with storing.taken(content, chosen.read, allowance) as taken:
        stored_files.delete(taken.stored.path)
    shown = shown_as_parsed(taken.inspection, goal)
    audit.record(
        "file_parsed",
        user=user,
        table_name=goal.table.name if goal else "",
        details={"file_size": taken.stored.size, "format": taken.inspection.detection.format},
    )
    return shown


def shown_as_parsed(found: Inspection, goal: Destination | None) -> dict[str, Any]:
    """F-026's answer."""
    rows = [record.mapping(found.headers) for record in found.sample]
    proposed = file_targets.proposals(goal, found.headers, samples(found)) if goal else None
    detection = storing.detected(found)
    return {
        "headers": found.headers,
        "sample_rows": rows,
        "total_rows": found.total_rows,
        "total_rows_exact": found.total_rows_exact,
        "format": found.detection.format,
        "encoding": found.detection.encoding,
        "encoding_reason": found.detection.encoding_reason,
        "delimiter": found.detection.delimiter,
        "quote_char": found.detection.quote_char,
        "has_headers": found.detection.has_headers,
        "sheet": found.detection.sheet,
        "sheets": detection["sheets"],
        "record_path": found.detection.record_path,
        "record_paths": detection["record_paths"],
        "date_order": found.detection.date_order,
        "warnings": [notice._asdict() for notice in found.notices],
        "suggested_mappings": file_targets.suggested(goal, proposed, found.headers, samples(found))
        if goal and proposed
        else [],
    }


def suggest_mapping(
    headers: Sequence[str],
    rows: Sequence[Any],
    user: Any,
    *,
    table_name: str = "",
    target_type: str = "",
    within: Bounds = UNBOUNDED,
    system: bool = False,
) -> dict[str, Any]:
    """Proposals for the columns of a file (F-043); rows are lists, or objects by header.

    Raises UnknownTable, InvalidOption, ImportDenied.
    """
    goal = documents.goal_of(table_name=table_name, target_type=target_type)
    allowance = rights.require(user, goal.table.name, system=system)
    goal = file_targets.narrowed(goal, allowance.allowed_columns, within)
    listed = [[row.get(header) for header in headers] if isinstance(row, Mapping) else list(row) for row in rows]
    found = file_targets.proposals(goal, headers, listed)
    return {
        "mappings": file_targets.suggested(goal, found, headers, listed),
        "unmapped_sources": list(found.unused_sources),
        "unmapped_required": goal.missing([proposal.target for proposal in found.mappings]),
    }
