"""Starting, resuming, cancelling and telling of jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from importer import failed_queries, planning
from importer.errors import QueryError
from importer.models import REVERSING, ImportJob, ImportProfile, ImportRecord, JobKind
from importer.modes import Outcome, mode_of
from importer.operations import consent, plan_beside, table_targets
from importer.operations.failures import Conflict, InvalidFields, ProfileBusy, TooManyJobs
from importer.operations.previews import check_sql, read_query
from importer.operations.profiles import check_active
from importer.options import InvalidOption, checked
from importer.query.dumping import dump_spec
from importer.query.problems import QueryProblems
from importer.query.spec import QuerySpec
from permissions import approvals, audit, policy
from permissions.models import Decision
from servicevault.jobs import lifecycle
from servicevault.jobs.limits import MOST_UNFINISHED, take_turns, unfinished_of
from servicevault.jobs.models import ACTIVE, JobStatus
from servicevault.wording import say

MOST_ROWS = 10_000  # R12


def start_import(
    profile: ImportProfile,
    *,
    by: Any = None,
    mode: str = "",
    options: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    trigger: str = "manual",
) -> ImportJob:
    """A pending job for the profile; a worker takes it from there.

    Raises InvalidOption for an option that cannot be right, Conflict for an inactive profile, ProfileBusy while
    another job of the profile is unfinished: of two simultaneous calls exactly one wins. A job that needs an approval
    waits for it (J22); ApprovalRequired when nobody could give it. With a `plan_id` the mode and the options that are
    not given are those of the rehearsal; Conflict when its plan is expired (X20).
    """
    return _start(profile, checked(options or {}), by=by, mode=mode, dry_run=dry_run, trigger=trigger)


def import_once(
    profile: ImportProfile, body: Mapping[str, Any], *, by: Any = None, options: Mapping[str, Any] | None = None
) -> ImportJob:
    """A pending job that runs one query which is not saved (X10).

    Raises QueryProblems for a body that is no query, Denied for SQL the person may not write, and what `start_import`
    raises.
    """
    spec = read_query(body)
    check_sql(profile, spec, by)
    return _start(profile, checked(options or {}) | {"query": dump_spec(spec)}, by=by, trigger="api")


def _start(
    profile: ImportProfile,
    given: dict[str, Any],
    *,
    by: Any,
    mode: str = "",
    dry_run: bool = False,
    trigger: str = "manual",
    retry_of: ImportJob | None = None,
) -> ImportJob:
    check_active(profile)
    plan = plan_beside.chosen_plan(given, profile=profile, by=by, dry_run=dry_run)
    if plan is not None:
        given = {**plan_beside.without_plan(plan.options), **given}
        mode = mode or str(given.pop("mode", None) or plan.mode)
    try:
        wanted = str(given.pop("mode", None) or "")
        chosen = mode_of(mode or wanted or profile.import_mode)
    except ValueError:
        raise InvalidOption(
            say("“{mode}” is not a mode.", mode=mode), hint=say("Use create, update or upsert.")
        ) from None
    specs = _check_queries(profile, given)
    try:
        with transaction.atomic():
            if by is not None:
                take_turns(by)
                if (count := unfinished_of(by)) >= MOST_UNFINISHED:
                    raise TooManyJobs(count)
            table_targets.check_start(specs, by, is_rehearsal=dry_run)
            job = ImportJob.objects.create(
                profile=profile,
                kind=JobKind.REHEARSAL if dry_run else JobKind.IMPORT,
                mode=chosen,
                options=given,
                trigger=trigger,
                retry_of=retry_of,
                created_by=by,
            )
            table_targets.note_start(job, specs)
            if not consent.ask_if_needed(job, by=by, of_tables=table_targets.needs_approval(specs, by)):
                consent.record_started(job)
            return job
    except IntegrityError:
        running = ImportJob.objects.filter(profile=profile, status__in=ACTIVE).values_list("number", flat=True)
        raise ProfileBusy(profile, list(running)) from None


def _check_queries(profile: ImportProfile, given: Mapping[str, Any]) -> list[QuerySpec]:
    """The queries a job would run. Raises InvalidFields listing what keeps them from being loaded (M9)."""
    keys, types = given.get("selected_queries"), given.get("selected_types")
    try:
        known = planning.specs_wanted(profile, given)
    except QueryProblems:
        raise
    except QueryError as error:
        raise InvalidFields({"queries": [str(error)]}) from None
    specs = [spec for spec in known if (not keys or spec.key in keys) and (not types or spec.target_type in types)]
    specs = [spec for spec in specs if not given.get("rows") or spec.key in given["rows"]]  # of a retry
    found = {f"queries.{spec.key}": problems for spec in specs if (problems := planning.target_problems(spec))}
    if found:
        raise InvalidFields(found)
    return specs


def resume(job: ImportJob) -> ImportJob:
    """Let a failed or cancelled job continue behind its checkpoint (J13). A running one is left as it is.

    Raises Conflict for a completed job and for an inactive profile, ProfileBusy when another job of the profile took
    its place.
    """
    if job.status not in ACTIVE and job.profile is not None:
        check_active(job.profile)
    if job.awaits_start:
        raise Conflict(say("This file was never started."), hint=say("Upload it again."))
    if job.kind == JobKind.REHEARSAL:
        raise Conflict(say("A rehearsal leaves nothing to resume."), hint=say("Rehearse again."))
    _check_not_reversed(job)
    asked = approvals.of_job(job.pk)
    if asked is not None and asked.status != Decision.APPROVED:
        raise Conflict(
            say("Job {job} was not approved.", job=job.number),
            hint=say("Start a new import, which asks again."),
            code="approval_required",
        )
    try:
        with transaction.atomic():
            requeued = lifecycle.requeue(ImportJob, job.pk)
            if requeued:
                failed_queries.reopen(job)
                _record("import_resumed", job)
    except IntegrityError:
        assert job.profile is not None  # nothing else is unique among unfinished jobs
        running = ImportJob.objects.filter(profile=job.profile, status__in=ACTIVE).values_list("number", flat=True)
        raise ProfileBusy(job.profile, list(running)) from None
    job.refresh_from_db()
    if not requeued and job.status not in (JobStatus.PENDING, JobStatus.RUNNING):
        raise Conflict(
            say("Job {job} is {status}.", job=job.number, status=job.status),
            hint=say("Only failed and cancelled jobs can be resumed."),
        )
    return job


def _check_not_reversed(job: ImportJob) -> None:
    """An import does not go on behind a checkpoint when rows before it were taken back."""
    reversing = job.undoes or job.origin if job.is_reversing else job
    newer = ImportJob.objects.filter(Q(origin=reversing) | Q(undoes=reversing), kind__in=REVERSING)
    newer = newer.exclude(options__contains={"dry_run": True}).exclude(pk=job.pk)
    if job.is_reversing:
        newer = newer.filter(number__gt=job.number)
    if (last := newer.order_by("-number").first()) is not None:
        raise Conflict(
            say("Job {job} was rolled back, or brought back, by job {last}.", job=job.number, last=last.number),
            hint=say("Start a new one."),
        )


def retry(job: ImportJob, *, by: Any, scope: str = "failed") -> ImportJob:
    """A new job with the options of a finished one, for its failed rows only, or for `scope` "all" (J7).

    The rows are read from the source again, and held against no plan: what failed is not to come as it was planned. Raises Conflict when the job goes on or has no failed row, and what
    `start_import` raises.
    """
    if not job.is_finished:
        raise Conflict(
            say("Job {job} is {status}.", job=job.number, status=job.status), hint=say("Cancel it or wait for its end.")
        )
    if job.is_reversing:
        raise Conflict(
            say("Job {job} is no import.", job=job.number), hint=say("Roll the import back again, or resume this one.")
        )
    if job.profile is None:
        raise Conflict(say("The rows of a file are retried from the file."), hint=say("Use the files' own retry."))
    if scope not in ("failed", "all"):
        raise InvalidFields({"scope": [say("Use failed or all.")]})
    options = {name: value for name, value in plan_beside.without_plan(job.options).items() if name != "rows"}
    if scope == "failed":
        failed = ImportRecord.objects.filter(run__job=job, action=Outcome.FAILED)
        options["rows"] = _rows_by_query(failed)
        if not options["rows"]:
            raise Conflict(
                say("Job {job} has no failed row.", job=job.number), hint=say("Start a new import, or retry all rows.")
            )
    is_rehearsal = job.kind == JobKind.REHEARSAL  # what wrote nothing writes nothing the second time
    return _start(job.profile, options, by=by, mode=job.mode, trigger="retry", retry_of=job, dry_run=is_rehearsal)


@dataclass(frozen=True)
class Again:
    """Records that were put to work again, and those that could not be."""

    job: ImportJob | None
    selected: int
    not_applicable: int


@transaction.atomic
def again(
    records: QuerySet[ImportRecord],
    *,
    by: Any,
    applicable: Mapping[str, Collection[str] | None],
    mode: str,
    options: Mapping[str, Any] | None = None,
) -> Again:
    """One job that reads the rows of these records again and writes them in `mode` (R4, R5).

    `applicable` names the outcomes that can be, each with the reasons it may have, None for any; `options` are more
    of the job's. Raises InvalidOption for one that cannot be right, Conflict
    when the records belong to several profiles or none can be, Denied or Http404 for a profile that is not the
    person's to run: to see records of all jobs is not to read everybody's source.
    """
    selected = records.count()
    chosen = Q(pk__in=[])
    for action, codes in applicable.items():
        chosen |= Q(action=action) if codes is None else Q(action=action, code__in=codes)
    fitting = records.filter(chosen)
    profiles = list(ImportProfile.objects.filter(jobs__runs__records__in=fitting).distinct()[:2])
    if len(profiles) > 1:
        raise Conflict(say("The records belong to several profiles."), hint=say("Choose records of one profile."))
    rows = _rows_by_query(fitting)
    if not rows:
        return Again(None, selected, selected)
    profile = profiles[0]
    if by is not None:
        profile = policy.fetch(ImportProfile.objects.all(), by, "retry", profile.pk)
    given = {**checked(options or {}), **_once(fitting), "rows": rows}
    job = _start(profile, given, by=by, mode=mode, trigger="retry")
    count = sum(len(ids) for ids in rows.values())
    operation = "records_retried" if Outcome.FAILED in applicable else "records_approved"
    _record(operation, job, by=by, details={"records": count})
    return Again(job, selected, selected - count)


def _once(records: QuerySet[ImportRecord]) -> dict[str, Any]:
    """The query of a job that ran one which is not saved, as an option of the next."""
    job = ImportJob.objects.filter(runs__records__in=records, options__has_key="query").order_by("-number").first()
    return {"query": job.options["query"]} if job else {}


HELD = "unmapped_value"


def release_held(job: ImportJob, *, by: Any) -> Again:
    """One job that imports exactly the rows this one held for a value nobody had mapped (E33).

    A value that is still unmapped holds its rows again. Raises what `again` raises, and Conflict while the job goes on,
    or for a rehearsal: what wrote nothing is not turned into an import by the way.
    """
    if job.kind == JobKind.REHEARSAL:
        raise Conflict(
            say("Job {job} is a rehearsal: it imported nothing, so no row of it waits.", job=job.number),
            hint=say("Map the values, then rehearse again or run the import."),
        )
    if not job.is_finished:
        raise Conflict(say("Job {job} is {status}.", job=job.number, status=job.status), hint=say("Wait for its end."))
    records = ImportRecord.objects.filter(run__job=job)
    return again(records, by=by, applicable={Outcome.REVIEW: (HELD,)}, mode=job.mode)


def held_rows(job: ImportJob) -> int:
    """How many rows the job held for a value nobody had mapped; a rehearsal holds none back."""
    if job.kind == JobKind.REHEARSAL:
        return 0
    return ImportRecord.objects.filter(run__job=job, action=Outcome.REVIEW, code=HELD).count()


def _rows_by_query(records: QuerySet[ImportRecord]) -> dict[str, list[str]]:
    """External ids by query. Raises Conflict above 10,000: then the whole query is the quicker way."""
    found: dict[str, list[str]] = {}
    pairs = records.order_by("run_id", "id").values_list("run__key", "source_identifier").distinct()
    for number, (key, identifier) in enumerate(pairs.iterator()):
        if number >= MOST_ROWS:
            raise Conflict(
                say("These are more than {most_rows:,} rows.", most_rows=MOST_ROWS),
                hint=say("Start an import of the whole query."),
            )
        found.setdefault(key, []).append(identifier)
    return found


def cancel(job: ImportJob) -> ImportJob:
    """Stop the job after the slice it is in; what is written stays (J5). Raises Conflict when it is finished."""
    with transaction.atomic():
        stopped = lifecycle.request_cancel(ImportJob, job.pk)
        if stopped:
            _record("import_cancelled", job)
            approvals.withdraw(job.pk)
    if not stopped:
        job.refresh_from_db()
        raise Conflict(
            say("Job {job} is already {status}.", job=job.number, status=job.status),
            hint=say("Reload the page to see its state."),
        )
    job.refresh_from_db()
    return job


def _record(operation: str, job: ImportJob, *, by: Any = None, details: Mapping[str, Any] | None = None) -> None:
    audit.record(operation, user=by, job_id=job.pk, profile_id=job.profile_id, obj=job, details=details)
