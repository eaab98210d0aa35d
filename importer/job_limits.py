"""Limits of a job, as its options and the installation's settings say them: batches, time, failures."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from importer.errors import JobFailed
from importer.models import ImportJob
from permissions import preferences
from servicevault.wording import say, say_count

FROM_ROWS = 100  # read before a share of failures means something


def batch_rows(job: ImportJob) -> int:
    """Rows of one transaction."""
    wanted = job.options.get("batch_size", "auto")
    if wanted not in (None, "auto"):
        return int(wanted)
    # Of files the environment can say its own number; else what the installation says counts for them too.
    if job.source_kind == "file" and preferences.is_locked("IMPORT_FILE_BATCH_SIZE"):
        return int(settings.IMPORT_FILE_BATCH_SIZE)
    return int(preferences.value("IMPORT_BATCH_SIZE"))


def read_ahead(job: ImportJob) -> int:
    """Rows that are fetched at a time."""
    wanted = job.options.get("read_ahead", "auto")
    return int(settings.IMPORT_READ_AHEAD if wanted in (None, "auto") else wanted)


def seconds(job: ImportJob) -> int:
    """How long the job may run."""
    return int(job.options.get("timeout") or preferences.value("IMPORT_JOB_TIMEOUT"))


def overdue(limit_seconds: int) -> JobFailed:
    """The failure of a job that ran longer (J20)."""
    return JobFailed(
        say_count(
            "The job ran longer than its {count} second.", "The job ran longer than its {count} seconds.", limit_seconds
        ),
        code="timeout",
        hint=say("Resume it with a longer timeout."),
    )


def check_failures(job: ImportJob, counters: Mapping[str, int]) -> None:
    """Raise JobFailed for a job of which more rows failed than it accepts (X27)."""
    policy = job.options.get("error_policy") or {}
    failed, read = counters["failed"], counters["read"]
    percent = policy.get("max_error_percent")
    if (
        (policy.get("on_error") == "stop" and failed)
        or (policy.get("max_errors") is not None and failed > policy["max_errors"])
        or (percent is not None and read >= FROM_ROWS and failed * 100 > percent * read)
    ):
        raise JobFailed(
            say_count(
                "{failed} of {count} row failed, more than the job accepts.",
                "{failed} of {count} rows failed, more than the job accepts.",
                read,
                failed=failed,
            ),
            code="error_threshold",
        )
