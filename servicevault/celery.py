"""The Celery application: `celery -A servicevault worker`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_shutting_down

from servicevault.jobs import shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "servicevault.settings")

app = Celery("servicevault")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def _begins(**_: Any) -> None:
    shutdown.forget()


@worker_shutting_down.connect
def _ends(**_: Any) -> None:
    """SIGTERM: without this a warm shutdown would wait for an import of hours (J21)."""
    shutdown.ask()
