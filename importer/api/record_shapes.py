"""Records as JSON: what became of one row, and what is worked out again about it (R1, R2)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from importer.models import ImportRecord
from importer.modes import Outcome
from importer.operations import records as details
from importer.operations import rollbacks


class Record(serializers.Serializer[Any]):
    """What happened to one source row; personal data only for those who see other people's jobs."""

    id = serializers.UUIDField()
    import_job_id = serializers.UUIDField()
    import_profile_id = serializers.UUIDField(allow_null=True, help_text="Null for a file.")
    query = serializers.CharField()
    source_table = serializers.CharField(allow_blank=True)
    source_identifier = serializers.CharField()
    target_type = serializers.CharField()
    target_id = serializers.UUIDField(allow_null=True)
    import_action = serializers.CharField()
    replanned_from = serializers.CharField(
        allow_null=True,
        allow_blank=True,
        help_text="Action that the job's plan had for the row, where another fate came of it: empty where the plan had "
        "nothing to do for it, null where it is as planned or there was no plan.",
    )
    import_mode = serializers.CharField()
    code = serializers.CharField(allow_null=True)
    skip_reason = serializers.CharField(allow_null=True, help_text="Code; of skipped rows and rows under review.")
    error_code = serializers.CharField(allow_null=True, help_text="Code; of failed rows.")
    error_message = serializers.CharField(allow_null=True, help_text="Why it was not written, in a sentence.")
    confidence = serializers.FloatField(allow_null=True)
    changed_fields = serializers.ListField(child=serializers.CharField(), allow_null=True)
    problems = serializers.ListField(child=serializers.DictField())
    warnings = serializers.ListField(child=serializers.DictField())
    batch_no = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: ImportRecord) -> dict[str, Any]:
        run, job = instance.run, instance.run.job
        return {
            "id": str(instance.pk),
            "import_job_id": str(run.job_id),
            "import_profile_id": str(job.profile_id) if job.profile_id else None,
            "query": run.key,
            "source_table": run.source_table,
            "source_identifier": instance.source_identifier,
            "target_type": run.target_type,
            "target_id": str(instance.target_id) if instance.target_id else None,
            "import_action": instance.action,
            "replanned_from": instance.replanned_from,
            "import_mode": job.mode,
            "code": instance.code,
            "skip_reason": instance.code if instance.action in (Outcome.SKIPPED, Outcome.REVIEW) else None,
            "error_code": instance.code if instance.action == Outcome.FAILED else None,
            "error_message": details.reason_of(instance),
            "confidence": float(instance.confidence) if instance.confidence is not None else None,
            "changed_fields": instance.changed_fields,
            "problems": [_without_detail(problem) for problem in instance.problems or []],
            "warnings": instance.warnings or [],
            "batch_no": instance.batch_no,
            "created_at": instance.created_at,
        }


class StepShown(serializers.Serializer[Any]):
    """One step of a field's mapping; `store` is the last, where the text becomes a value of the column's type."""

    name = serializers.CharField()
    params = serializers.DictField()
    input = serializers.JSONField(allow_null=True)
    output = serializers.JSONField(allow_null=True)
    problem = serializers.CharField(allow_blank=True, help_text="Code, when the step could not take its input.")


class FieldShown(serializers.Serializer[Any]):
    field = serializers.CharField()
    column = serializers.CharField()
    source = serializers.JSONField(allow_null=True)
    steps = StepShown(many=True)
    value = serializers.JSONField(allow_null=True, help_text="As mapped; of a reference the id that was read.")


class RecordShown(Record):
    """A record with its data."""

    source_data = serializers.JSONField(allow_null=True)
    transformed_data = serializers.JSONField(
        allow_null=True, help_text="Target field to value as mapped, worked out again from source_data."
    )
    transformation_steps = FieldShown(many=True)
    transformation_note = serializers.CharField(allow_blank=True, help_text="Why there are no steps.")
    before_image = serializers.JSONField(allow_null=True)
    after_image = serializers.JSONField(allow_null=True)
    source_hash = serializers.CharField(allow_null=True)
    source_bytes = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.FloatField(
        allow_null=True, help_text="Time its batch took to be written, divided by the batch's rows."
    )
    field_mappings = serializers.JSONField(allow_null=True, help_text="Mapping version and list in force.")
    matching = serializers.JSONField(allow_null=True)
    matching_rules = serializers.JSONField(
        allow_null=True, help_text="Strategy, threshold, weights, fields and floor in force."
    )
    matching_fields = serializers.ListField(
        child=serializers.DictField(), help_text="Per field the source's value, the target's, and their similarity."
    )
    candidates = serializers.ListField(
        child=serializers.DictField(), help_text="What it could be; target_version is null where that is gone."
    )
    decision = serializers.DictField(allow_null=True, help_text="What a person decided, who, when, and by which job.")
    matched_target_id = serializers.UUIDField(allow_null=True)
    duplicate_of = serializers.UUIDField(allow_null=True, help_text="Record that wrote the matched target before.")
    attempt = serializers.IntegerField()
    superseded_by = serializers.UUIDField(allow_null=True, help_text="Record of the attempt after a failed one.")
    rolled_back_at = serializers.DateTimeField(allow_null=True, help_text="By a rollback that was not undone.")
    rollback_bucket = serializers.CharField(allow_null=True, help_text="reversed, kept_edited, blocked or error.")
    error_detail = serializers.CharField(
        allow_null=True, help_text="How the database refused the row; only with import.jobs.monitor."
    )

    def to_representation(self, instance: ImportRecord) -> dict[str, Any]:
        found = details.recomputed(instance)
        tried = details.attempts(instance)
        monitors = bool(self.context.get("monitors"))
        reversal = rollbacks.of_record(instance)
        return {
            **super().to_representation(instance),
            **{name: getattr(instance, name) for name in ("source_data", "before_image", "after_image", "matching")},
            "transformed_data": found.values,
            "transformation_steps": details.steps_of(found),
            "transformation_note": found.reason,
            "source_hash": bytes(instance.source_hash).hex() if instance.source_hash is not None else None,
            "source_bytes": getattr(instance, "source_bytes", None),
            "duration_ms": details.duration_ms(instance),
            "field_mappings": details.field_mappings(instance),
            "matching_rules": instance.run.plan.get("matching"),
            "matching_fields": details.matching_fields(instance),
            "candidates": self.candidates_of(instance),
            "decision": _decision(instance),
            "matched_target_id": details.matched_target(instance),
            "duplicate_of": details.duplicate_of(instance),
            "attempt": tried.number,
            "superseded_by": tried.superseded_by,
            "rolled_back_at": reversal.judged_at if reversal and reversal.written else None,
            "rollback_bucket": reversal.bucket if reversal else None,
            "error_detail": details.error_detail(instance) if monitors else None,
        }

    def candidates_of(self, instance: ImportRecord) -> list[dict[str, Any]]:
        versions = {str(pk): version for pk, version in self.context.get("versions", {}).items()}
        found = details.candidates(instance)
        return [{**candidate, "target_version": versions.get(str(candidate["id"]))} for candidate in found]


def _decision(record: ImportRecord) -> dict[str, Any] | None:
    verdict = getattr(record, "verdict", None)
    if verdict is None or not verdict.decision:
        return None
    return {
        "decision": verdict.decision,
        "target_id": str(verdict.target_id) if verdict.target_id else None,
        "decided_by": str(verdict.decided_by or ""),
        "decided_at": verdict.decided_at,
        "job_id": str(verdict.job_id) if verdict.job_id else None,
    }


def _without_detail(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "detail"}
