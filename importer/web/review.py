"""`/import/jobs/<id>/review`: rows that wait, each beside what it could be, decided many at a time (R4, R14, U35)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from importer import hiding, operations
from importer.access import sees_records
from importer.errors import ImporterError
from importer.models import Decision, ImportJob, ImportRecord, JobKind
from importer.operations.candidates import Doubt, doubts_of
from importer.operations.decisions import Approval, decide, undecided
from importer.tasks import announce
from importer.web.profiles import PAGE
from permissions import policy
from servicevault.web.listing import id_in, page_of
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say, say_count

MANAGE = "import.records.manage"
ROWS = 10


@dataclass(frozen=True)
class Compared:
    """One field of the source's row and of each candidate."""

    name: str
    source: str
    here: Sequence[tuple[str, bool]]  # value, whether it is another one than the source's


@dataclass(frozen=True)
class DoubtView:
    """One row of the page."""

    doubt: Doubt
    fields: Sequence[Compared]
    chosen: str  # what was chosen in a form that comes back
    error: str

    @property
    def choices(self) -> Sequence[tuple[str, str, float | None]]:
        """(value of the form, letter, confidence) of each candidate."""
        return [
            (f"{Decision.MATCH}:{each.id}:{each.version}", chr(ord("A") + number), each.confidence)
            for number, each in enumerate(self.doubt.candidates)
        ]

    @property
    def may_be_new(self) -> bool:
        return self.doubt.record.code != "unique_conflict"


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def review_page(request: PageRequest, pk: Any) -> HttpResponse:
    """Ten rows that wait; a POST decides those for which something is chosen, in one job."""
    policy.require(request.user, PAGE)
    job = policy.fetch(ImportJob.objects.select_related("profile", "file"), request.user, "view", pk)
    if not sees_records(request.user, job):
        raise policy.Denied("import.jobs.monitor")
    waiting = _waiting(job)
    problem, chosen, errors = "", {}, {}
    if request.method == "POST":
        policy.require(request.user, MANAGE)
        chosen = _chosen(request)
        try:
            errors = _decided(request, waiting, chosen)
        except ImporterError as error:
            problem = str(error)
        else:
            if not errors:
                return redirect(_address(request, job))
    page = page_of(request, waiting, size=ROWS)
    doubts = doubts_of(list(page.object_list))
    context = {
        "job": job,
        "page": page,
        "rows": [_view(each, chosen, errors) for each in doubts],
        "held": operations.held_rows(job),
        "why_not": _why_not(request.user, job),
        "problem": problem,
    }
    status = 422 if problem or errors else 200
    return render_page(request, "importer/job_review.html", "importer/_job_review.html", context, status=status)


def _waiting(job: ImportJob) -> QuerySet[ImportRecord]:
    found = undecided(hiding.shown(ImportRecord.objects.filter(run__job=job)))
    return found.select_related("run__job", "run__mapping_version").order_by("id")


def _why_not(user: Any, job: ImportJob) -> str:
    """Why the rows cannot be decided here, with what to do; empty when they can."""
    if job.kind == JobKind.REHEARSAL:
        return say("A rehearsal wrote nothing, so nothing is decided: these rows will wait again when the import runs.")
    if job.kind == JobKind.FILE:
        return say("Rows of a file are decided in the file: correct them there, and import what is corrected.")
    if not policy.has(user, MANAGE):
        return say("You may look at these rows. To decide them ask for the permission {permission}.", permission=MANAGE)
    return ""


def _chosen(request: PageRequest) -> dict[UUID, str]:
    """What the form says per record: "match:<id>:<version>", "new", "skip"; undecided ones are left out."""
    found = {}
    for name, value in request.POST.items():
        if name.startswith("row-") and value and (record := id_in(name.removeprefix("row-"))):
            found[record] = str(value)
    return found


def _decided(request: PageRequest, waiting: QuerySet[ImportRecord], chosen: Mapping[UUID, str]) -> dict[UUID, str]:
    """Decide; the sentence of each row that could not be."""
    said = {record: approval for record, text in chosen.items() if (approval := _approval(text))}
    if not said:
        messages.info(request, say("Nothing was chosen, so nothing was decided."))
        return {}
    with transaction.atomic():
        done = decide(waiting, said, by=request.user)
        if done.job is not None:
            announce(done.job)
    queued, left_out = done.count("queued"), done.count("skipped")
    if queued and done.job is not None:
        messages.success(
            request,
            say_count(
                "Decided: job {number} brings in {count} row.",
                "Decided: job {number} brings in {count:,} rows.",
                queued,
                number=done.job.number,
            ),
        )
    if left_out:
        messages.success(
            request, say_count("Decided: {count} row is left out.", "Decided: {count:,} rows are left out.", left_out)
        )
    return {
        UUID(str(told.record_id)): told.message for told in done.results if told.result not in ("queued", "skipped")
    }


def _approval(text: str) -> Approval | None:
    kind, _, rest = text.partition(":")
    if kind == Decision.MATCH:
        target, _, version = rest.partition(":")
        target_id = id_in(target)
        return Approval(Decision.MATCH, target_id, version[:64]) if target_id else None
    return Approval(Decision(kind)) if kind in (Decision.NEW, Decision.SKIP) else None


def _view(doubt: Doubt, chosen: Mapping[UUID, str], errors: Mapping[UUID, str]) -> DoubtView:
    fields = []
    for name in doubt.fields:
        source = doubt.source.get(name)
        here = [(_shown(each.values.get(name)), _differs(source, each.values.get(name))) for each in doubt.candidates]
        fields.append(Compared(name, _shown(source), here))
    pk = doubt.record.pk
    return DoubtView(doubt, fields, chosen.get(pk, ""), errors.get(pk, ""))


def _differs(source: Any, here: Any) -> bool:
    """Whether an import would change the value: what the source does not say is not compared."""
    return source not in (None, "") and _shown(source).strip().casefold() != _shown(here).strip().casefold()


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()  # as the mapping says it
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str).strip('"')


def _address(request: PageRequest, job: ImportJob) -> str:
    """The page again: what was decided is gone from it."""
    page = request.GET.get("page", "")
    return reverse("job_review", args=[job.pk]) + (f"?page={page}" if page.isdecimal() else "")
