"""Executions of a profile: the job, its queries, and the chunks any worker may take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from importer.modes import Mode, Outcome
from servicevault.jobs.models import ACTIVE, Job
from servicevault.wording import say

from .profiles import ImportProfile, MappingVersion, SourceEntity

if TYPE_CHECKING:
    from .files import FileImport


class JobKind(models.TextChoices):
    IMPORT = "import", say("Import")
    REHEARSAL = "rehearsal", say("Rehearsal")
    FILE = "file", say("File")
    ROLLBACK = "rollback", say("Rollback")
    UNDO = "undo", say("Undo of a rollback")


REVERSING = (JobKind.ROLLBACK, JobKind.UNDO)
PLAN_ID, STRICT = "plan_id", "strict"  # options: the rehearsal a job is held against; whether what differs waits
REHEARSED_AS = "rehearsed_as"  # option of a file's rehearsal: digest of what it holds for


_TITLES = {
    JobKind.IMPORT: say("Import {number}"),
    JobKind.REHEARSAL: say("Rehearsal {number}"),
    JobKind.FILE: say("File {number}"),
    JobKind.ROLLBACK: say("Rollback {number}"),
    JobKind.UNDO: say("Undo {number}"),
}


class ImportJob(Job):
    """One import or rehearsal of a profile, one import of a file, or the rollback of such a job and its undo (J17)."""

    progress_event: ClassVar[str] = "import.progress.updated"
    status_event: ClassVar[str] = "import.job.status.changed"

    kind = models.CharField(max_length=12, choices=JobKind.choices, default=JobKind.IMPORT)
    # A job of a file has none; see FileImport (DEC-15).
    profile = models.ForeignKey(ImportProfile, null=True, on_delete=models.PROTECT, related_name="jobs")
    mode = models.CharField(max_length=8, choices=Mode.choices)
    options = models.JSONField(default=dict, blank=True)
    trigger = models.CharField(max_length=12, default="manual")
    retry_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries")
    # Of a rollback and of its undo: the import whose records they are about; of an undo also the rollback.
    origin = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="reversing")
    undoes = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="undos")
    # A file's job, when this one rehearses it: the file, its mapping and its staged rows are that job's.
    rehearses = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="rehearsals")
    snapshot_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    takeovers = models.PositiveSmallIntegerField(default=0, db_default=0)
    awaits_start = models.BooleanField(default=False, db_default=False)  # uploaded: pending until somebody starts it
    hidden_at = models.DateTimeField(null=True, blank=True, editable=False)  # from lists; see J6
    # Of a person, whose rights count; without one it is the installation's own. Stays when the person is deleted.
    by_person = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta(Job.Meta):
        abstract = False
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(  # a rollback waits for its turn instead
                fields=["profile"],
                condition=Q(status__in=[str(status) for status in ACTIVE]) & ~Q(kind__in=["rollback", "undo"]),
                name="one_job_a_profile",
            ),
        ]
        indexes = [models.Index(fields=["-created_at"], name="importjob_newest")]

    def __str__(self) -> str:
        return str(say("Job {number}", number=self.number))

    @property
    def title(self) -> str:
        """Kind and number, as its page is headed."""
        return _TITLES[JobKind(self.kind)].format(number=f"{self.number:,}")

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Remember whether a person made the job."""
        if self._state.adding:
            self.by_person = self.created_by_id is not None
        super().save(*args, **kwargs)

    def progress_channels(self) -> list[str]:
        of_profile = [self.profile.channel] if self.profile is not None else []
        return [f"import.job.{self.pk}", *of_profile, "import.global"]

    @property
    def lost_its_person(self) -> bool:
        """Whether whoever made it was deleted: nobody's rights are left to work with."""
        return self.by_person and self.created_by_id is None

    @classmethod
    def unfinished(cls) -> models.QuerySet[Self]:
        """Without files that wait for their start: nobody asked for them yet."""
        return super().unfinished().filter(awaits_start=False)

    @property
    def source_kind(self) -> str:
        return "file" if self.profile_id is None else "database"

    @property
    def source_name(self) -> str:
        """The profile's name, or the file's."""
        return self.profile.name if self.profile is not None else self.source_file.original_filename

    @property
    def source_file(self) -> FileImport:
        """The file that the job imports, rehearses or takes back; to ask it of a database's is a mistake of ours."""
        found: FileImport = (self.rehearses or self.imported).file
        return found

    @property
    def imported(self) -> ImportJob:
        """The job that brought the rows: of a rollback and its undo the import they are about, else itself."""
        return self.origin if self.origin is not None else self

    @property
    def is_reversing(self) -> bool:
        """Whether it takes back what an import did, or brings it back."""
        return self.kind in REVERSING

    @property
    def is_preview(self) -> bool:
        """Whether it is a rollback that only says what it would do."""
        return self.is_reversing and bool(self.options.get("dry_run"))

    @property
    def source_profile(self) -> ImportProfile:
        """The profile of a database's job; to ask it of a file's is a mistake of ours."""
        assert self.profile is not None
        return self.profile

    def counters(self) -> dict[str, int]:
        """Rows read and each outcome, summed over the queries; one query unless `runs` is prefetched."""
        return sum_counters(self.runs.all())

    @property
    def has_failures(self) -> bool:
        """Whether rows failed; rows that wait for a person have not (J16)."""
        return self.counters()["failed"] > 0


class RunStatus(models.TextChoices):
    PENDING = "pending", say("Pending")
    RUNNING = "running", say("Running")
    DONE = "done", say("Done")
    FAILED = "failed", say("Failed")
    OFF = "off", say("Off")


class QueryRun(models.Model):
    """One query within a job: its counters move in the same transaction as the rows they count."""

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="runs")
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    target_type = models.CharField(max_length=255)
    source_table = models.CharField(max_length=255, blank=True)
    entity = models.ForeignKey(SourceEntity, null=True, on_delete=models.PROTECT, related_name="runs")
    mapping_version = models.ForeignKey(MappingVersion, null=True, on_delete=models.PROTECT)
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=8, choices=RunStatus.choices, default=RunStatus.PENDING)
    plan = models.JSONField(default=dict)  # how it is read (how, sql_hash), matched (matching), and its columns' types
    total = models.BigIntegerField(null=True)  # rows expected; None while unknown
    read = models.BigIntegerField(default=0)
    created = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    skipped = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    review = models.BigIntegerField(default=0)
    warnings = models.BigIntegerField(default=0)
    late_linked = models.BigIntegerField(default=0)
    matched = models.BigIntegerField(default=0, db_default=0)  # rows that met a target
    replanned = models.BigIntegerField(default=0, db_default=0)  # rows whose fate is not that of the plan (X20)
    confidence = models.BigIntegerField(default=0, db_default=0)  # theirs added up, in hundredths of a percent
    error_message = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "key"], name="queryrun_key_unique"),
            models.CheckConstraint(
                name="every_row_has_one_outcome",
                condition=Q(
                    read=models.F("created")
                    + models.F("updated")
                    + models.F("unchanged")
                    + models.F("skipped")
                    + models.F("failed")
                    + models.F("review")
                ),
            ),
        ]

    def __str__(self) -> str:
        return str(say("{name} of {job_id}", name=self.name, job_id=self.job_id))

    @property
    def percent(self) -> int | None:
        if not self.total:
            return 100 if self.status == RunStatus.DONE else None
        return 100 if self.status == RunStatus.DONE else min(99, self.read * 100 // self.total)


def sum_counters(runs: Iterable[QueryRun]) -> dict[str, int]:
    """`read`, the six outcomes, `warnings`, `late_linked` and `replanned`, added up."""
    names = ("read", *Outcome.values, "warnings", "late_linked", "replanned")
    rows = list(runs)
    return {name: sum(getattr(run, name) for run in rows) for name in names}


class Chunk(models.Model):
    """A range of keys one worker takes under a fence; `position` is the checkpoint within it."""

    run = models.ForeignKey(QueryRun, on_delete=models.CASCADE, related_name="chunks")
    no = models.PositiveIntegerField()
    lo = models.TextField(null=True)  # exclusive; None is the beginning
    hi = models.TextField(null=True)  # inclusive; None is the end
    position = models.TextField(null=True)  # last key whose row is committed
    done = models.BooleanField(default=False)
    fence = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    rows = models.PositiveIntegerField(default=0, db_default=0)  # read so far
    milliseconds = models.FloatField(default=0, db_default=0)  # that writing them took, of all its slices

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "no"], name="chunk_no_unique")]
        indexes = [models.Index(fields=["run", "no"], condition=Q(done=False), name="chunk_open")]

    def __str__(self) -> str:
        return f"chunk {self.no}"
