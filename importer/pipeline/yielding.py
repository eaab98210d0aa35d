"""Yielding: a rehearsal's transaction ends at once when somebody waits for one of its locks.

It inserts rows and changes keys for as long as it lasts, and nobody shall wait for what is thrown away anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import psycopg

from importer.errors import JobFailed
from servicevault.wording import say

LOOK_SECONDS = 0.1


class GaveWay(JobFailed):
    """Somebody needed rows that the rehearsal held; nothing is left of it, and it can begin anew."""

    def __init__(self) -> None:
        super().__init__(
            say("People kept working on the rows this rehearsal looks at, and it gave way each time."),
            code="target_unavailable",
            hint=say("Rehearse again when fewer people work here, or rehearse fewer rows."),
        )


class Yielding:
    """Watches a session while it is used as a context; ends it when another one waits for it, and says so by GaveWay."""

    def __init__(self, connect: Callable[[], psycopg.Connection], pid: int) -> None:
        self._connect = connect
        self._pid = pid
        self._ended = threading.Event()
        self._gave_way = False
        self._thread = threading.Thread(target=self._watch, name="yielding", daemon=True)

    def __enter__(self) -> Yielding:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._gave_way and isinstance(error, psycopg.OperationalError):
            raise GaveWay from error

    def _watch(self) -> None:
        with self._connect() as connection:
            connection.autocommit = True
            while not self._ended.wait(LOOK_SECONDS):
                # The flag comes first: the session's user must find it set when the session is gone.
                if connection.execute(_WAITING, {"pid": self._pid}, prepare=True).fetchone():
                    self._gave_way = True
                    connection.execute("SELECT pg_terminate_backend(%s)", (self._pid,))
                    return


_WAITING = (
    "SELECT 1 FROM pg_stat_activity a WHERE a.datname = current_database() AND a.wait_event_type = 'Lock' "
    "AND a.backend_type = 'client backend' AND %(pid)s = ANY(pg_blocking_pids(a.pid)) LIMIT 1"
)
