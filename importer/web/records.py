"""`/import/jobs/<id>/records/<id>`: one row's way from the source to the target, and what it changed there (R1, R2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from importer import codes
from importer.access import sees_records
from importer.hiding import shown
from importer.models import ImportJob, ImportRecord
from importer.modes import Outcome
from importer.operations import records as details
from importer.operations.looks import OUTCOMES
from importer.pipeline.transforms import KINDS
from importer.web.jobs import planned_word
from importer.web.profiles import PAGE
from permissions import policy
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say


@dataclass(frozen=True)
class Change:
    """One column of the target, before and after."""

    column: str
    before: str
    after: str


@members_only
@require_safe
def record_page(request: PageRequest, pk: Any, record: Any) -> HttpResponse:
    """One record of a job with its row, each step of its mapping, and its images."""
    policy.require(request.user, PAGE)
    job = policy.fetch(ImportJob.objects.select_related("profile", "file"), request.user, "view", pk)
    if not sees_records(request.user, job):
        raise policy.Denied("import.jobs.monitor")
    records = shown(ImportRecord.objects.filter(run__job=job, pk=record))
    found = records.select_related("run__job", "run__mapping_version").first()
    if found is None:
        raise Http404
    recomputed = details.recomputed(found)
    tried = details.attempts(found)
    context = {
        "job": job,
        "record": found,
        "outcome": OUTCOMES[Outcome(found.action)].word,
        "reason": details.reason_of(found),
        "problems": [item for item in (*(found.problems or ()), *(found.warnings or ())) if item.get("message")],
        "fields": [(field, _shown(field.source), _steps(field), _shown(field.value)) for field in recomputed.fields],
        "no_fields": recomputed.reason,
        "changes": _changes(found),
        "matching": details.matching_fields(found),
        "rules": found.run.plan.get("matching"),
        "planned": planned_word(found),
        "attempt": tried.number,
        "superseded_by": tried.superseded_by,
        "duration_ms": details.duration_ms(found),
        "error_detail": details.error_detail(found) if policy.has(request.user, "import.jobs.monitor") else None,
        "source_hash": bytes(found.source_hash).hex() if found.source_hash is not None else "",
    }
    return render_page(request, "importer/record.html", "importer/_record.html", context)


def _steps(field: Any) -> Sequence[tuple[str, str, str]]:
    """(what is done, what came out, what is wrong with it) of each step."""
    return [(_words(step.name, step.params), _shown(step.output), codes.words(step.problem)) for step in field.steps]


def _words(name: str, params: Mapping[str, Any]) -> str:
    if name == "store":
        return say("as {type}", type=params["type"])
    if name == "value_map":
        return say("value map")
    kind = KINDS[name]
    given = [(each.label, params[each.name]) for each in kind.parameters if params.get(each.name) not in (None, "")]
    told = ", ".join(f"{label}: {_shown(value)}" for label, value in given)
    return f"{kind.label} ({told})" if told else kind.label


def _changes(record: ImportRecord) -> Sequence[Change]:
    before, after = record.before_image or {}, record.after_image or {}
    return [Change(column, _shown(before.get(column)), _shown(after.get(column))) for column in {**before, **after}]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
