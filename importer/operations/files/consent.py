"""Files that wait for a second person: which do, and what the approval is bound to (F-039, F-064, DEC-22)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from importer import file_planning
from importer.file_options import digest as fingerprint
from importer.models import FileImport, ImportJob
from importer.operations.consent import MANY_UPDATES
from importer.operations.failures import Conflict
from permissions import approvals, policy
from permissions.models import Approval
from permissions.tables import ImportAllowance, import_allowance
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus

SUBJECT = "file"
PEOPLE = "users"


def ask_if_needed(job: ImportJob, allowance: ImportAllowance, *, by: Any) -> None:
    """Make a started file wait when its table, its upload or the installation wants that.

    In the transaction that starts it. Raises Conflict when nobody could decide (G23).
    """
    file = job.file
    if not (allowance.requires_approval or file.requires_approval):
        return
    lifecycle.await_approval(ImportJob, job.pk, "Waiting for an approval")
    report = file.validation_results
    try:
        approvals.request(
            SUBJECT,
            job_id=job.pk,
            by=by,
            table_name=file.table_name,
            summary=f"Job {job.number} imports {report['validRows']:,} rows of “{file.original_filename}” "
            f"into {file.table_name}.",
            risk_flags=_risks(file),
        )
    except approvals.ApprovalRequired as error:
        raise Conflict(str(error), code="approval_required") from error
    job.refresh_from_db(fields=["status", "current_operation"])


def digest(job_id: UUID) -> str:
    """What an approval is bound to: the file's content, its mapping and its options."""
    file = FileImport.objects.filter(pk=job_id).first()
    return "" if file is None else fingerprint(file_planning.digests(file)[1], file.accept_errors)


def sees(user: Any, approval: Approval) -> bool:
    """Whoever may do anything with the table, or watches everybody's jobs."""
    if policy.has(user, "import.jobs.monitor"):
        return True
    return import_allowance(user, approval.table_name).allows_anything


def _risks(file: FileImport) -> set[str]:
    done = FileImport.objects.filter(table_name=file.table_name, job__status=JobStatus.COMPLETED)
    found = {
        "first_import_to_table": not done.exists(),
        "more_than_10000_updates": file.validation_results.get("wouldUpdate", 0) > MANY_UPDATES,
        "personal_data": file.table_name in (PEOPLE, "accounts", "tickets", "ticket_comments"),
        "users_table": file.table_name == PEOPLE,
        "error_rows_accepted": file.accept_errors and file.validation_results.get("errorRows", 0) > 0,
    }
    return {name for name, applies in found.items() if applies}
