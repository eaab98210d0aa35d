"""Files on their way into a table: what was uploaded, how it is read and mapped, what its validation found."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from importer.file_bounds import Bounds
from servicevault import catalog
from servicevault.stored_files import Stored
from servicevault.wording import say

from .jobs import ImportJob

OF_DESK = "desk:"  # before a target type, where a table's name could be meant too
DOCUMENT = f"{OF_DESK}document"


class FileImport(models.Model):
    """What a file job has besides a job (F-045); the file itself lies encrypted in IMPORT_TEMP_DIR (F-086)."""

    job = models.OneToOneField(ImportJob, primary_key=True, on_delete=models.CASCADE, related_name="file")
    table_name = models.CharField(max_length=255)  # for a target type: its table
    target_type = models.CharField(max_length=64, blank=True)  # empty: the table as it is
    original_filename = models.CharField(max_length=255)  # cleaned (F-088)
    path = models.CharField(max_length=1000, blank=True)  # empty once removed
    key = models.BinaryField(default=bytes)  # sealed with FIELD_ENCRYPTION_KEYS
    file_size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    file_format = models.CharField(max_length=20)
    import_options = models.JSONField(default=dict)
    field_mappings = models.JSONField(null=True)  # null: the proposals of high confidence
    detected = models.JSONField(default=dict)
    headers = models.JSONField(default=list)
    parts = models.JSONField(null=True)  # of a document with several tables, see `file_parts`; null: the file is one
    total_rows = models.BigIntegerField(null=True)  # null while counting
    notices = models.JSONField(default=list)  # warnings of the reader
    staged_as = models.CharField(max_length=64, blank=True)  # digest of the options by which the rows were staged
    validation_results = models.JSONField(default=dict)
    validated_as = models.CharField(max_length=64, blank=True)  # digest of file, mapping and options (F-029)
    import_results = models.JSONField(default=dict)
    requires_approval = models.BooleanField(default=False)
    accept_errors = models.BooleanField(default=False)
    only_rows = models.JSONField(null=True)  # lines to import; null: all (F-089)
    within = models.JSONField(default=dict)  # what the page it was given to leaves of the person's right (F-163)
    expires_at = models.DateTimeField(null=True)  # a day after the job's end
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.original_filename

    @property
    def goes_to(self) -> str:
        """What people call the target: a table's name, or "Tickets"; of a document the names of all."""
        named = [(self.target_type, self.table_name)]
        if self.parts is not None:
            named = [(part["target_type"], part["table_name"]) for part in self.parts]
        return ", ".join(dict.fromkeys(str(catalog.get(kind).label) if kind else table for kind, table in named))

    @property
    def page_query(self) -> str:
        """What the page of data import is asked for, to send another file like this one."""
        if self.parts is not None:
            return DOCUMENT
        return f"{OF_DESK}{self.target_type}" if self.target_type else self.table_name

    @property
    def bounds(self) -> Bounds:
        return Bounds.of(self.within)

    @property
    def stored(self) -> Stored:
        return Stored(self.path, bytes(self.key), self.file_size, self.sha256)


class FileFinding(models.Model):
    """One error or warning of a file's validation, as F-027 tells it; the first page is the report itself."""

    file = models.ForeignKey(FileImport, on_delete=models.CASCADE, related_name="findings", db_index=False)
    part = models.CharField(max_length=255, blank=True)  # of a document
    severity = models.CharField(max_length=8)  # error, warning
    position = models.PositiveSmallIntegerField(default=0)  # of the part
    row = models.BigIntegerField()  # physical line; 0: the file as a whole
    record = models.BigIntegerField(null=True)
    place = models.IntegerField()  # of the column in the file: rows are told in its order
    column = models.TextField(blank=True)  # of the file
    field = models.TextField(blank=True)  # of the table
    code = models.CharField(max_length=48)
    message = models.TextField()
    value = models.TextField(null=True)

    class Meta:
        ordering = ["position", "row", "place", "id"]
        indexes = [models.Index(fields=["file", "severity", "position", "row", "place"], name="filefinding_order")]

    def __str__(self) -> str:
        return f"{self.row}: {self.code}"


class FileUpload(models.Model):
    """A file that comes in parts (F-040): each part is a stored file of its own until all are there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    filename = models.CharField(max_length=255)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True)
    offset = models.BigIntegerField(default=0)
    parts = models.JSONField(default=list)  # [{path, key, size, sha256}]; the key sealed, in base64
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.filename


class ImportTemplate(models.Model):
    """How files of one kind are read and mapped, to be used again (F-069)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    table_name = models.CharField(max_length=255)  # for a target type: its table
    target_type = models.CharField(max_length=64, blank=True)
    field_mappings = models.JSONField(default=list)  # of a document an object with a list for each part
    import_options = models.JSONField(default=dict)
    is_public = models.BooleanField(default=False)
    usage_count = models.PositiveIntegerField(default=0)
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["created_by", "name"], name="importtemplate_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_document(self) -> bool:
        """Whether its files have several parts, each with a target of its own."""
        return bool(self.import_options.get("tables"))

    @property
    def goes_to(self) -> str:
        """What people call the target of its files; of documents the targets of all parts."""
        if self.is_document:
            names = set((self.import_options.get("tables") or {}).values())
            desk = sorted(names & set(catalog.names()), key=lambda name: catalog.get(name).order)
            plain = sorted(name.removeprefix("table:") for name in names - set(desk))
            return ", ".join([*(str(catalog.get(name).label) for name in desk), *plain])
        return catalog.get(self.target_type).label if self.target_type else self.table_name


class TableRule(models.Model):
    """A validation that every import into a table passes (F-075)."""

    table_name = models.CharField(max_length=255)
    column = models.CharField(max_length=63, blank=True)
    rule = models.CharField(max_length=20)
    value = models.JSONField(null=True, blank=True)
    severity = models.CharField(
        max_length=8, choices=[("error", say("Error")), ("warning", say("Warning"))], default="error"
    )
    message = models.CharField(max_length=255, blank=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["table_name", "column", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(severity__in=["error", "warning"]), name="tablerule_severity_known")
        ]

    def __str__(self) -> str:
        return f"{self.table_name}.{self.column} {self.rule}"

    def as_option(self) -> dict[str, Any]:
        """The rule as import_options writes it."""
        names = ("column", "rule", "value", "severity", "message")
        return {name: getattr(self, name) for name in names if getattr(self, name) not in (None, "")}
