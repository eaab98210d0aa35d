"""Exports by the clock: what is due runs as its owner, and people learn how it ended (F-107, F-179)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from exporter.errors import Conflict, ExportError, InvalidFields, VersionConflict
from exporter.models import ExportJob, ExportSchedule, ExportTemplate, ScheduledRun
from exporter.models.templates import Frequency
from exporter.operations import notifications
from exporter.operations.downloads import LINKS
from exporter.operations.jobs import delete_export
from exporter.operations.templates import problem_of, run_template
from permissions import policy
from servicevault import tables
from servicevault.jobs import timing
from servicevault.jobs.models import ACTIVE, FINISHED, JobStatus
from servicevault.wording import say

FIELDS = (
    "is_enabled", "frequency", "at_time", "weekdays", "month_day", "cron", "timezone", "on_missed", "keep_last",
    "changed_since_column",
)  # fmt: skip
PUNCTUAL = timedelta(minutes=5)  # later than that a run counts as missed (S12)


def timing_of(schedule: ExportSchedule) -> timing.Timing:
    """When it is due. Raises TimingRefused."""
    at, zone = schedule.at_time, schedule.timezone
    match schedule.frequency:
        case Frequency.HOURLY:
            return timing.every_hour(at.minute, zone)
        case Frequency.WEEKLY:
            return timing.every_week(at, schedule.weekdays, zone)
        case Frequency.MONTHLY:
            return timing.every_month(at, schedule.month_day, zone)
        case Frequency.CRON:
            return timing.from_cron(schedule.cron, zone)
        case _:
            return timing.every_day(at, zone)


def create_schedule(template: ExportTemplate, values: Mapping[str, Any], *, by: Any) -> ExportSchedule:
    """A schedule of the person's own, which runs with their rights. Raises InvalidFields, Denied, Conflict."""
    schedule = ExportSchedule(template=template, created_by=by)
    return _saved(schedule, values, by=by)


def update_schedule(
    schedule: ExportSchedule, values: Mapping[str, Any], *, by: Any, version: int | None = None
) -> ExportSchedule:
    """Change what is named; the rest stays. Whoever saves it is who it runs as (S16). Raises VersionConflict."""
    if version is not None and version != schedule.version:
        raise VersionConflict(str(schedule), changed_by=str(schedule.created_by or ""), changed_at=schedule.updated_at)
    schedule.version += 1
    return _saved(schedule, values, by=by)


def _saved(schedule: ExportSchedule, values: Mapping[str, Any], *, by: Any) -> ExportSchedule:
    for name in FIELDS:
        if name in values:
            setattr(schedule, name, values[name])
    _check(schedule)
    if problem := problem_of(schedule.template, by):
        raise Conflict(say("“{template}” does not run: {problem}", template=schedule.template.name, problem=problem))
    recipients = _people(values["recipients"], by) if "recipients" in values else None
    schedule.next_run_at = timing_of(schedule).next_after(timezone.now()) if schedule.is_enabled else None
    with transaction.atomic():
        schedule.save()
        if recipients is not None:
            schedule.recipients.set(recipients)
    schedule.refresh_from_db()
    return schedule


def _check(schedule: ExportSchedule) -> None:
    errors: dict[str, list[str]] = {}
    if schedule.frequency not in Frequency.values:
        errors["frequency"] = [say("Use one of {frequency}.", frequency=", ".join(Frequency.values))]
    if schedule.timezone not in available_timezones():
        errors["timezone"] = [say("There is no such time zone. Example: Europe/Berlin.")]
    days = schedule.weekdays
    if not isinstance(days, list) or any(not isinstance(day, int) or not 0 <= day <= 6 for day in days):
        errors["weekdays"] = [say("Weekdays are numbers from 0 (Monday) to 6.")]
    elif schedule.frequency == Frequency.WEEKLY and not days:
        errors["weekdays"] = [say("Choose at least one weekday.")]
    if not 1 <= schedule.month_day <= 31:
        errors["month_day"] = [say("A day of the month is 1 to 31.")]
    if schedule.keep_last is not None and not 1 <= schedule.keep_last <= 1000:
        errors["keep_last"] = [say("Keep 1 to 1,000 exports, or leave it empty.")]
    if column := schedule.changed_since_column:
        found = tables.find(schedule.template.table_name).by_name.get(column)
        if found is None or found.sensitive or found.base not in {"timestamptz", "timestamp"}:
            errors["changed_since_column"] = [say("“{column}” is no timestamp of this table.", column=column)]
    if not errors:
        try:
            timing_of(schedule)
        except timing.TimingRefused as error:
            errors["cron"] = [str(error)]
    if errors:
        raise InvalidFields(errors)


def _people(ids: Sequence[Any], by: Any) -> list[Any]:
    """Who gets a mail; a link for somebody else is a link without a session."""
    people = list(get_user_model().objects.filter(pk__in=list(ids), is_active=True))
    if len(people) != len(set(map(str, ids))):
        raise InvalidFields({"recipients": [say("One of these people does not exist, or may not log in.")]})
    if any(person.pk != by.pk for person in people):
        policy.require(by, LINKS)
    return people


def run_now(schedule: ExportSchedule) -> ExportJob:
    """Export at once with the owner's rights, whoever asks: the owner's recipients get the file. The plan stays (S5).

    Raises Conflict while its last export is unfinished, and what `create_export` raises.
    """
    if _is_busy(schedule):
        raise Conflict(say("The last export of this schedule is not finished."), hint=say("Wait for it, or cancel it."))
    run = ScheduledRun.objects.create(schedule=schedule, planned_at=timezone.now(), status="started")
    try:
        return _begin(schedule, run, by=schedule.created_by)
    except ExportError:
        run.delete()
        raise


def run_due(now: datetime | None = None) -> list[ExportJob]:
    """Begin what is due; each planned time once, however many schedulers ask. Announce the jobs after it."""
    now = now or timezone.now()
    begun: list[ExportJob] = []
    for pk in ExportSchedule.objects.filter(is_enabled=True, next_run_at__lte=now).values_list("pk", flat=True):
        with transaction.atomic():
            schedule = (
                ExportSchedule.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("template", "created_by")
                .filter(pk=pk, is_enabled=True, next_run_at__lte=now)
                .first()
            )
            if schedule is not None and (job := _take_turn(schedule, now)) is not None:
                begun.append(job)
    return begun


def _take_turn(schedule: ExportSchedule, now: datetime) -> ExportJob | None:
    planned_at = schedule.next_run_at
    assert planned_at is not None
    schedule.next_run_at = timing_of(schedule).next_after(now)  # also after a failure (S14)
    schedule.save(update_fields=["next_run_at"])
    run = ScheduledRun(schedule=schedule, planned_at=planned_at, status="started")
    owner = schedule.created_by
    if owner is None or not owner.is_active:
        run.status, run.error_message = "skipped_inactive", say("Its owner may not log in any more.")
    elif now - planned_at > PUNCTUAL and schedule.on_missed == "skip":
        run.status = "missed"
    elif _is_busy(schedule):
        run.status = "skipped_overlap"
    run.save()
    if run.status != "started":
        return None
    try:
        with transaction.atomic():
            return _begin(schedule, run, by=owner)
    except (ExportError, policy.Denied) as error:
        ScheduledRun.objects.filter(pk=run.pk).update(status="failed", error_message=str(error)[:2000])
        return None


def _begin(schedule: ExportSchedule, run: ScheduledRun, *, by: Any) -> ExportJob:
    changes: dict[str, Any] = {}
    if schedule.changed_since_column:
        run.position = timezone.now()
        changes["filters"] = _since(schedule, run.position)
    job = run_template(schedule.template, by=by, trigger="schedule", **changes)
    run.job = job
    run.save(update_fields=["job", "position"])
    return job


def _since(schedule: ExportSchedule, until: datetime) -> list[Any]:
    """The template's filters and the rows changed since the last run that succeeded (F-179)."""
    column, own = schedule.changed_since_column, schedule.template.filters
    found: list[Any] = list(own) if isinstance(own, list) else [own] if own else []
    if schedule.last_position is not None:
        since = schedule.last_position.isoformat(sep=" ")
        found.append({"column": column, "operator": ">", "value": since})
    return [*found, {"column": column, "operator": "<=", "value": until.isoformat(sep=" ")}]


def _is_busy(schedule: ExportSchedule) -> bool:
    return schedule.runs.filter(job__status__in=ACTIVE).exists()


def tell_ended() -> int:
    """Tell recipients of files that are ready and owners of failures, each once; keep the last files only."""
    waiting = ScheduledRun.objects.filter(is_told=False).exclude(status__in=["missed", "skipped_overlap"])
    ended = waiting.filter(job__status__in=FINISHED) | waiting.exclude(status="started")
    count = 0
    for run in ended.select_related("schedule__template", "schedule__created_by", "job"):
        # Whoever turns the flag is who tells: of two schedulers one.
        if not ScheduledRun.objects.filter(pk=run.pk, is_told=False).update(is_told=True):
            continue
        count += 1
        if run.job is not None and run.job.status == JobStatus.COMPLETED:
            if run.position is not None:
                ExportSchedule.objects.filter(pk=run.schedule_id).update(last_position=run.position)
            notifications.tell_ready(run)
            _keep_last(run.schedule)
        else:
            notifications.tell_failed(run)
    return count


def _keep_last(schedule: ExportSchedule) -> None:
    if schedule.keep_last is None:
        return
    jobs = ExportJob.objects.filter(scheduled_run__schedule=schedule, status=JobStatus.COMPLETED)
    for job in jobs.order_by("-created_at", "-number")[schedule.keep_last :]:
        delete_export(job, by=schedule.created_by)
