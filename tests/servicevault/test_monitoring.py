"""Health, metrics and logs (F-140, F-141, F-143, G36)."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.cache import cache

from permissions import audit
from servicevault import health, logs, metrics, pulse
from tests.api.conftest import program

__all__ = ["program"]
TOKEN = "a-token-for-prometheus"


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_WORKERS", "pulse:of-this-test")
    pulse.worker_lives("one@here")


@pytest.mark.django_db
@pytest.mark.req("F-140")
def test_it_is_healthy_with_a_worker_and_degraded_without(worker: None) -> None:
    found = health.measure()
    assert (found.import_service_status, found.export_service_status, found.workers) == ("healthy", "healthy", 1)
    assert found.database_ms is not None
    assert found.available_storage_gb > 0
    cache.set("pulse:of-this-test", {"one@here": 0})
    assert health.measure().import_service_status == "degraded"


@pytest.mark.django_db
@pytest.mark.req("F-140")
def test_it_is_unhealthy_when_the_storage_is_full(worker: None, monkeypatch: Any, client: Any, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr(health, "LEAST_STORAGE_GB", 10**9)
    answer = client.get("/api/v1/data/health", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["import_service_status"]) == (503, "unhealthy")


@pytest.mark.django_db
@pytest.mark.req("F-140")
def test_it_counts_what_waits(pending_job: Any, worker: None) -> None:
    found = health.measure()
    assert (found.active_import_jobs, found.queue_size) == (1, 1)
    assert found.oldest_pending_seconds is not None


@pytest.mark.django_db
@pytest.mark.req("G36")
def test_a_load_balancer_needs_no_login(client: Any, monkeypatch: Any) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    monkeypatch.setattr(health, "_database_ms", lambda: None)
    assert client.get("/health").status_code == 503


@pytest.mark.django_db
@pytest.mark.req("F-141")
def test_metrics_say_what_the_jobs_did(finished_job: Any, alice: Any) -> None:
    for size in (1000, 2000, 60 << 20):
        audit.record("file_uploaded", user=alice, details={"filename": "a.csv", "file_size": size})
    found = metrics.measure("day")
    assert (found["import_success_rate"], found["export_success_rate"]) == (100.0, None)
    assert found["average_processing_time"] == 372.0
    assert (found["rows_imported"], found["jobs_by_state"]["completed"]) == (8, 1)
    assert found["most_active_users"][0]["name"] == "Alice Ng"
    assert found["most_active_tables"] == [{"table_name": "tickets", "jobs": 1}]
    assert (found["file_sizes"]["p50"], found["file_sizes"]["p95"]) == (2000, 60 << 20)
    assert found["file_sizes"]["histogram"] == {"up_to_1_mb": 2, "up_to_10_mb": 2, "up_to_50_mb": 2, "up_to_100_mb": 3}


@pytest.mark.django_db
@pytest.mark.req("F-141")
def test_prometheus_reads_them_with_its_token(finished_job: Any, client: Any, settings: Any) -> None:
    assert client.get("/metrics").status_code == 401
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    text = client.get("/metrics", headers=headers).content.decode()
    assert 'servicevault_jobs{kind="importjob",state="completed"} 1.0' in text
    assert 'servicevault_rows_total{outcome="created"} 8.0' in text
    assert client.get("/api/v1/data/metrics", headers=headers).status_code == 200
    assert client.get("/api/v1/data/audit", headers=headers).status_code == 401


@pytest.mark.req("F-143")
def test_a_line_of_the_log_is_json_and_names_request_and_job() -> None:
    record = logging.LogRecord("servicevault.imports", logging.WARNING, "x.py", 1, "job %s failed", (7,), None)
    with logs.about(request_id="r1", job_id="j1"):
        line = json.loads(logs.JsonLines().format(record))
    assert (line["message"], line["request_id"], line["job_id"]) == ("job 7 failed", "r1", "j1")
    assert (line["logger"], line["level"]) == ("servicevault.imports", "WARNING")
    assert "job_id" not in json.loads(logs.JsonLines().format(record))
