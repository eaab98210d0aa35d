"""What the jobs of a period did, and the same as Prometheus reads it (F-141)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, F, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from importer.models import REVERSING, QueryRun
from importer.modes import Outcome
from permissions.models import AuditEntry
from servicevault import health
from servicevault.jobs.models import FINISHED, JobStatus

PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
MEGABYTE = 1 << 20
SIZES_MB = (1, 10, 50, 100)  # upper bounds of the histogram
MOST = 10


def measure(period: str) -> dict[str, Any]:
    """Rates in percent, times in seconds, sizes in bytes; null where nothing happened."""
    since = timezone.now() - PERIODS[period]
    runs = QueryRun.objects.filter(job__created_at__gte=since).exclude(job__kind__in=REVERSING)
    written = runs.aggregate(created=Sum("created"), updated=Sum("updated"))
    exported = AuditEntry.objects.filter(operation="export_completed", timestamp__gte=since)
    return {
        "period": period,
        "import_success_rate": _success_rate("importer", since),
        "export_success_rate": _success_rate("exporter", since),
        "average_processing_time": _average_seconds(since),
        "file_sizes": _file_sizes(since),
        "errors_by_type": _counted("error_code", since, error_code__gt=""),
        "most_active_users": _users(since),
        "most_active_tables": [
            {"table_name": row["target_type"], "jobs": row["jobs"]}
            for row in runs.values("target_type").annotate(jobs=Count("job", distinct=True)).order_by("-jobs")[:MOST]
        ],
        "jobs_by_state": dict.fromkeys(JobStatus.values, 0) | _counted("status", since),
        "rows_imported": (written["created"] or 0) + (written["updated"] or 0),
        "rows_exported": sum(
            int(details.get("estimated_rows") or 0) for details in exported.values_list("details", flat=True)
        ),
    }


def _counted(field: str, since: datetime, app_label: str = "", **condition: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for model in health.job_models(app_label):
        rows = model._default_manager.filter(created_at__gte=since, **condition).order_by()
        for row in rows.values(field).annotate(count=Count("pk")):
            found[row[field]] = found.get(row[field], 0) + row["count"]
    return found


def _success_rate(app_label: str, since: datetime) -> float | None:
    states = _counted("status", since, app_label)
    ended = states.get(JobStatus.COMPLETED, 0) + states.get(JobStatus.FAILED, 0)
    return round(100 * states.get(JobStatus.COMPLETED, 0) / ended, 1) if ended else None


def _average_seconds(since: datetime) -> float | None:
    took = [
        rows.aggregate(took=Avg(F("completed_at") - F("started_at")), count=Count("pk"))
        for model in health.job_models()
        for rows in [
            model._default_manager.filter(created_at__gte=since, started_at__isnull=False, status__in=FINISHED)
        ]
    ]
    count = sum(row["count"] for row in took if row["took"] is not None)
    total = sum(row["took"].total_seconds() * row["count"] for row in took if row["took"] is not None)
    return round(total / count, 3) if count else None


def _file_sizes(since: datetime) -> dict[str, Any]:
    """Of uploads, as the audit log has them."""
    uploads = AuditEntry.objects.filter(operation="file_uploaded", timestamp__gte=since, details__has_key="file_size")
    sizes = sorted(int(size) for size in uploads.values_list("details__file_size", flat=True) if size is not None)
    histogram = {f"up_to_{bound}_mb": sum(size <= bound * MEGABYTE for size in sizes) for bound in SIZES_MB}
    return {"count": len(sizes), "p50": _at(sizes, 0.5), "p95": _at(sizes, 0.95), "histogram": histogram}


def _at(sizes: list[int], part: float) -> int | None:
    return sizes[min(len(sizes) - 1, int(part * len(sizes)))] if sizes else None


def _users(since: datetime) -> list[dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for model in health.job_models():
        rows = model._default_manager.filter(created_at__gte=since, created_by__isnull=False).order_by()
        for row in rows.values("created_by", "created_by__name").annotate(count=Count("pk")):
            person = found.setdefault(
                row["created_by"], {"user_id": row["created_by"], "name": row["created_by__name"], "jobs": 0}
            )
            person["jobs"] += row["count"]
    return sorted(found.values(), key=lambda person: -person["jobs"])[:MOST]


# -- Prometheus --------------------------------------------------------------------------------------------------


class _Jobs(Collector):
    """Reads the database when it is scraped: several processes serve, and each says the same."""

    def collect(self) -> Iterator[Any]:
        states = GaugeMetricFamily("servicevault_jobs", "Jobs by kind and state.", labels=["kind", "state"])
        durations = SummaryMetricFamily("servicevault_job_seconds", "How long jobs took.", labels=["kind"])
        leases = GaugeMetricFamily(
            "servicevault_leases_expired", "Running jobs whose workers are silent.", labels=["kind"]
        )
        for model in health.job_models():
            kind = model._meta.model_name or ""
            counts = model._default_manager.order_by().values("status").annotate(count=Count("pk"))
            found = {row["status"]: row["count"] for row in counts}
            for state in JobStatus.values:
                states.add_metric([kind, state], found.get(state, 0))
            took = model._default_manager.filter(status__in=FINISHED, started_at__isnull=False).aggregate(
                total=Sum(F("completed_at") - F("started_at")), count=Count("pk")
            )
            seconds = took["total"].total_seconds() if took["total"] else 0.0
            durations.add_metric([kind], count_value=took["count"], sum_value=seconds)
            silent = model._default_manager.filter(status=JobStatus.RUNNING, lease_until__lt=timezone.now())
            leases.add_metric([kind], silent.count())
        yield from (states, durations, leases)
        yield self._rows()
        yield CounterMetricFamily(
            "servicevault_rate_limited",
            "Windows in which somebody asked too often.",
            value=AuditEntry.objects.filter(operation="rate_limited").count(),
        )
        now = health.measure()
        yield GaugeMetricFamily("servicevault_queue_size", "Jobs that wait for a worker.", value=now.queue_size)
        yield GaugeMetricFamily("servicevault_workers", "Workers heard of within a minute.", value=now.workers)
        yield GaugeMetricFamily("servicevault_storage_free_gb", "Free space for files.", value=now.available_storage_gb)

    def _rows(self) -> CounterMetricFamily:
        rows = CounterMetricFamily("servicevault_rows", "Source rows by outcome.", labels=["outcome"])
        imported = QueryRun.objects.exclude(job__kind__in=REVERSING)
        sums = imported.aggregate(**{f"n_{name}": Sum(name) for name in Outcome.values})
        for name in Outcome.values:
            rows.add_metric([name], sums[f"n_{name}"] or 0)
        return rows


def exposition() -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Jobs())
    return generate_latest(registry)
