"""The Celery application: `celery -A servicevault worker`."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from celery import Celery
from celery.signals import heartbeat_sent, worker_init, worker_shutting_down
from redis.exceptions import RedisError

from servicevault.jobs import shutdown

TELL_SECONDS = 10
_told_at = -float(TELL_SECONDS)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "servicevault.settings")

app = Celery("servicevault")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def _begins(**_: Any) -> None:
    shutdown.forget()


@heartbeat_sent.connect
def _lives(sender: Any, **_: Any) -> None:
    """Every two seconds; the cache needs to hear it less often."""
    global _told_at  # noqa: PLW0603 - one worker, one clock
    if time.monotonic() - _told_at > TELL_SECONDS:
        from servicevault import pulse  # after the settings are there

        with contextlib.suppress(RedisError):
            pulse.worker_lives(sender.eventer.hostname)
        _told_at = time.monotonic()


@worker_shutting_down.connect
def _ends(**_: Any) -> None:
    """SIGTERM: without this a warm shutdown would wait for an import of hours (J21)."""
    shutdown.ask()
