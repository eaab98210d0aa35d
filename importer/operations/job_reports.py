"""What became of a job, to keep: options, counters, the equation, times, warnings and errors (J14)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.template.loader import render_to_string

from importer import hiding
from importer.models import ImportJob, ImportRecord, QueryRun
from importer.modes import Outcome
from importer.operations.amounts import clock
from importer.operations.progress import view_of
from servicevault.tabular import formats
from servicevault.tabular.options import WriteOptions
from servicevault.wording import say_count, told

MEDIA = {
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}
COLUMNS = ("part", "query", "name", "value", "message")
COUNTED = ("read", *(str(outcome) for outcome in Outcome))
WARNINGS = """
    SELECT r.key, w ->> 'code', w ->> 'field', count(*) FROM importer_importrecord t
    JOIN importer_queryrun r ON r.id = t.run_id CROSS JOIN LATERAL jsonb_array_elements(t.warnings) w
    WHERE r.job_id = %s AND t.warnings IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 100
"""


def job_report(job: ImportJob, *, rows: bool = True) -> dict[str, Any]:
    """The report as plain values; without `rows` no values of the source. Four queries."""
    view, runs = view_of(job), list(job.runs.all())
    seconds = (job.duration.total_seconds() if job.duration else None) or 0.0
    return {
        "job_id": str(job.pk),
        "number": job.number,
        "title": job.title,
        "kind": job.kind,
        "mode": job.mode,
        "source": job.source_name,
        "status": job.status,
        "sentence": view.sentence,
        "options": job.options,
        "started_at": _instant(job.started_at),
        "completed_at": _instant(job.completed_at),
        "seconds": round(seconds, 3),
        "duration_text": clock(view.elapsed),
        "rows_per_second": round(view.read / seconds) if seconds else 0,
        "counters": {"read": view.read, **{counter.name: counter.count for counter in view.outcomes}},
        "equation": view.equation,
        "is_balanced": view.is_balanced,
        "queries": [_query(run) for run in runs],
        "warnings": _warnings(job) if view.warnings else [],
        "errors": job_errors(job, rows=rows),
    }


def report_file(job: ImportJob, form: str, *, rows: bool = True) -> bytes:
    """The report as a document of one of MEDIA's forms."""
    report = told(job_report(job, rows=rows))
    if form == "html":
        view = view_of(job)
        return render_to_string("importer/report.html", {"report": report, "view": view, "job": job}).encode()
    if form == "json":
        return json.dumps(report, ensure_ascii=False, indent=2).encode()
    content = io.BytesIO()
    formats.writable(form).write(content, list(COLUMNS), _lines(report), WriteOptions())
    return content.getvalue()


def job_errors(job: ImportJob, *, limit: int = 50, rows: bool = True) -> list[dict[str, Any]]:
    """The job's own failure first, then what the source lacked, then with `rows` the first failed ones: query, row, field, value, code and sentence."""
    found: list[dict[str, Any]] = []
    if job.error_message:
        found.append({"code": job.error_code, "message": job.error_message})
    found += [_halved(run) for run in job.runs.all() if "rows_at_once" in run.plan]
    if not rows:
        return found
    records = hiding.shown(ImportRecord.objects.filter(run__job=job, action="failed"))
    for record in records.select_related("run").order_by("id")[:limit]:
        first = (record.problems or [{}])[0]
        found.append(
            {
                "query": record.run.key,
                "source_identifier": record.source_identifier,
                "code": record.code,
                "field": first.get("field"),
                "value": first.get("value"),
                "message": first.get("message", ""),
            }
        )
    return found


def _instant(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment is not None else None


def _query(run: QueryRun) -> dict[str, Any]:
    took = run.completed_at - run.started_at if run.completed_at and run.started_at else None
    return {
        "key": run.key,
        "target_type": run.target_type,
        "status": run.status,
        "seconds": round(took.total_seconds(), 3) if took is not None else None,
        **{name: getattr(run, name) for name in COUNTED},
        "warnings": run.warnings,
        "replanned": run.replanned,
        "error_message": run.error_message,
    }


def _warnings(job: ImportJob) -> list[dict[str, Any]]:
    """What was noticed about rows, by kind, the most frequent first."""
    with connection.cursor() as cursor:
        cursor.execute(WARNINGS, [job.pk])
        return [
            {"query": query, "code": code, "field": field, "count": count}
            for query, code, field, count in cursor.fetchall()
        ]


def _lines(report: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The report as lines of COLUMNS."""
    facts = (
        "number", "title", "source", "kind", "mode", "status", "sentence", "equation", "started_at", "completed_at",
        "seconds", "rows_per_second",
    )  # fmt: skip
    yield from (("job", "", name, report[name], "") for name in facts)
    yield from (("option", "", name, json.dumps(value), "") for name, value in report["options"].items())
    yield from (("counter", "", name, count, "") for name, count in report["counters"].items())
    for query in report["queries"]:
        counted = ("status", "seconds", *COUNTED, "warnings")
        yield from (("query", query["key"], name, query[name], "") for name in counted)
        if query["error_message"]:
            yield "query", query["key"], "error", "", query["error_message"]
    for warning in report["warnings"]:
        yield "warning", warning["query"], warning["code"], warning["count"], warning["field"] or ""
    for error in report["errors"]:
        name = error.get("source_identifier") or error["code"]
        yield "error", error.get("query", ""), name, error.get("value"), error["message"]


def _halved(run: QueryRun) -> dict[str, Any]:
    return {
        "query": run.key,
        "code": "source_memory",
        "message": say_count(
            "The source had too little memory or space; it was asked for {count} row at a time.",
            "The source had too little memory or space; it was asked for {count:,} rows at a time.",
            run.plan["rows_at_once"],
        ),
    }
