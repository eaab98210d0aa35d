"""Files that wait for a second person: what an approval is bound to, and what makes one risky (F-039, F-064, J22, J23)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from importer import file_parts, file_planning
from importer.file_options import digest as digest_of
from importer.models import FileImport, ImportJob
from importer.operations.failures import Conflict
from importer.operations.files import rights
from importer.options import MANY_UPDATES
from permissions import approvals, policy, preferences
from permissions import tables as granted
from permissions.models import Approval
from permissions.tables import ImportAllowance
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

SUBJECT = "file_import"
PERSONAL = {"users", "accounts", "tickets", "ticket_comments"}


def ask_if_needed(job: ImportJob, allowance: ImportAllowance, *, by: Any) -> None:
    """Make a started file wait when the permission, its uploader or the installation wants that (F-064).

    In the transaction that starts it. Raises Conflict when nobody could decide (G23).
    """
    file = job.file
    if not (allowance.requires_approval or file.requires_approval or preferences.value("IMPORT_REQUIRE_APPROVAL")):
        return
    lifecycle.await_approval(ImportJob, job.pk, say("Waiting for an approval"))
    rows = file.validation_results.get("validRows", 0)
    try:
        approvals.request(
            SUBJECT,
            job_id=job.pk,
            by=by,
            table_name=file.table_name,
            summary=say(
                "Job {job} imports {rows:,} rows of {original_filename} into {table_name}.",
                job=job.number,
                rows=rows,
                original_filename=file.original_filename,
                table_name=file.table_name,
            ),
            risk_flags=_risks(file),
        )
    except approvals.ApprovalRequired as error:
        raise Conflict(str(error), code="approval_required") from error


def digest(job_id: UUID) -> str:
    """File, mapping, options, and whether rows with errors are passed over."""
    file = FileImport.objects.filter(pk=job_id).first()
    if file is None:
        return ""
    return digest_of(file_planning.validated_digest(file), file.accept_errors, *([file.within] if file.within else []))


def sees(user: Any, approval: Approval) -> bool:
    """Whoever may import into the table, or approves and watches everybody's jobs."""
    if policy.has(user, "import.jobs.monitor"):
        return True
    file = FileImport.objects.filter(pk=approval.job_id).first()
    names = rights.tables_of(file_parts.parts_of(file)) if file is not None else [approval.table_name]
    return all(granted.import_allowance(user, name).can_import for name in names)


def _risks(file: FileImport) -> set[str]:
    report, names = file.validation_results, set(rights.tables_of(file_parts.parts_of(file)))
    done = FileImport.objects.filter(table_name=file.table_name, job__status=JobStatus.COMPLETED)
    found = {
        "first_import_to_table": not done.exists(),
        "more_than_10000_updates": report.get("wouldUpdate", 0) > MANY_UPDATES,
        "personal_data": bool(PERSONAL & names),
        "users_table": "users" in names,
        "error_rows_accepted": file.accept_errors and bool(report.get("errorRows")),
    }
    return {name for name, applies in found.items() if applies}
