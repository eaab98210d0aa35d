"""Slices: one slice is one transaction, whatever is written: fence, write, count, commit.

A slice that fails as a set is halved down to the rows that fail; they become failed records, the rest goes in.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import psycopg
from psycopg import errors, sql

from importer.errors import JobFailed
from importer.modes import Outcome
from importer.pipeline import chunks
from importer.pipeline.binding import Bind
from importer.pipeline.faults import fail_point
from servicevault.wording import say

Counts = Counter[str]
Key = tuple[str, int | None, int]  # of a record: its row's name, line and ordinal
Rows = TypeVar("Rows")

RETRIES = 5
_TRANSIENT = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_FULL = (errors.DiskFull, errors.ConfigurationLimitExceeded)  # the second: of temporary files
_MEMORY = (errors.OutOfMemory, errors.InsufficientResources)
_SIZE = (errors.ProgramLimitExceeded, errors.StatementTooComplex)


@dataclass(frozen=True)
class Statement:
    """Generated SQL with its constant parameters."""

    text: sql.Composed
    params: dict[str, Any]

    @classmethod
    def of(cls, build: Callable[[Bind], sql.Composed]) -> Statement:
        bind = Bind()
        return cls(build(bind), bind.params)

    def run(self, connection: psycopg.Connection, **more: Any) -> psycopg.Cursor[Any]:
        return connection.execute(self.text, self.params | more, prepare=True)


class Piece(Protocol):
    """Rows that are committed together, with the key after which the next piece starts."""

    @property
    def rows(self) -> Any: ...
    @property
    def last_key(self) -> str: ...


class Beside(Protocol):
    """The plan of a rehearsal, which the rows are held against."""

    def write(self, rows: Any, *, batch: int) -> Counts: ...


class SliceLoader(ABC, Generic[Rows]):
    """Writes the slices of one run through one connection of its own."""

    connection: psycopg.Connection
    run_id: int
    job_id: str
    shrunk = 1  # doubled each time the database had too little memory for a slice: later ones are smaller
    role: str | None = None  # of the database, that slices are written as; None: as ourselves
    temporary: tuple[str, ...] = ("stage", "work")  # tables of this session that writing needs
    beside: Beside | None = None
    held: Collection[Key] = ()  # rows that wait for a person, whatever is decided about them
    of_slice: sql.Composable  # condition that record `r` is of a row of the slice; takes `slice_params`

    @abstractmethod
    def write(self, rows: Any, *, batch: int) -> Counts:
        """The outcomes of a piece's rows, written within the open transaction."""

    def slice_params(self, rows: Any) -> dict[str, Any]:
        """Parameters of `of_slice`."""
        raise NotImplementedError

    @abstractmethod
    def _as_a_set(self, rows: Rows, batch: int) -> Counts:
        """Write the rows by set statements."""

    @abstractmethod
    def _fail(self, rows: Rows, batch: int, error: psycopg.Error) -> Counts:
        """Record the one row that the database refused, and say how it counts."""

    @abstractmethod
    def _halves(self, rows: Rows) -> tuple[Rows, Rows] | None:
        """The rows in two parts; None when there is one only."""

    def write_as(self, role: str | None) -> None:
        """Write what is committed from now on with the rights of this role, which our session may take on."""
        self.role = role
        if role is not None:
            self._let_in(sql.Identifier(role))

    def _let_in(self, role: sql.Identifier) -> None:
        """Give the role what is staged for this session."""
        own = sql.SQL(", ").join(sql.Identifier("pg_temp", table) for table in self.temporary)
        self.connection.execute(sql.SQL("GRANT ALL ON {} TO {}").format(own, role))

    def commit(self, chunk: chunks.Claim, piece: Piece) -> Counts:
        """Write the slice and move the chunk's checkpoint behind it, in one transaction.

        Raises Fenced when another worker took over or the job stopped; nothing is written then.
        Serialization failures and deadlocks repeat the transaction, at most five times. JobFailed when the database
        has no space left, or too little memory for a single row.
        """
        for attempt in range(RETRIES + 1):
            try:
                started = time.monotonic()
                chunks.advance(self.connection, chunk, piece.last_key)
                fail_point("after_fence")
                # Constraints are judged statement by statement, so that bisecting can tell which row breaks one.
                self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                if self.beside is None:
                    with as_role(self.connection, self.role):
                        counts = self.write(piece.rows, batch=chunk.no)
                else:
                    counts = self.beside.write(piece.rows, batch=chunk.no)
                count(self.connection, self.run_id, counts)
                chunks.note_time(self.connection, chunk, counts["read"], time.monotonic() - started)
                fail_point("before_commit")
                self.connection.commit()
                fail_point("after_commit")
                return counts
            except _TRANSIENT as error:
                self.connection.rollback()
                if attempt == RETRIES:
                    raise JobFailed(
                        say("Somebody else holds a lock on rows this job must write."),
                        code="target_unavailable",
                        hint=say("Find the long transaction in pg_stat_activity, end it, then resume."),
                    ) from error
                time.sleep(min(16, 2**attempt) * 0.1 * random.uniform(1, 2))  # noqa: S311 - jitter
            except (*_FULL, *_MEMORY) as error:
                self.connection.rollback()
                raise exhausted(error) or error from error
            except errors.InsufficientPrivilege as error:
                self.connection.rollback()
                raise JobFailed(
                    say(
                        "PostgreSQL does not let this import write: {message_primary}.",
                        message_primary=error.diag.message_primary,
                    ),
                    code="permission_denied",
                    hint=say("Imports write as the role {role}, which may not do what this one needs.", role=self.role)
                    if self.role
                    else say("Grant it to the service's role, then resume."),
                ) from error
            except BaseException:
                with contextlib.suppress(psycopg.Error):  # the first error is the one that counts
                    self.connection.rollback()
                raise
        raise AssertionError("unreachable")

    def _bisect(self, rows: Rows, batch: int) -> Counts:
        try:
            with self.connection.transaction():
                return self._as_a_set(rows, batch)
        except _MEMORY:
            self.shrunk *= 2
            halves = self._halves(rows)
            if halves is None:
                raise  # the row is not to blame: the next one would find no more memory
        except (
            psycopg.DataError,
            psycopg.IntegrityError,
            psycopg.InternalError,
            errors.RaiseException,
            *_SIZE,
        ) as error:
            halves = self._halves(rows)
            if halves is None:
                return self._fail(rows, batch, error)
        return self._bisect(halves[0], batch) + self._bisect(halves[1], batch)


@contextlib.contextmanager
def as_role(connection: psycopg.Connection, role: str | None) -> Iterator[None]:
    """Have the rights of the role for a part of the open transaction; with None our own."""
    if role is None:
        yield
        return
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    yield  # an error ends the transaction, and the role with it
    connection.execute("RESET ROLE")


def count(connection: psycopg.Connection, run_id: int, counts: Counts) -> None:
    """Add to the run's counters; the table's CHECK refuses sums that do not add up."""
    connection.execute(
        "UPDATE importer_queryrun SET read = read + %(read)s, created = created + %(created)s, "
        "updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s, skipped = skipped + %(skipped)s, "
        "failed = failed + %(failed)s, review = review + %(review)s, warnings = warnings + %(warnings)s, "
        "matched = matched + %(matched)s, confidence = confidence + %(confidence)s, "
        "replanned = replanned + %(replanned)s WHERE id = %(run)s",
        {name: counts[name] for name in ("read", *Outcome.values, "warnings", "matched", "confidence", "replanned")}
        | {"run": run_id},
        prepare=True,
    )


def refusal(error: psycopg.Error) -> str:
    """How the database refused, for those who mend it: its state, and the functions it went through."""
    context = [line for line in (error.diag.context or "").splitlines() if line.startswith("PL/pgSQL function")]
    return "\n".join([f"{type(error).__name__} (SQLSTATE {error.sqlstate})", *context])


def exhausted(error: BaseException | None) -> JobFailed | None:
    """The failure of a job whose target has no space or memory left; None when the error says something else."""
    if isinstance(error, _FULL):
        return JobFailed(
            say("The target database has no space left."), code="storage_full", hint=say("Free some, then resume.")
        )
    if isinstance(error, _MEMORY):
        return JobFailed(
            say("The target database has too little memory."),
            code="target_unavailable",
            hint=say("Give it more or end what else it does, then resume."),
        )
    return None


def explain(error: psycopg.Error) -> tuple[str, str, str | None]:
    """(code, sentence, column) of a refusal; the server's DETAIL, which quotes other rows, is left out."""
    info = error.diag
    constraint, column = info.constraint_name, info.column_name
    if isinstance(error, errors.UniqueViolation):
        return (
            "unique_conflict",
            say("Another row already has this value (rule {constraint}).", constraint=constraint),
            column,
        )
    if isinstance(error, errors.ForeignKeyViolation):
        return (
            "foreign_key",
            say("A row it points to does not exist any more (rule {constraint}).", constraint=constraint),
            column,
        )
    if isinstance(error, errors.NotNullViolation):
        return "required_empty", say("{column} must not be empty.", column=column), column
    if isinstance(error, errors.CheckViolation):
        return (
            "check_violation",
            say("The database refuses the value (rule {constraint}).", constraint=constraint),
            column,
        )
    if isinstance(error, _SIZE):
        said = info.message_primary or say("larger than the database can take")
        return "row_too_large", say("The database cannot store the row: {said}.", said=said[:200]), column
    return "rejected", (info.message_primary or say("The database refuses the row."))[:300], column


def uuid_counter(kind: str) -> dict[str, Any]:
    """First half and counter base of time-ordered UUIDs (RFC 9562 v7) for one statement's rows."""
    milliseconds = time.time_ns() // 1_000_000
    prefix = (milliseconds << 16 | 0x7 << 12 | int.from_bytes(os.urandom(2)) >> 4).to_bytes(8)
    base = (0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2) & ~0xFF_FFFF  # 16 million rows fit below
    return {f"{kind}_prefix": prefix, f"{kind}_base": base - 2**64}
