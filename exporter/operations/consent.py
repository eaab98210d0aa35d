"""Exports that wait for a second person, because the table's permission says so (F-104, J22, J23)."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from exporter.errors import Conflict
from exporter.models import ExportJob
from permissions import approvals
from permissions.models import Approval
from permissions.tables import exportable_tables
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

SUBJECT = "export"
BOUND = (
    "table_name", "export_format", "export_options", "selected_columns", "filters", "search", "search_columns", "sort",
    "within",
)  # fmt: skip


def ask(job: ExportJob, *, by: Any) -> None:
    """Make a new export wait, in the transaction that made it. Raises Conflict when nobody could decide (G23)."""
    lifecycle.await_approval(ExportJob, job.pk, say("Waiting for an approval"))
    try:
        approvals.request(
            SUBJECT,
            job_id=job.pk,
            by=by,
            table_name=job.table_name,
            summary=say(
                "Export {job} writes {estimated_rows:,} rows of “{table_name}” "
                "({selected_columns} columns) as {export_format}.",
                job=job.number,
                estimated_rows=job.estimated_rows or 0,
                table_name=job.table_name,
                selected_columns=len(job.selected_columns),
                export_format=job.export_format,
            ),
            risk_flags={"personal_data"} if job.table_name in {"users", "accounts", "tickets"} else set(),
        )
    except approvals.ApprovalRequired as error:
        raise _NobodyDecides(str(error)) from error


class _NobodyDecides(Conflict):
    code = "approval_required"


def hold_if_changed(job_id: Any) -> bool:
    """Whether a pending export must wait again, because it is not what was approved."""
    is_waiting = ExportJob.objects.filter(pk=job_id, status=JobStatus.PENDING).exists()
    if not is_waiting or approvals.still_holds(job_id):
        return False
    lifecycle.await_approval(ExportJob, job_id, say("Changed since the approval: waiting for a new one"))
    return True


def digest(job_id: UUID) -> str:
    """What an approval is bound to: everything that decides what leaves."""
    job = ExportJob.objects.filter(pk=job_id).first()
    if job is None:
        return ""
    bound = {name: getattr(job, name) for name in BOUND}
    return hashlib.sha256(json.dumps(bound, sort_keys=True, default=str).encode()).hexdigest()


def refuse(job_id: UUID, reason: str) -> bool:
    return lifecycle.reject(ExportJob, job_id, reason)


def sees(user: Any, approval: Approval) -> bool:
    """Whoever may export something of the table themselves (G21)."""
    names = exportable_tables(user)
    return names is None or approval.table_name in names
