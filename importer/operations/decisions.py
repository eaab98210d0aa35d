"""What people do about single records afterwards: decide, retry, hide (R4-R6, R12-R14).

A decision is written down at once; what it means for the target is done by a job of its own, through the same
statements as every import: a match is remembered as the row's identity first, so the job finds exactly that target.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone
from psycopg import sql

from importer.file_targets import is_table
from importer.models import Decision, ExternalRef, ImportJob, ImportQuery, ImportRecord, JobKind, QueryRun, Verdict
from importer.modes import Mode, Outcome
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.jobs import MOST_ROWS, again
from importer.pipeline.planned import CODE as REPLANNED
from permissions import audit
from servicevault import catalog
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

DOUBTS = ("uncertain_match", "ambiguous_match", "unique_conflict", REPLANNED)  # what a person can decide
MOST_TOLD = 500  # results of single records in one answer
_UNDONE = (JobStatus.FAILED, JobStatus.CANCELLED)


def undecided(records: QuerySet[ImportRecord]) -> QuerySet[ImportRecord]:
    """Those that a person can decide and nobody has, or whose decision could not be carried out."""
    never = Q(verdict=None) | Q(verdict__decision="") | Q(verdict__job__status__in=_UNDONE)
    return records.filter(never, action=Outcome.REVIEW, code__in=DOUBTS)


@dataclass(frozen=True)
class Told:
    """What became of one selected record."""

    record_id: UUID | str
    result: str  # queued, skipped, hidden, failed, stale, not_applicable, not_found
    import_action: str = ""
    target_id: UUID | None = None
    message: str = ""


@dataclass
class Done:
    """What became of a selection; `job` carries out what was queued (R13)."""

    selected: int
    results: list[Told] = field(default_factory=list)
    job: ImportJob | None = None

    def count(self, *results: str) -> int:
        return sum(told.result in results for told in self.results)


@dataclass(frozen=True)
class Approval:
    """What the person said about a record."""

    decision: Decision = Decision.MATCH
    target_id: UUID | None = None  # instead of the best candidate
    target_version: str = ""  # of the candidate as it was shown (R14)
    creates: bool = True  # rows that were skipped because nothing was found
    updates: bool = True  # rows that were skipped because their target was here


def approve(records: QuerySet[ImportRecord], said: Approval, *, by: Any) -> Done:
    """Decide rows that wait, all the same way, and put rows the mode skipped to work all the same (R4, DEC-21).

    A decision is taken once; it may be taken again when the job that was to carry it out failed or was cancelled.
    Raises InvalidFields for a target of several records, and what `decide` raises.
    """
    with transaction.atomic():
        chosen = _locked(records)
        if (said.target_id or said.target_version) and len(chosen) != 1:
            raise InvalidFields({"target_id": [say("A target is named for one record at a time.")]})
        return decide(records, {record.pk: said for record in chosen}, by=by)


def decide(records: QuerySet[ImportRecord], said: Mapping[UUID, Approval], *, by: Any) -> Done:
    """Decide each of the records as `said` has it; one job carries out all that is to be written.

    Raises Conflict for records of several profiles, for more than 10,000, and while the profile has another job;
    Denied or Http404 for a profile that is not the person's to run.
    """
    with transaction.atomic():
        chosen = _locked(records.filter(pk__in=said))
        desk = _Desk(said, chosen)
        done = Done(len(chosen), [desk.told(record) for record in chosen])
        queued = _of(chosen, done, "queued")
        if queued:
            _link(queued, desk.targets)
            # Who is said to be somebody has that identity by now, so nobody is looked for where one is said to be new.
            is_new = any(said[record.pk].decision is Decision.NEW for record in queued)
            matching = {"matching": {"enabled": False}} if is_new else {}
            ids = [record.pk for record in queued]
            put = again(
                records.filter(pk__in=ids),
                by=by,
                applicable={Outcome.REVIEW: None, Outcome.SKIPPED: None},
                mode=Mode.UPSERT,
                options=matching,
            )
            done.job = put.job
        for decision in sorted({said[record.pk].decision for record in queued}):
            of_it = [record for record in queued if said[record.pk].decision is decision]
            _write_down(of_it, decision, by=by, job=done.job, targets=desk.targets)
        left_out = _of(chosen, done, "skipped")
        _write_down(left_out, Decision.SKIP, by=by)
        _move_counters([record for record in (*queued, *left_out) if record.pk not in desk.decided])
        if left_out:
            audit.record("records_approved", user=by, details={"records": len(left_out), "decision": "skip"})
        return done


class _Desk:
    """Everything that is asked about the selected records, read once for all of them."""

    def __init__(self, said: Mapping[UUID, Approval], records: Sequence[ImportRecord]) -> None:
        self.said = said
        self.verdicts = {
            verdict.pk: verdict
            for verdict in Verdict.objects.filter(pk__in=[record.pk for record in records]).select_related("job")
        }
        self.decided = {pk for pk, verdict in self.verdicts.items() if verdict.decision}
        self.targets: dict[UUID, UUID] = {}  # record → the target it is said to be
        wanted = [(record.run.target_type, self.candidate(record)) for record in records]
        self.versions = target_versions((kind, target) for kind, target in wanted if target)
        profiles = {record.run.job.profile_id for record in records}
        written = ImportQuery.objects.filter(profile__in=profiles, spec__kind="sql")
        self.read_whole = set(written.values_list("profile_id", "key"))
        self.linked = {
            (ref.entity_id, ref.external_id): ref.target_id
            for ref in ExternalRef.objects.filter(
                entity_id__in={record.run.entity_id for record in records if record.run.entity_id},
                external_id__in=[record.source_identifier for record in records],
            )
        }

    def candidate(self, record: ImportRecord) -> UUID | None:
        """The target the record would be matched with: the one named, the recorded one, else the best candidate."""
        if said := self.said[record.pk].target_id:
            return said
        if record.target_id:
            return record.target_id
        found = (record.matching or {}).get("candidates") or []
        return UUID(str(found[0]["id"])) if found else None

    def told(self, record: ImportRecord) -> Told:
        result, message = self.judged(record)
        target = self.targets.get(record.pk) or record.target_id
        return Told(record.pk, result, record.action, target, message)

    def judged(self, record: ImportRecord) -> tuple[str, str]:
        """The result and the sentence for one record; a match is noted in `targets`."""
        verdict = self.verdicts.get(record.pk)
        if verdict and verdict.decision and not (verdict.job and verdict.job.status in _UNDONE):
            return "not_applicable", say("It was decided already: {decision}.", decision=verdict.decision)
        if record.run.job.kind != JobKind.IMPORT or record.run.entity_id is None:
            return "not_applicable", say("Only rows that an import of a database left can be decided.")
        if record.action == Outcome.REVIEW and record.code in DOUBTS:
            return self.doubt(record)
        said = self.said[record.pk]
        if said.decision is Decision.SKIP or record.action != Outcome.SKIPPED:
            return "not_applicable", _why_not(record)
        if record.code == "exists" and said.updates:
            # A table's rows have no identity of ours: they are found again by their key.
            return self.narrowed(record) if is_table(record.run.target_type) else self.matched(record)
        if record.code == "not_found" and said.creates:
            return self.narrowed(record)
        return "not_applicable", _why_not(record)

    def doubt(self, record: ImportRecord) -> tuple[str, str]:
        said = self.said[record.pk]
        match said.decision:
            case Decision.SKIP:
                return "skipped", say("It is left out.")
            case Decision.NEW if record.code == "unique_conflict":
                column = (record.matching or {}).get("field") or say("A value")
                return "failed", say(
                    "{column} must be unique and another record has it: match it, or skip it.", column=column
                )
            case Decision.NEW if (record.run.entity_id or 0, record.source_identifier) in self.linked:
                return "failed", say("The row is a record here already: match it, or skip it.")
            case Decision.NEW:
                return self.narrowed(record)
            case _ if record.code == REPLANNED and self.candidate(record) is None:
                return self.narrowed(record)  # it would be new by now: nothing else is said about it
            case _ if record.code == "ambiguous_match" and not said.target_id:
                return "failed", say("Several records fit equally well: say which one with target_id.")
        return self.matched(record)

    def matched(self, record: ImportRecord) -> tuple[str, str]:
        target = self.candidate(record)
        version = self.versions.get(target) if target else None
        if target is None or version is None:
            return "failed", say(
                "There is no such record of {target_type} any more.", target_type=record.run.target_type
            )
        seen = self.said[record.pk].target_version
        if seen and seen != version:
            return "stale", say("The record was changed since it was shown. Look at it again.")
        linked = self.linked.get((record.run.entity_id or 0, record.source_identifier))
        if linked is not None and linked != target:
            return "failed", say("This row of the source has become another record meanwhile.")
        result, message = self.narrowed(record)
        if result == "queued":
            self.targets[record.pk] = target
        return result, message

    def narrowed(self, record: ImportRecord) -> tuple[str, str]:
        """Queued, unless the row cannot be read by itself."""
        if (record.run.job.profile_id, record.run.key) in self.read_whole:
            return "failed", say("Its query is written in SQL and is read whole: import the query instead.")
        return "queued", say("A job brings it in.")


def _why_not(record: ImportRecord) -> str:
    if record.code == "unmapped_value":
        return say("It waits for a value map: map the value, then release the held rows.")
    if record.code:
        return say("A row that was {action} ({code}) is not decided this way.", action=record.action, code=record.code)
    return say("A row that was {action} is not decided this way.", action=record.action)


def retry_records(
    records: QuerySet[ImportRecord], *, by: Any, mode: str, options: Mapping[str, Any] | None = None
) -> Done:
    """One job that reads failed rows from the source again (R5). Raises what `again` raises."""
    with transaction.atomic():
        chosen = _locked(records)
        failed = [
            record.pk
            for record in chosen
            if record.action == Outcome.FAILED and record.run.job.kind != JobKind.REHEARSAL
        ]
        fitting = records.filter(pk__in=failed)
        put = again(fitting, by=by, applicable={Outcome.FAILED: None}, mode=mode, options=options)
        results = [
            Told(record.pk, "queued", record.action, record.target_id, say("It is read and imported again."))
            if put.job and record.pk in failed
            else Told(
                record.pk, "not_applicable", record.action, record.target_id, say("Only failed rows are tried again.")
            )
            for record in chosen
        ]
        done = Done(len(chosen), results, put.job)
        _write_down(_of(chosen, done, "queued"), Decision.RETRY, by=by, job=put.job)
        return done


def hide(records: QuerySet[ImportRecord], *, by: Any) -> Done:
    """Take the records out of the lists; targets, counters and the audit log keep everything (R6, R24)."""
    with transaction.atomic():
        chosen, now = _locked(records), timezone.now()
        verdicts = [Verdict(record=record, hidden_by=by, hidden_at=now) for record in chosen]
        Verdict.objects.bulk_create(
            verdicts, update_conflicts=True, unique_fields=["record"], update_fields=["hidden_by", "hidden_at"]
        )
        if chosen:
            audit.record("records_deleted", user=by, details={"records": len(chosen)})
        return Done(len(chosen), [Told(record.pk, "hidden", record.action, record.target_id) for record in chosen])


def target_versions(wanted: Iterable[tuple[str, UUID]]) -> dict[UUID, str]:
    """What each live target looks like now, as a text that changes with it; rows that are gone are missing."""
    by_type: dict[str, list[UUID]] = {}
    for name, target_id in wanted:
        if is_table(name):
            continue
        by_type.setdefault(name, []).append(target_id)
    found: dict[UUID, str] = {}
    for name, ids in by_type.items():
        try:
            target = catalog.get(name)
        except catalog.UnknownTarget:
            continue
        conditions = [sql.SQL("t.id = ANY(%s)")]
        if target.scope:
            conditions.append(sql.SQL(target.scope))
        if target.soft_delete:
            conditions.append(sql.SQL("t.{} IS NULL").format(sql.Identifier(target.soft_delete)))  # type: ignore[arg-type]
        query = sql.SQL("SELECT t.id, md5(t::text) FROM {} t WHERE {}").format(
            sql.Identifier(target.table), sql.SQL(" AND ").join(conditions)
        )
        with connection.cursor() as cursor:
            cursor.execute(query, [ids])
            found.update(cursor.fetchall())
    return found


def _locked(records: QuerySet[ImportRecord]) -> list[ImportRecord]:
    """The selected records, held so that two people do not decide one. Raises Conflict above 10,000."""
    found = list(
        records.select_related("run__job", "run__entity")
        .defer("source_data", "before_image", "after_image")
        .order_by("run_id", "id")
        .select_for_update(of=("self",))[: MOST_ROWS + 1]
    )
    if len(found) > MOST_ROWS:
        raise Conflict(
            say("These are more than {most_rows:,} records.", most_rows=MOST_ROWS), hint=say("Narrow the criteria.")
        )
    return found


def _of(records: Sequence[ImportRecord], done: Done, result: str) -> list[ImportRecord]:
    return [record for record, told in zip(records, done.results, strict=True) if told.result == result]


def _link(records: Iterable[ImportRecord], targets: Mapping[UUID, UUID]) -> None:
    """Remember which target each row is, as if it had been imported as that one (K3)."""
    refs = [
        ExternalRef(entity=record.run.entity, external_id=record.source_identifier, target_id=targets[record.pk])
        for record in records
        if record.pk in targets and record.run.entity is not None
    ]
    ExternalRef.objects.bulk_create(refs, ignore_conflicts=True)


def _write_down(
    records: Collection[ImportRecord],
    decision: Decision,
    *,
    by: Any,
    job: ImportJob | None = None,
    targets: Mapping[UUID, UUID] | None = None,
) -> None:
    now = timezone.now()
    verdicts = [
        Verdict(
            record=record,
            decision=Decision.APPROVE if record.action == Outcome.SKIPPED else decision,
            target_id=(targets or {}).get(record.pk),
            job=job,
            decided_by=by,
            decided_at=now,
        )
        for record in records
    ]
    fields = ["decision", "target_id", "job", "decided_by", "decided_at"]
    Verdict.objects.bulk_create(verdicts, update_conflicts=True, unique_fields=["record"], update_fields=fields)


def _move_counters(records: Iterable[ImportRecord]) -> None:
    """A row that waited and was decided does not wait any more: its own job left it out (J18)."""
    waited = [record.pk for record in records if record.action == Outcome.REVIEW]
    runs = ImportRecord.objects.filter(pk__in=waited).values("run").annotate(rows=Count("pk")).order_by("run")
    for run in runs:
        QueryRun.objects.filter(pk=run["run"]).update(
            review=F("review") - run["rows"], skipped=F("skipped") + run["rows"]
        )
