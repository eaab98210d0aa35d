"""Chunks: ranges of keys that any worker may take, each under a fence.

A worker holds one fence number for its life: a value of a sequence, kept as a session advisory lock. A chunk
is free when nobody holds it, when its lease ran out, or when its holder's lock is gone, so a killed worker's
chunk is taken over at once and a paused one's after the lease. All times are the database's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import psycopg

LOCK_CLASS = 0x5356  # "SV": the first key of our advisory locks
LEASE_SECONDS = 60


class Fenced(Exception):
    """Another worker owns the chunk, or the job is no longer running: stop, nothing was written."""


@dataclass(frozen=True)
class Claim:
    """A chunk in this worker's hands."""

    id: int
    run_id: int
    no: int
    lo: str | None
    hi: str | None
    position: str | None  # last key that is committed
    fence: int

    @property
    def start(self) -> str | None:
        """Rows after this key are still to be read; None is the beginning."""
        return self.position if self.position is not None else self.lo

    def at(self, position: str) -> Claim:
        return replace(self, position=position)


def take_fence(connection: psycopg.Connection) -> int:
    """A new fence number, held by this connection until it ends."""
    row = connection.execute("SELECT nextval('job_fence')").fetchone()
    assert row is not None
    fence: int = row[0]
    connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, fence % 2**31))
    connection.commit()
    return fence


def claim(connection: psycopg.Connection, run_id: int, fence: int) -> Claim | None:
    """The next free chunk of the run, leased to this worker; None when every chunk is done or in other hands.

    Also None when the query failed in other hands.
    """
    row = connection.execute(
        """
        UPDATE importer_chunk c SET fence = %(fence)s, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
        WHERE c.id = (
            SELECT f.id FROM importer_chunk f
            WHERE f.run_id = %(run)s AND NOT f.done
              AND EXISTS (SELECT FROM importer_queryrun r WHERE r.id = f.run_id AND r.status = 'running')
              AND (f.fence = 0 OR f.fence = %(fence)s OR f.lease_until < clock_timestamp() OR NOT EXISTS (
                  SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %(class)s::bigint::oid
                  AND l.objid = (f.fence %% 2147483648)::oid AND l.objsubid = 2 AND l.granted
                  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))
            ORDER BY f.no LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING c.id, c.run_id, c.no, c.lo, c.hi, c.position
        """,
        {"run": run_id, "fence": fence, "lease": LEASE_SECONDS, "class": LOCK_CLASS},
    ).fetchone()
    connection.commit()
    if row is None:
        return None
    chunk_id, owner, no, lo, hi, position = row
    return Claim(id=chunk_id, run_id=owner, no=no, lo=lo, hi=hi, position=position, fence=fence)


def advance(connection: psycopg.Connection, chunk: Claim, position: str) -> None:
    """Move the checkpoint: the first statement of every slice's transaction.

    Takes the chunk's row lock until the commit. Raises Fenced unless this worker still owns the chunk, the
    checkpoint is where it left it, and the job runs.
    """
    cursor = connection.execute(
        """
        UPDATE importer_chunk c SET position = %(new)s, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
        WHERE c.id = %(id)s AND c.fence = %(fence)s AND c.position IS NOT DISTINCT FROM %(old)s AND NOT c.done
          AND EXISTS (SELECT FROM importer_importjob j JOIN importer_queryrun r ON r.job_id = j.id
                      WHERE r.id = c.run_id AND j.status = 'running' AND NOT j.cancel_requested)
        """,
        {"id": chunk.id, "fence": chunk.fence, "old": chunk.position, "new": position, "lease": LEASE_SECONDS},
        prepare=True,
    )
    if cursor.rowcount != 1:
        raise Fenced


def note_time(connection: psycopg.Connection, chunk: Claim, rows: int, seconds: float) -> None:
    """Add a slice to what the chunk took; records tell their share of it."""
    connection.execute(
        "UPDATE importer_chunk SET rows = rows + %s, milliseconds = milliseconds + %s WHERE id = %s",
        (rows, seconds * 1000, chunk.id),
        prepare=True,
    )


def finish(connection: psycopg.Connection, chunk: Claim) -> None:
    """Mark the chunk done. Raises Fenced when somebody else owns it by now."""
    cursor = connection.execute(
        "UPDATE importer_chunk SET done = true, lease_until = NULL "
        "WHERE id = %s AND fence = %s AND position IS NOT DISTINCT FROM %s",
        (chunk.id, chunk.fence, chunk.position),
    )
    if cursor.rowcount != 1:
        raise Fenced
    connection.commit()


def open_chunks(connection: psycopg.Connection, run_id: int) -> int:
    """How many chunks of the run are not done; none of a query that failed."""
    row = connection.execute(
        "SELECT count(*) FROM importer_chunk c JOIN importer_queryrun r ON r.id = c.run_id "
        "WHERE c.run_id = %s AND NOT c.done AND r.status <> 'failed'",
        (run_id,),
    ).fetchone()
    connection.commit()
    assert row is not None
    return int(row[0])


def keep(connection: psycopg.Connection, fence: int) -> None:
    """Renew the leases of this worker's chunks; skips one whose slice is being committed, it renews itself."""
    connection.execute(
        "UPDATE importer_chunk SET lease_until = clock_timestamp() + make_interval(secs => %s) WHERE id IN "
        "(SELECT id FROM importer_chunk WHERE fence = %s AND NOT done FOR UPDATE SKIP LOCKED)",
        (LEASE_SECONDS, fence),
    )
    connection.commit()
