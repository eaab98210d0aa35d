"""The tabs of `/import`: profiles, jobs, rows that wait for a person, templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Sum

from importer.models import ImportJob, JobKind, QueryRun
from permissions import policy
from servicevault.wording import say


@dataclass(frozen=True)
class Tab:
    url: str  # name of the address
    words: str
    icon: str
    is_open: bool
    count: int | None = None


def tabs(user: Any, current: str) -> list[Tab]:
    """The tabs with the open one marked; one query for the rows that wait."""
    return [
        Tab("import", say("Profiles"), "database", current == "import"),
        Tab("import_jobs", say("Jobs"), "history", current == "import_jobs"),
        Tab("import_review", say("Review"), "user-check", current == "import_review", waiting_rows(user)),
        Tab("import_templates", say("Templates"), "template", current == "import_templates"),
    ]


def waiting_runs(user: Any) -> Any:
    """Queries of jobs the person may see, with rows that wait for a decision."""
    jobs = policy.restrict(ImportJob.objects.filter(kind=JobKind.IMPORT), user)
    return QueryRun.objects.filter(job__in=jobs.values("pk"), review__gt=0)


def waiting_rows(user: Any) -> int:
    return int(waiting_runs(user).aggregate(rows=Sum("review"))["rows"] or 0)
