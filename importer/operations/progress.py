"""A job as people read it: state word, icon and colour, bars, speed and the sentence at the end (U9, U32).

Plain values for templates; nothing here writes, and the only query is the one for the job's runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import QuerySet
from django.utils import timezone

from importer import derived_accounts
from importer.models import ImportJob, JobKind, QueryRun, RunStatus, sum_counters
from importer.modes import Outcome
from importer.operations.amounts import records_told, spoken
from importer.operations.looks import BUCKETS, COMPLETED_WITH_REVIEW, OUTCOMES, REMEDIES, RUN_STATES
from servicevault.jobs.models import ACTIVE, RESUMABLE, JobStatus
from servicevault.jobs.states import STATES, STOPPING, State
from servicevault.wording import say, say_count

STARTING_SECONDS = 1  # U26
LATE_SECONDS = 20  # twice what a waiting job takes to be handed to a worker again (importer.tasks.wake_jobs)


@dataclass(frozen=True)
class Counter:
    name: str
    word: str
    count: int
    icon: str
    colour: str
    start: float  # where its part of the bar begins, in percent of the bar
    share: float  # how long it is
    outcome: Outcome  # the counter of the job that it tells


@dataclass(frozen=True)
class RunView:
    """One query's row."""

    key: str
    name: str
    target_type: str
    source_table: str
    state: State
    read: int
    total: int | None
    percent: int | None
    outcomes: tuple[Counter, ...]
    warnings: int
    error_message: str
    is_balanced: bool
    is_reversing: bool = False

    @property
    def progress_text(self) -> str:
        return records_told(self.read, self.total)

    @property
    def equation(self) -> str:
        return _equation(self.read, self.outcomes, is_reversing=self.is_reversing)

    @property
    def is_uncounted(self) -> bool:
        """Whether it runs without anybody knowing how far it has to go."""
        return self.percent is None and self.state is RUN_STATES[RunStatus.RUNNING]


@dataclass(frozen=True)
class JobView:
    """One job as pages show it."""

    job: ImportJob
    state: State
    runs: tuple[RunView, ...]
    read: int
    total: int | None  # None while a query is still uncounted
    rows_read: int  # how far it is: of a file's the rows, without the accounts made beside them
    rows_total: int | None
    importable: int  # of these what is created or updated
    outcomes: tuple[Counter, ...]
    warnings: int
    replanned: int  # rows that were held against a plan and are not as it says
    average_confidence: float | None  # in percent, of the rows that met a target; None when none did
    is_balanced: bool

    @property
    def equation(self) -> str:
        beside = self.read - self.rows_read
        return _equation(self.rows_read, self.outcomes, is_reversing=self.job.is_reversing, beside=beside)

    @property
    def is_active(self) -> bool:
        return self.job.status in ACTIVE

    @property
    def is_resumable(self) -> bool:
        return self.job.status in RESUMABLE and self.job.kind != JobKind.REHEARSAL and not self.job.awaits_start

    @property
    def is_rehearsal(self) -> bool:
        return self.job.kind == JobKind.REHEARSAL

    @property
    def is_kept_waiting(self) -> bool:
        """Whether the job waits longer than a worker needs to take it."""
        waited = (timezone.now() - self.job.created_at).total_seconds()
        return (
            self.job.status == JobStatus.PENDING
            and not self.job.awaits_start
            and waited > LATE_SECONDS
            and not self.job.started_at
        )

    @property
    def is_complete(self) -> bool:
        return self.job.status == JobStatus.COMPLETED

    @property
    def percent(self) -> int | None:
        if self.is_complete:
            return 100
        if self.rows_total is None:
            return None
        # 100 is said when the job says so: late references are still to be linked.
        return min(99, self.rows_read * 100 // self.rows_total) if self.rows_total else 0

    @property
    def progress_text(self) -> str:
        """How far it is, in records; an unknown total is said while the job goes on (J10)."""
        if self.rows_total is None and self.job.status == JobStatus.RUNNING:
            return say_count(
                "{count} record; the rest is not counted yet",
                "{count:,} records; the rest is not counted yet",
                self.rows_read,
            )
        return records_told(self.rows_read, self.rows_total)

    @property
    def elapsed(self) -> timedelta | None:
        if self.job.started_at is None:
            return None
        return (self.job.completed_at or timezone.now()) - self.job.started_at

    @property
    def rows_per_second(self) -> int | None:
        seconds = self.elapsed.total_seconds() if self.elapsed else 0
        return round(self.rows_read / seconds) if seconds >= 0.001 else None

    @property
    def remaining(self) -> timedelta | None:
        """How long it may still take at the speed it has; None while that cannot be said."""
        if not self.is_active or not self.rows_per_second or self.rows_total is None:
            return None
        return timedelta(seconds=max(0, self.rows_total - self.rows_read) / self.rows_per_second)

    @property
    def is_starting(self) -> bool:
        """Whether it was made a moment ago and no worker took it yet."""
        waited = (timezone.now() - self.job.created_at).total_seconds()
        return self.job.status == JobStatus.PENDING and not self.job.started_at and waited <= STARTING_SECONDS

    @property
    def remedy(self) -> str:
        """What to do about a job that failed; what its message says already is not said again."""
        return REMEDIES.get(self.job.error_code, REMEDIES["internal_error"]) if self.job.error_code else ""

    @property
    def failed(self) -> int:
        return self._count(Outcome.FAILED)

    @property
    def review(self) -> int:
        """Rows that wait for a person; none of a rollback does."""
        return 0 if self.job.is_reversing else self._count(Outcome.REVIEW)

    def _count(self, outcome: Outcome) -> int:
        return next(counter.count for counter in self.outcomes if counter.outcome == outcome)

    @property
    def sentence(self) -> str:
        """How the job ended, in one sentence; empty while it goes on (U32)."""
        if self.is_active:
            return ""
        parts = ", ".join(_spoken_outcome(counter) for counter in self.outcomes if counter.count)
        ended = _ended(self)
        if self.job.is_reversing:
            parts = parts or say("there was nothing to do")
            if self.job.is_preview:
                return say("{ended}: {parts}; nothing was written.", ended=ended, parts=parts)
            return say("{ended}: {parts}.", ended=ended, parts=parts)
        if self.is_complete:
            parts = parts or say("the source had no rows")
            if self.is_rehearsal:
                return say("{ended}: {parts}; nothing was written.", ended=ended, parts=parts)
            return say("{ended}: {parts}.", ended=ended, parts=parts)
        parts = parts or say("no rows were read")
        if self.is_rehearsal:
            return say("{ended}: {parts}; nothing was written.", ended=ended, parts=parts)
        return say("{ended}: {parts}; what is written stays.", ended=ended, parts=parts)

    @property
    def announcement(self) -> str:
        """What a screen reader is told; changes with the state and at every tenth percent only (U4)."""
        if not self.is_active:
            return f"{self.state.word}. {self.sentence}"
        state = str(self.state.word).lower()
        if self.percent is None:
            return say("Job {job}: {state}", job=self.job.number, state=state)
        tenth = self.percent // 10 * 10
        return say("Job {job}: {state}, {tenth} percent", job=self.job.number, state=state, tenth=tenth)


def view_of(job: ImportJob) -> JobView:
    """The job for a page; one query unless its runs are prefetched."""
    runs = list(job.runs.all())
    counters = sum_counters(runs)
    total = _total(runs)
    of_source = [run for run in runs if run.key not in accounts_beside(job, runs)]
    of_rows = sum_counters(of_source)
    return JobView(
        job=job,
        state=state_of(job, counters),
        runs=tuple(_run_view(run, is_reversing=job.is_reversing) for run in runs),
        read=counters["read"],
        total=total,
        rows_read=of_rows["read"],
        rows_total=_total(of_source),
        importable=of_rows[Outcome.CREATED] + of_rows[Outcome.UPDATED],
        outcomes=_outcomes(counters, total or counters["read"], is_reversing=job.is_reversing),
        warnings=counters["warnings"],
        replanned=counters["replanned"],
        average_confidence=_average_confidence(runs),
        is_balanced=_is_balanced(counters),
    )


def accounts_beside(job: ImportJob, runs: Iterable[QueryRun]) -> set[str]:
    """Keys of a file's runs that count accounts made beside its rows; a database's are queries of their own."""
    is_of_file = job.profile_id is None and not job.is_reversing
    return derived_accounts.beside([run.key for run in runs]) if is_of_file else set()


def listed(jobs: QuerySet[ImportJob] | Iterable[ImportJob]) -> list[JobView]:
    """Jobs for a list: two queries, however many there are."""
    if isinstance(jobs, QuerySet):
        jobs = jobs.select_related("profile", "file", "rehearses__file", "created_by", "origin__file").prefetch_related(
            "runs"
        )
    return [view_of(job) for job in jobs]


def state_of(job: ImportJob, counters: dict[str, int]) -> State:
    if job.status == JobStatus.COMPLETED and counters["failed"]:
        word = say_count("Completed with {count} failure", "Completed with {count:,} failures", counters["failed"])
        return State(word, "alert-triangle", "amber")
    if job.status == JobStatus.COMPLETED and counters["review"] and not job.is_reversing:
        return COMPLETED_WITH_REVIEW
    if job.status == JobStatus.RUNNING and job.cancel_requested:
        return STOPPING
    return STATES[JobStatus(job.status)]


def _run_view(run: QueryRun, *, is_reversing: bool) -> RunView:
    counters = sum_counters([run])
    return RunView(
        key=run.key,
        name=run.name,
        target_type=run.target_type,
        source_table=run.source_table,
        state=RUN_STATES[RunStatus(run.status)],
        read=run.read,
        total=run.total,
        percent=run.percent,
        outcomes=_outcomes(counters, run.total or run.read, is_reversing=is_reversing),
        warnings=run.warnings,
        error_message=run.error_message,
        is_balanced=_is_balanced(counters),
        is_reversing=is_reversing,
    )


def _outcomes(counters: dict[str, int], length: int, *, is_reversing: bool = False) -> tuple[Counter, ...]:
    """The six outcomes, or the four buckets, with their places in a bar that stands for `length` rows."""
    length = max(length, counters["read"], 1)  # an estimate may be too small
    looks = [(str(name), name, look) for name, look in OUTCOMES.items()]
    if is_reversing:
        looks = [(str(bucket), bucket.outcome, look) for bucket, look in BUCKETS.items()]
    start, parts = 0.0, []
    for name, outcome, look in looks:
        share = counters[outcome] * 100 / length
        places = round(start, 2), round(share, 2)
        parts.append(Counter(name, look.word, counters[outcome], look.icon, look.colour, *places, outcome=outcome))
        start += share
    return tuple(parts)


def _ended(view: JobView) -> str:
    """The beginning of the sentence about an ended job."""
    took = spoken(view.elapsed) if view.elapsed else ""
    if view.is_complete and view.job.is_preview:
        return say("Looked at in {took}", took=took) if took else say("Looked at")
    if view.is_complete and view.is_rehearsal:
        return say("Rehearsed in {took}", took=took) if took else say("Rehearsed")
    if view.is_complete:
        return say("Finished in {took}", took=took) if took else say("Finished")
    if view.job.status == JobStatus.CANCELLED:
        return say("Cancelled after {took}", took=took) if took else say("Cancelled")
    return say("Stopped by an error after {took}", took=took) if took else say("Stopped by an error")


def _average_confidence(runs: list[QueryRun]) -> float | None:
    matched = sum(run.matched for run in runs)
    return round(sum(run.confidence for run in runs) / matched / 100, 2) if matched else None


def _total(runs: list[QueryRun]) -> int | None:
    if not runs or any(run.total is None and run.status in (RunStatus.PENDING, RunStatus.RUNNING) for run in runs):
        return None
    return sum(run.read if run.total is None else run.total for run in runs)


def _equation(read: int, outcomes: Iterable[Counter], *, is_reversing: bool, beside: int = 0) -> str:
    """ "10 read = 8 created + 2 failed": every row has one outcome (J18), and so have accounts made beside them."""
    parts = " + ".join(f"{intcomma(counter.count)} {counter.word}" for counter in outcomes if counter.count)
    if is_reversing:
        return say("{rows} records = {parts}", rows=intcomma(read), parts=parts or "0")
    if beside:
        return say_count(
            "{rows} read + {count} account for them = {parts}",
            "{rows} read + {count:,} accounts for them = {parts}",
            beside,
            rows=intcomma(read),
            parts=parts,
        )
    return say("{rows} read = {parts}", rows=intcomma(read), parts=parts or "0")


def _is_balanced(counters: dict[str, int]) -> bool:
    return counters["read"] == sum(counters[name] for name in Outcome.values)


_SENTENCES = {
    str(Outcome.REVIEW): (say("waits for you"), say("wait for you")),
}


def _spoken_outcome(counter: Counter) -> str:
    one, many = _SENTENCES.get(counter.name, (counter.word, counter.word))
    return f"{intcomma(counter.count)} {one if counter.count == 1 else many}"
