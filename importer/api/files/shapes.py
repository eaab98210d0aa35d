"""Files and their jobs as JSON and as form fields (F-020, F-026, F-027)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ParseError

from servicevault.api.documents import envelope
from servicevault.api.parsing import check_texts
from servicevault.api.slices import SliceParameters
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

NAME = 255
MOST_TEXT = 1024 * 1024  # F-068
_FILE = {"type": "string", "format": "binary"}
_TEXT = {"type": "string"}


@extend_schema_field(OpenApiTypes.ANY)
class AnyField(serializers.JSONField):
    """JSON of any shape."""


def form(required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A multipart body for the document: the file, or pasted text, and what goes with it."""
    properties = {
        "file": _FILE,
        "text": {**_TEXT, "description": "Pasted text in place of a file, at most 1 MB."},
        "upload_id": {**_TEXT, "format": "uuid", "description": "A complete upload in place of a file."},
        "table_name": {**_TEXT, "description": "The table the rows go into as they are."},
        "target_type": {
            **_TEXT,
            "description": (
                "In place of a table: accounts, agents, customer_users, tickets, ticket_comments or time_entries. "
                "Rows have external ids, name each other by them and are matched with what is here. With neither of both, "
                "import_options.tables says which part of the file goes where."
            ),
        },
        "import_options": {
            **_TEXT,
            "description": (
                "JSON text. Of a document, parts holds options that one part alone has. account_strategy (company, "
                "company_or_domain, domain, single) says whence customers have their accounts when no column names them."
            ),
        },
        "field_mappings": {**_TEXT, "description": "JSON text; of a document an object with a list for each part."},
        **more,
    }
    return {"multipart/form-data": {"type": "object", "properties": properties, "required": list(required)}}


class FormBody(serializers.Serializer[Any]):
    """The form fields of an upload; two of them are JSON texts."""

    file = serializers.FileField(required=False, allow_empty_file=True)
    text = serializers.CharField(required=False, max_length=MOST_TEXT, trim_whitespace=False, allow_blank=True)
    table_name = serializers.CharField(required=False, max_length=NAME, trim_whitespace=False)
    target_type = serializers.CharField(required=False, max_length=64)
    import_options = serializers.CharField(required=False, allow_blank=True, max_length=MOST_TEXT)
    field_mappings = serializers.CharField(required=False, allow_blank=True, max_length=MOST_TEXT)
    upload_id = serializers.UUIDField(required=False)
    requires_approval = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("file") is None and "text" not in attrs and not attrs.get("upload_id"):
            raise serializers.ValidationError(
                {"file": [say("Send the file as the form field “file”, or text as “text”.")]}
            )
        options = _json(attrs, "import_options")
        if options is not None and not isinstance(options, Mapping):
            raise serializers.ValidationError({"import_options": [say("An object is expected.")]})
        return attrs | {"import_options": options, "field_mappings": _json(attrs, "field_mappings")}


class TargetForm(FormBody):
    """A form that says where the file goes."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        found = super().validate(attrs)
        if not found.get("table_name") and not found.get("target_type") and not (found["import_options"] or {}).get("tables"):  # fmt: skip
            said = say("Say where the file goes: table_name, target_type, or import_options.tables for a document.")
            raise serializers.ValidationError({"table_name": [said]})
        return found


def goes_to(given: Mapping[str, Any]) -> dict[str, Any]:
    """The destination a body names, as operations take it."""
    return {name: given.get(name, "") for name in ("table_name", "target_type")}


def _json(attrs: Mapping[str, Any], name: str) -> Any:
    """The JSON in a form field; None when it is absent. Raises ParseError naming the field (F-023)."""
    text = attrs.get(name) or ""
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError(say("{name} is not JSON: {error}.", name=name, error=error)) from None
    check_texts(found)
    return found


def content_of(given: Mapping[str, Any]) -> tuple[Any, str]:
    """What was sent, and its name."""
    sent: UploadedFile | None = given.get("file")
    if sent is not None:
        return sent, sent.name or "file"
    return [str(given.get("text", "")).encode()], "pasted.txt"


class FileProblem(serializers.Serializer[Any]):
    """One error or warning of one cell, row or file."""

    part = serializers.CharField(required=False, help_text="of a document")
    row = serializers.IntegerField()
    record = serializers.IntegerField(allow_null=True, required=False)
    record_id = serializers.UUIDField(required=False)
    column = serializers.CharField(allow_blank=True)
    field = serializers.CharField(allow_blank=True)
    message = serializers.CharField()
    severity = serializers.CharField(required=False)
    value = AnyField(allow_null=True)
    code = serializers.CharField()
    suggestion = serializers.CharField(allow_blank=True)


class Mapping_(serializers.Serializer[Any]):  # noqa: N801 - Mapping is a type of Python's
    source_column = serializers.CharField()
    target_column = serializers.CharField()
    transform = AnyField(allow_null=True, required=False)
    reference = serializers.DictField(required=False, help_text="of a reference: by what its row is found")
    value_map = serializers.DictField(required=False, help_text="what the file's values mean")
    confidence = serializers.FloatField(required=False)
    reason = serializers.CharField(required=False)


REPORT = envelope(
    "FileReport",
    isValid=serializers.BooleanField(),
    totalRows=serializers.IntegerField(),
    validRows=serializers.IntegerField(),
    errorRows=serializers.IntegerField(),
    errors=FileProblem(many=True),
    warnings=FileProblem(many=True),
    errorsTotal=serializers.IntegerField(),
    warningsTotal=serializers.IntegerField(),
    truncated=serializers.BooleanField(),
    headers=serializers.ListField(child=serializers.CharField()),
    mappings=serializers.ListField(child=serializers.DictField()),
    recommendations=serializers.ListField(child=serializers.CharField()),
)
PARSED = envelope(
    "ParsedFile",
    headers=serializers.ListField(child=serializers.CharField()),
    sample_rows=serializers.ListField(child=serializers.DictField()),
    total_rows=serializers.IntegerField(allow_null=True),
    total_rows_exact=serializers.BooleanField(),
    format=serializers.CharField(),
    encoding=serializers.CharField(allow_blank=True, allow_null=True),
    delimiter=serializers.CharField(allow_blank=True, allow_null=True),
    quote_char=serializers.CharField(allow_blank=True, allow_null=True),
    has_headers=serializers.BooleanField(allow_null=True),
    sheets=serializers.ListField(child=serializers.DictField()),
    record_paths=serializers.ListField(child=serializers.DictField()),
    warnings=serializers.ListField(child=serializers.DictField()),
    suggested_mappings=serializers.ListField(child=serializers.DictField()),
)
SUGGESTED = envelope(
    "SuggestedMapping",
    mappings=Mapping_(many=True),
    unmapped_sources=serializers.ListField(child=serializers.CharField()),
    unmapped_required=serializers.ListField(child=serializers.CharField()),
)


class DocumentPart(serializers.Serializer[Any]):
    """One table of a document: where it is in the file, and where it goes (F-067)."""

    place = serializers.CharField()
    table_name = serializers.CharField()
    target_type = serializers.CharField(allow_null=True)
    headers = serializers.ListField(child=serializers.CharField())
    total_rows = serializers.IntegerField(allow_null=True)
    field_mappings = serializers.ListField(child=serializers.DictField())
    suggested_mappings = serializers.ListField(child=serializers.DictField(), required=False)


class UploadedJob(serializers.Serializer[Any]):
    """A file's job (F-021)."""

    id = serializers.IntegerField(help_text="the running number")
    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(JobStatus.choices)
    table_name = serializers.CharField()
    target_type = serializers.CharField(allow_null=True)
    original_filename = serializers.CharField()
    file_size = serializers.IntegerField()
    file_format = serializers.CharField()
    detected = serializers.DictField()
    total_rows = serializers.IntegerField(allow_null=True)
    headers = serializers.ListField(child=serializers.CharField())
    parts = DocumentPart(many=True, help_text="of a document; empty for a file that is one table")
    suggested_mappings = serializers.ListField(child=serializers.DictField(), required=False)
    import_options = serializers.DictField()
    field_mappings = serializers.ListField(child=serializers.DictField(), allow_null=True)
    requires_approval = serializers.BooleanField()
    within = serializers.DictField(help_text="what the page that took the file leaves of your rights; empty: all")
    progress_percent = serializers.FloatField()
    validation_results = serializers.DictField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    created_by = serializers.UUIDField(allow_null=True)


class Status(serializers.Serializer[Any]):
    """Where a file's job stands (F-031)."""

    id = serializers.IntegerField()
    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(JobStatus.choices)
    progress_percent = serializers.FloatField()
    total_rows = serializers.IntegerField(allow_null=True)
    processed_rows = serializers.IntegerField()
    valid_rows = serializers.IntegerField()
    error_rows = serializers.IntegerField()
    created_rows = serializers.IntegerField()
    updated_rows = serializers.IntegerField()
    unchanged_rows = serializers.IntegerField()
    skipped_rows = serializers.IntegerField()
    failed_rows = serializers.IntegerField()
    review_rows = serializers.IntegerField()
    replanned_rows = serializers.IntegerField(help_text="Rows held against a plan that are not as it says.")
    current_operation = serializers.CharField(allow_blank=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    error_message = serializers.CharField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)


class WholeJob(UploadedJob, Status):
    """Everything that is kept of a file's job (F-045)."""

    import_results = serializers.DictField()
    approved_by = serializers.UUIDField(allow_null=True)
    approved_at = serializers.DateTimeField(allow_null=True)
    approval_notes = serializers.CharField(allow_blank=True)


class Logged(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    operation = serializers.CharField()
    details = serializers.DictField()


class Progress(Status):
    """Status with the stage and what was done so far (F-035)."""

    stage = serializers.CharField()
    message = serializers.CharField(allow_blank=True)
    log = Logged(many=True)
    rows_per_second = serializers.IntegerField(allow_null=True)
    estimated_completion = serializers.DateTimeField(allow_null=True)


class FileStartBody(serializers.Serializer[Any]):
    accept_errors = serializers.BooleanField(default=False)
    plan_id = serializers.UUIDField(
        required=False,
        help_text="A completed rehearsal of the file of at most seven days that its rows are held against; those that "
        "failed in it stay out.",
    )
    strict = serializers.BooleanField(
        default=False, help_text="Rows that are not as planned wait as `review` instead of being written."
    )


class FileRetryBody(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(["failed", "all"], default="failed")


class ConfigureBody(serializers.Serializer[Any]):
    """What to change of how an uploaded file is read and mapped; the rest stays."""

    import_options = serializers.DictField(required=False)
    field_mappings = AnyField(required=False, allow_null=True)
    part = serializers.CharField(
        required=False,
        max_length=NAME,
        trim_whitespace=False,
        help_text="Of a document: whose own options and mappings these are. Without it they are those of the whole.",
    )


class ApplyTemplateBody(serializers.Serializer[Any]):
    template_id = serializers.UUIDField()


class Difference(serializers.Serializer[Any]):
    """What a part of a file and its template do not share."""

    part = serializers.CharField(allow_blank=True, help_text="Empty for a file that is one table.")
    missing_columns = serializers.ListField(child=serializers.CharField(), help_text="Only the template has them.")
    new_columns = serializers.ListField(child=serializers.CharField(), help_text="Only the file has them.")
    only_in = serializers.CharField(
        allow_blank=True, help_text="“template” or “file” for a part that the other does not have."
    )


class SuggestBody(serializers.Serializer[Any]):
    headers = serializers.ListField(
        child=serializers.CharField(max_length=NAME, trim_whitespace=False, allow_blank=True), max_length=2_000
    )
    sample_rows = AnyField(default=list)
    target_type = serializers.CharField(
        required=False, max_length=64, help_text="of the help desk, in place of the table as it is"
    )

    def validate_sample_rows(self, value: Any) -> list[Any]:
        """Rows are lists of cells, or objects by header."""
        if not isinstance(value, list) or not all(isinstance(row, list | dict) for row in value) or len(value) > 1_000:
            raise serializers.ValidationError(
                say("A list of at most 1,000 rows is expected, each a list or an object.")
            )
        return [{key: _cell(cell) for key, cell in row.items()} if isinstance(row, dict) else list(map(_cell, row)) for row in value]  # fmt: skip


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


class JobParameters(SliceParameters):
    status_filter = serializers.ChoiceField(JobStatus.choices, required=False)
    table_name = serializers.CharField(required=False, max_length=NAME)


class ErrorParameters(SliceParameters):
    field = serializers.CharField(required=False, max_length=NAME)
    code = serializers.CharField(required=False, max_length=64)
    severity = serializers.ChoiceField(["error", "warning"], default="error")


class ReportParameters(serializers.Serializer[Any]):
    errors_limit = serializers.IntegerField(min_value=1, max_value=1_000, default=100)


class FormatParameter(serializers.Serializer[Any]):
    format = serializers.ChoiceField(["csv", "xlsx", "json"], default="csv")
