"""Logs as JSON lines that name the request and the job they belong to (F-143)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_request: ContextVar[str] = ContextVar("log_request", default="")
_job: ContextVar[str] = ContextVar("log_job", default="")


@contextmanager
def about(*, request_id: str = "", job_id: str = "") -> Iterator[None]:
    """Lines written inside name this request or job."""
    request, job = _request.set(request_id or _request.get()), _job.set(job_id or _job.get())
    try:
        yield
    finally:
        _request.reset(request)
        _job.reset(job)


class JsonLines(logging.Formatter):
    """One JSON object a line; the traceback, when there is one, under `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", "") or _request.get(),
            "job_id": str(getattr(record, "job_id", "") or _job.get()),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in line.items() if value}, ensure_ascii=False)
