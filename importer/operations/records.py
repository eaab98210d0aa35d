"""One record in full: what it kept, and what is worked out again from that (R1, R2, K14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from importer import codes, file_parts, file_staging
from importer.errors import ImporterError
from importer.mapping.fields import mapped_fields
from importer.mapping.tracing import FieldTrace, trace
from importer.models import Chunk, ExternalRef, ImportRecord, JobKind, SourceEntity
from importer.modes import Outcome
from importer.pipeline.plan import LoadPlan
from importer.query.parsing import parse_spec
from servicevault import catalog
from servicevault.wording import say

MOST_REFERENCES = 20  # external ids of one target that are looked at for the record before
_WRITTEN = (Outcome.CREATED, Outcome.UPDATED)
_SENTENCES = {
    "exists": say("It is here already, and the mode creates only."),
    "not_found": say("It is not here, and the mode updates only."),
    "target_deleted": say("The record it became was deleted here."),
    "duplicate_in_source": say("The query gave this identifier before; a join multiplies its rows."),
    "unique_conflict": say("Another record here has a value that must be unique."),
    "ambiguous_match": say("Several records here could be it."),
    "uncertain_match": say("A record here comes near to it."),
    "replanned": say("Something else would become of it than its rehearsal planned."),
    "placeholder_agent": say("The placeholder agent of the profile stands for it."),
}


@dataclass(frozen=True)
class Recomputed:
    """The row's way through its mapping; `reason` says why there is none."""

    fields: Sequence[FieldTrace] = ()
    reason: str = ""

    @property
    def values(self) -> Mapping[str, Any] | None:
        """Target field → value as mapped; None when it cannot be told any more."""
        return None if self.reason else {field.field: field.value for field in self.fields}


@dataclass(frozen=True)
class Attempts:
    """A source row's place among the attempts to import it."""

    number: int  # 1, and one more for each attempt that failed before since the row last went in
    superseded_by: Any = None  # id of the record of the next attempt


def recomputed(record: ImportRecord) -> Recomputed:
    """Each step of each field, from the stored row and the mapping version of its run; for a file, its mapping."""
    row = (
        ImportRecord.objects.filter(pk=record.pk)
        .annotate(text=Cast("source_data", TextField()))
        .values_list("text", flat=True)
        .first()
    )
    if row is None:
        return Recomputed(reason=say("The row's data is not kept any more, or the row stands for none of the source."))
    try:
        return Recomputed(trace(_plan(record), row))
    except (ImporterError, catalog.UnknownTarget) as error:
        said = error.message if isinstance(error, ImporterError) else error
        return Recomputed(reason=say("The mapping in force then cannot be repeated: {said}", said=said))


def field_mappings(record: ImportRecord) -> Mapping[str, Any] | None:
    """The mapping in force: its version and the list; None for rows no mapping made."""
    run = record.run
    if run.job.source_kind == "file":
        return {"version": None, "fields": run.job.source_file.field_mappings}
    if run.mapping_version is None:
        return None
    mapping = run.mapping_version.mapping
    return {
        "version": run.mapping_version.digest,
        "fields": mapping.get("spec", {}).get("fields", []),
        "value_maps": mapping.get("value_maps", {}),
        "timezone": mapping.get("timezone", ""),
    }


def reason_of(record: ImportRecord) -> str | None:
    """Why the row was not written, in a sentence; None for rows that were."""
    if record.action in (*_WRITTEN, Outcome.UNCHANGED):
        return None
    first = next((item for item in record.problems or () if item.get("message")), None)
    code = record.code or ""
    return first["message"] if first else _SENTENCES.get(code) or codes.words(code)


def error_detail(record: ImportRecord) -> str | None:
    """How the database refused the row, for those who mend it; None for rows it did not refuse."""
    return next((item["detail"] for item in record.problems or () if item.get("detail")), None)


def duration_ms(record: ImportRecord) -> float | None:
    """The time its batch took to be written, divided by the batch's rows; None for rehearsals and older jobs."""
    chunk = Chunk.objects.filter(run=record.run_id, no=record.batch_no).first()
    return round(chunk.milliseconds / chunk.rows, 3) if chunk and chunk.rows else None


def attempts(record: ImportRecord) -> Attempts:
    """Which attempt at its row this is, and what came after a failed one."""
    failed, number, later = False, 0, None
    for pk, action in _of_row(record).order_by("created_at", "id").values_list("pk", "action"):
        if later is True:
            return Attempts(number, pk)
        number = number + 1 if failed else 1
        failed = action == Outcome.FAILED
        if pk == record.pk:
            if not failed:
                return Attempts(number)
            later = True
    return Attempts(max(number, 1))


def duplicate_of(record: ImportRecord) -> Any:
    """The id of the record that created or last updated the target this row was found to be; None for new rows."""
    target = matched_target(record)
    if target is None:
        return None
    references = ExternalRef.objects.filter(target_id=target).values_list("entity_id", "external_id")[:MOST_REFERENCES]
    rows = [Q(run__entity_id=entity, source_identifier=external_id) for entity, external_id in references]
    if not rows:
        return None
    found = ImportRecord.objects.filter(reduce(or_, rows), target_id=target, action__in=_WRITTEN)
    found = found.exclude(pk=record.pk).exclude(run__job__kind=JobKind.REHEARSAL)
    return found.filter(created_at__lte=record.created_at).order_by("-created_at").values_list("pk", flat=True).first()


def matched_target(record: ImportRecord) -> Any:
    """The target this row was found to be: its own, or the best candidate of one that waits."""
    if record.action == Outcome.CREATED:
        return None
    return record.target_id or next((item["id"] for item in candidates(record)), None)


def candidates(record: ImportRecord) -> Sequence[Mapping[str, Any]]:
    """Targets that came into question, best first."""
    return (record.matching or {}).get("candidates") or ()


def matching_fields(record: ImportRecord) -> Sequence[Mapping[str, Any]]:
    """Per match field the value of the source, that of the best candidate, and how alike they were found (K14)."""
    return next(iter(candidates(record)), {}).get("fields") or ()


def steps_of(found: Recomputed) -> list[Mapping[str, Any]]:
    """The recomputed fields as plain values."""
    return [asdict(field) for field in found.fields]


# -- parts --------------------------------------------------------------------------------------------------------


def _of_row(record: ImportRecord) -> QuerySet[ImportRecord]:
    """The attempts at the record's row, rehearsals apart."""
    same = ImportRecord.objects.filter(source_identifier=record.source_identifier, ordinal=record.ordinal)
    run = record.run
    if run.job.kind == JobKind.REHEARSAL or run.entity_id is None:
        return same.filter(run=run)
    return same.filter(run__entity=run.entity_id).exclude(run__job__kind=JobKind.REHEARSAL)


def _plan(record: ImportRecord) -> LoadPlan:
    run = record.run
    if run.job.source_kind == "file":
        part = next((each for each in file_parts.parts_of(run.job.source_file) if each.key == run.key), None)
        if part is None:
            raise ImporterError(say("The file has no such part any more."))
        return file_staging.plan_of(run.job.source_file, part, run.job).load
    if run.mapping_version is None:
        raise ImporterError(say("No mapping made this row."))
    mapping = run.mapping_version.mapping
    spec = parse_spec(mapping["spec"], target_types=catalog.names())
    spec = replace(spec, value_maps=mapping.get("value_maps") or spec.value_maps)
    row = record.source_data or {}
    entities = set(SourceEntity.objects.values_list("entity", flat=True))
    entities |= {field.reference.entity for field in spec.fields if field.reference}
    types = {column: _type_of(value) for column, value in row.items()} | run.plan.get("types", {})
    return LoadPlan(
        target=catalog.get(spec.target_type),
        mapped=mapped_fields(spec, tuple(row), types, entities),
        entity_id=0,
        version_id=run.mapping_version.pk,
        searched={},
        timezone=mapping.get("timezone") or "UTC",
        number_prefix=mapping.get("number_prefix") or "",
    )


def _type_of(value: Any) -> str:
    """The type of a source's column by one of its values, where the run did not note it."""
    if isinstance(value, dict | list):
        return "jsonb"
    return "boolean" if isinstance(value, bool) else "numeric" if isinstance(value, int | float) else "text"
