"""What a rehearsal found out: a decision for each row, what it would change, and the errors by kind (X19, X21).

Personal data in what would be written is hidden; the values that stopped a row are not, as in its record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from django.db.models import Count, Min, Q, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Length

from importer import codes
from importer.models import ImportJob, ImportProfile, ImportRecord, JobKind
from importer.modes import Outcome
from importer.operations import plan_beside
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.files.rehearsing import start_as_rehearsed
from importer.operations.jobs import start_import
from importer.operations.masking import MADE_OF, masked, role_of_target
from importer.pipeline.defaults import DEFAULT
from servicevault.tabular import formats
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.options import WriteOptions
from servicevault.wording import say

FORMATS = ("csv", "xlsx", "json")
COLUMNS = ("query", "source_identifier", "action", "reason", "target_id", "field", "was", "becomes", "message")
GROUPS = 30
MOST_FACETS = 100
_FILTERS = {"action": "action", "query": "run__key", "reason": "code", "target_type": "run__target_type"}
_OURS = frozenset({"id", "created_by", "created_by_id", "deleted_at"})  # written by us, not by the mapping


@dataclass(frozen=True)
class Change:
    """One field of the target: what is there and what the import makes of it."""

    field: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class PlanRow:
    """What would become of one row of the source."""

    record: ImportRecord
    changes: tuple[Change, ...]

    @property
    def is_of_source(self) -> bool:
        """Whether it is a row of the source; the default account is none (E36)."""
        return bool(self.record.run.key != DEFAULT)

    @property
    def problems(self) -> list[dict[str, Any]]:
        return [item for item in self.record.problems or [] if isinstance(item, dict)]

    @property
    def warnings(self) -> list[dict[str, Any]]:
        return [item for item in self.record.warnings or [] if isinstance(item, dict)]


@dataclass(frozen=True)
class Group:
    """Rows that fail for the same reason in the same field."""

    query: str
    name: str
    code: str
    field: str
    count: int
    message: str  # of one of them
    value: str  # of the same


def check_plan(job: ImportJob) -> ImportJob:
    """The job, if it is a rehearsal; raises Conflict for one that wrote."""
    if job.kind != JobKind.REHEARSAL:
        raise Conflict(
            say("Job {job} is no rehearsal and has no plan.", job=job.number), hint=say("Look at its records.")
        )
    return job


def rows_of(job: ImportJob, given: Mapping[str, Any]) -> QuerySet[ImportRecord]:
    """The rows of a plan by action, query, reason and text, in the order they were read."""
    found = ImportRecord.objects.filter(run__job=job).exclude(code="late_link").select_related("run")
    found = found.filter(**{column: given[name] for name, column in _FILTERS.items() if given.get(name)})
    if text := given.get("search"):
        found = found.filter(Q(source_identifier__icontains=text) | Q(problems__icontains=text))
    return found.defer("source_data").order_by(
        "run__position", "batch_no", Length("source_identifier"), "source_identifier", "id"
    )


def row_of(record: ImportRecord) -> PlanRow:
    before, after = record.before_image or {}, record.after_image or {}
    fields = record.changed_fields if record.changed_fields is not None else sorted(set(after) - _OURS)
    changes = [_change(field, before.get(field), after.get(field)) for field in fields]
    return PlanRow(record, tuple(change for change in changes if change.old or change.new))


def _change(field: str, old: Any, new: Any) -> Change:
    role = MADE_OF if isinstance(old, dict) or isinstance(new, dict) else role_of_target(field)
    return Change(field, *(_text(*masked([value], [role])) for value in (old, new)))


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value in (None, {}, []) else str(value)


def facets_of(job: ImportJob) -> dict[str, list[tuple[str, str, int]]]:
    """How often each query and each reason stands in the plan: (value, words, rows) (X21)."""
    found = ImportRecord.objects.filter(run__job=job).exclude(code="late_link").order_by()
    queries = found.values_list("run__key", "run__name").annotate(rows=Count("pk")).order_by("-rows")[:MOST_FACETS]
    reasons = found.exclude(code=None).values_list("code").annotate(rows=Count("pk")).order_by("-rows")[:MOST_FACETS]
    return {
        "query": [(key, name, rows) for key, name, rows in queries],
        "reason": [(code, codes.words(code), rows) for code, rows in reasons],
    }


def groups_of(job: ImportJob) -> list[Group]:
    """The failed rows by query, reason and field, the most frequent first; two queries."""
    grouped = list(
        ImportRecord.objects.filter(run__job=job, action=Outcome.FAILED)
        .annotate(field=KeyTextTransform("field", KeyTransform("0", "problems")))
        .order_by()
        .values("run__key", "run__name", "code", "field")
        .annotate(rows=Count("pk"), one=Min(Cast("pk", TextField())))  # PostgreSQL 17 knows no min() of UUIDs
        .order_by("-rows", "run__key", "code")[:GROUPS]
    )
    ones = ImportRecord.objects.filter(pk__in=[each["one"] for each in grouped])
    said = {str(pk): (problems or [{}])[0] for pk, problems in ones.values_list("pk", "problems")}
    return [
        Group(
            query=each["run__key"],
            name=each["run__name"],
            code=each["code"] or "",
            field=each["field"] or "",
            count=each["rows"],
            message=str(said[each["one"]].get("message") or ""),
            value=str(said[each["one"]].get("value") or ""),
        )
        for each in grouped
    ]


def import_as_rehearsed(job: ImportJob, *, by: Any, strict: bool = False) -> ImportJob:
    """An import with the mode and options of the rehearsal, held against its plan (X20); rows are read again.

    Rows whose fate is another one by then are told; in a `strict` import they wait for a person.

    Of a file it is the file's own job that starts. Raises Conflict for a job that is no finished rehearsal, whose plan
    is expired, or whose file is read or mapped otherwise by now, and what `start_import` and `files.start` raise.
    """
    check_plan(job)
    if job.rehearses is not None:
        return start_as_rehearsed(job, by, strict=strict)
    if not job.is_finished or job.profile is None:
        raise Conflict(
            say("Job {job} is {status}.", job=job.number, status=job.status),
            hint=say("Wait for the end of the rehearsal."),
        )
    profile = ImportProfile.objects.get(pk=job.profile.pk)
    return start_import(profile, by=by, mode=job.mode, options=plan_beside.beside(job, strict=strict))


def plan_file(job: ImportJob, given: Mapping[str, Any], format_name: str, target: IO[bytes]) -> int:
    """Write the plan with one line for each field that changes, else one a row; returns the number of lines.

    Raises InvalidFields for a format that is none of csv, xlsx and json.
    """
    if format_name not in FORMATS:
        raise InvalidFields({"format": [say("Use one of {formats}.", formats=", ".join(FORMATS))]})
    try:
        writer = formats.writable(format_name)
    except OptionRefused as error:
        raise InvalidFields({"format": [str(error)]}) from None
    return writer.write(target, list(COLUMNS), _lines(rows_of(job, given)), WriteOptions())


def _lines(records: QuerySet[ImportRecord]) -> Iterator[list[Any]]:
    for record in records.iterator(chunk_size=500):
        row = row_of(record)
        target = str(record.target_id) if record.target_id and record.action == Outcome.UPDATED else None
        start = [record.run.key, record.source_identifier, record.action, record.code, target]
        message = "; ".join(str(item.get("message") or "") for item in (*row.problems, *row.warnings)) or None
        for change in row.changes or (Change("", None, None),):
            yield [*start, change.field or None, change.old, change.new, message]
