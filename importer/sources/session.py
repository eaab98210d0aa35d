"""One read-only session with a source: one snapshot, one statement a message, a deadline for every call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer
from psycopg.pq import TransactionStatus

from importer.errors import ImporterError, SourceError
from importer.sources import failures, handshake, recipe, values
from importer.sources.hosts import HostPolicy
from importer.sources.params import ConnectionParams, SourceLimits
from importer.sources.watchdog import Watchdog
from servicevault.wording import say

Query = sql.SQL | sql.Composed
Params = Sequence[Any] | Mapping[str, Any]
Row = tuple[Any, ...]

START = "service_vault_start"
TYPE_NAMES = sql.SQL(
    "SELECT pg_catalog.format_type(t.oid, t.modifier) FROM unnest(%s::oid[], %s::int4[]) AS t (oid, modifier)"
)
NOT_A_TIMEOUT = "0"


@dataclass(frozen=True)
class ResultColumn:
    """A column a query would return."""

    name: str
    type_name: str  # as format_type() prints it
    oid: int


def open_session(
    params: ConnectionParams,
    *,
    policy: HostPolicy,
    limits: SourceLimits,
    application_name: str,
    statement_timeout_seconds: float | None = None,
    snapshot_id: str | None = None,
    search_schemas: Sequence[str] = (),
) -> SourceSession:
    """Return an open read-only session in one REPEATABLE READ transaction; close it, or use it in a `with`.

    With `snapshot_id` it sees what the session that exported it sees. Names without schema are
    looked up in pg_catalog, then in `search_schemas`.

    Raises HostNotAllowed, ConnectionFailed, SourceTimeout, and SourceError with the codes
    "params_invalid", "version_not_supported", "settings_refused" and "snapshot_gone".
    """
    params.validate()
    return open_session_at(
        params,
        address=policy.resolve(params.host, params.port),
        limits=limits,
        application_name=application_name,
        statement_timeout_seconds=statement_timeout_seconds,
        snapshot_id=snapshot_id,
        search_schemas=search_schemas,
    )


def open_session_at(
    params: ConnectionParams,
    *,
    address: str,
    limits: SourceLimits,
    application_name: str,
    statement_timeout_seconds: float | None = None,
    snapshot_id: str | None = None,
    search_schemas: Sequence[str] = (),
) -> SourceSession:
    """`open_session` at an address the host policy gave before, so that a name is never looked up twice."""
    if snapshot_id is not None and not recipe.SNAPSHOT_PATTERN.fullmatch(snapshot_id):
        raise failures.snapshot_gone()
    connection = handshake.connect(params, address=address, limits=limits, application_name=application_name)
    session = SourceSession(
        connection,
        params=params,
        limits=limits,
        timeout_seconds=statement_timeout_seconds or limits.statement_timeout_seconds,
    )
    try:
        session._begin(snapshot_id=snapshot_id, search_schemas=search_schemas)
    except BaseException:
        session.close()
        raise
    return session


class SourceSession:
    """A session made by `open_session`. Not shared by threads, but `cancel` and `cut` may come from any.

    A failed query leaves the session usable and its snapshot as it was. Where a stream is left
    before its end, where a deadline passes or a connection breaks, the session is over.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Row],
        *,
        params: ConnectionParams,
        limits: SourceLimits,
        timeout_seconds: float,
    ) -> None:
        self.limits = limits
        self.timeout_seconds = timeout_seconds
        self.server_version: int = connection.info.server_version
        self.database: str = params.database
        self.encrypted: bool = bool(connection.pgconn.ssl_in_use)
        self._connection = connection
        self._params = params
        self._place = f"{params.host}:{params.port}"
        self._watchdog = Watchdog(connection.pgconn.socket, max_silent_bytes=limits.max_silent_bytes)
        self._server_timeout = ""  # milliseconds, as set last
        self._cancelled = False

    def __enter__(self) -> SourceSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fetch_all(self, query: Query, params: Params | None = (), *, timeout_seconds: float | None = None) -> list[Row]:
        """Return all rows of a query, within one deadline.

        As in psycopg, `%` is written `%%` in the text (also inside identifiers: see `identifier`);
        with `params=None` the text is sent as it is.
        """
        seconds = timeout_seconds or self.timeout_seconds
        self._set_server_timeout(recipe.milliseconds(seconds))
        with self._guard(seconds):
            return list(self._cursor().stream(query, params, size=_chunk_rows(1000)))

    def stream(self, query: Query, params: Params | None = (), *, size: int = 200, raw: bool = False) -> Iterator[Row]:
        """Yield the rows of a query as they come, `size` at a time in memory.

        With `raw`, each value is the server's text as bytes, or None: ready for COPY. The deadline
        is for the silence between two chunks; time the caller takes does not count. Leaving the
        loop early ends the session, because closing a result politely would first read its rest.

        Raises SourceError(code="too_large") for a row above `limits.max_row_bytes`.
        """
        self._set_server_timeout(recipe.milliseconds(max(self.timeout_seconds, self.limits.stream_timeout_seconds)))
        size = _chunk_rows(size)
        rows = self._cursor(raw=raw).stream(query, params, size=size)
        finished = False
        try:
            while True:
                before = self._watchdog.received_bytes()
                with self._guard(self.timeout_seconds):
                    chunk = list(islice(rows, size))
                if self._watchdog.received_bytes() - before > self.limits.max_row_bytes:
                    self._check_rows(chunk)
                if not chunk:
                    finished = True
                    return
                yield from chunk
        except ImporterError:
            finished = not self._is_busy()
            raise
        finally:
            if not finished:
                self._abandon()
            rows.close()  # type: ignore[attr-defined]  # a generator, though psycopg says Iterator

    def describe(self, query: Query, params: Params | None = ()) -> list[ResultColumn]:
        """Return the columns of a query that is prepared by the server and not run.

        Raises SourceQueryError when the server does not accept it.
        """
        with self._guard(self.timeout_seconds):
            prepared = PostgresQuery(Transformer(self._connection))
            prepared.convert(query, params)
            connection = self._connection.pgconn
            for result in (
                connection.prepare(b"", prepared.query, prepared.types),
                connection.describe_prepared(b""),
            ):
                if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(result, "utf-8")
            found = [
                ((result.fname(number) or b"").decode("utf-8", "replace"), result.ftype(number), result.fmod(number))
                for number in range(result.nfields)
            ]
        names = self.fetch_all(TYPE_NAMES, ([oid for _, oid, _ in found], [modifier for *_, modifier in found]))
        return [
            ResultColumn(name, str(type_name), oid) for (name, oid, _), (type_name,) in zip(found, names, strict=True)
        ]

    def export_snapshot(self) -> str:
        """Return a name under which other sessions see exactly what this one sees, while this one is open."""
        # A savepoint is a subtransaction, and PostgreSQL exports no snapshot from one.
        self._command("RELEASE SAVEPOINT " + START)
        name = str(self.fetch_all(sql.SQL("SELECT pg_catalog.pg_export_snapshot()"))[0][0])
        self._command("SAVEPOINT " + START)
        return name

    def cancel(self) -> None:
        """Stop whatever runs, from any thread: ask the server for at most two seconds, then cut."""
        self._cancelled = True
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.cancel_safe(timeout=2)
        self.cut()

    def cut(self) -> None:
        """Shut the socket now; the call in progress fails and the session is over."""
        self._watchdog.cut()

    def close(self) -> None:
        """End the session. Never waits for a result."""
        self._watchdog.close()
        self._connection.pgconn.finish()
        self._connection.close()

    @property
    def is_open(self) -> bool:
        return not self._connection.closed and not self._watchdog.was_cut

    def _begin(self, *, snapshot_id: str | None, search_schemas: Sequence[str]) -> None:
        """Settings, transaction, snapshot, then proof that the server did as it was told."""
        if self.server_version < recipe.OLDEST_VERSION:
            release = self.server_version // 10000
            raise SourceError(
                say("The source is PostgreSQL {release}; 10 is the oldest that is read.", release=release),
                hint=say("Load a dump of it into a newer server and connect to that."),
                code="version_not_supported",
            )
        wanted = recipe.settings(self.server_version, self.limits, statement_timeout_seconds=self.timeout_seconds)
        self._set(wanted, local=False)
        self._server_timeout = wanted["statement_timeout"]
        self._command(recipe.BEGIN)
        if snapshot_id is not None:
            self._take_snapshot(snapshot_id)
        if search_schemas:
            path = {"search_path": recipe.search_path(search_schemas)}
            self._set(path, local=True)
            wanted |= path
        wanted |= {"transaction_read_only": "on", "transaction_isolation": "repeatable read"}
        names = sql.SQL(", ").join([sql.SQL("pg_catalog.current_setting(%s)")] * len(wanted))
        answer = self.fetch_all(sql.SQL("SELECT {}, {}").format(names, sql.SQL(recipe.IDENTITY)), list(wanted))
        recipe.check(wanted, answer[0] if answer else ())
        recipe.refuse_own(self.limits, answer[0][-1])
        self._command("SAVEPOINT " + START)

    def _set(self, wanted: Mapping[str, str], *, local: bool) -> None:
        one = sql.SQL("pg_catalog.set_config(%s, %s, {})").format(sql.SQL("true" if local else "false"))
        query = sql.SQL("SELECT {}").format(sql.SQL(", ").join([one] * len(wanted)))
        with self._guard(self.timeout_seconds):
            list(self._cursor().stream(query, [text for pair in wanted.items() for text in pair]))

    def _set_server_timeout(self, milliseconds: str) -> None:
        if milliseconds != self._server_timeout:
            self._set({"statement_timeout": milliseconds}, local=False)
            self._server_timeout = milliseconds

    def _take_snapshot(self, snapshot_id: str) -> None:
        try:
            self._execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot_id)))
        except (SourceError, failures.SourceQueryError):
            if self._watchdog.was_cut or self._connection.closed:
                raise
            raise failures.snapshot_gone() from None

    def _command(self, text: LiteralString) -> None:
        self._execute(sql.SQL(text))

    def _execute(self, command: Query) -> None:
        """Run a command without result; prepared, so that the server takes exactly one."""
        with self._guard(self.timeout_seconds):
            self._connection.execute(command, prepare=True)

    def _cursor(self, *, raw: bool = False) -> psycopg.Cursor[Row]:
        cursor = psycopg.Cursor(self._connection)
        if raw:
            values.register_raw(cursor.adapters)
        return cursor

    @contextlib.contextmanager
    def _guard(self, seconds: float) -> Iterator[None]:
        """Run a block under the watchdog, and turn whatever the driver raises into our errors."""
        failure: ImporterError | None = None
        try:
            with self._watchdog.deadline(seconds + self.limits.watchdog_margin_seconds):
                yield
        except (psycopg.Error, OSError, ValueError, ArithmeticError, RecursionError) as error:
            failures.log_driver_text(error, place=self._place, secret=self._params.password)
            failure = self._failure(error)
        if failure is not None:
            raise failure from None

    def _failure(self, error: Exception) -> ImporterError:
        if self._watchdog.expired:
            return failures.timed_out()
        if self._watchdog.flooded:
            return failures.too_large()
        if self._cancelled:
            return SourceError(say("The work at the source was cancelled."), code="cancelled")
        return failures.classify_statement(error, alive=self._recover())

    def _recover(self) -> bool:
        """Return to the start of the transaction; whether the session can go on."""
        status = self._connection.pgconn.transaction_status
        if status == TransactionStatus.INTRANS:
            return True
        if status != TransactionStatus.INERROR:
            return status == TransactionStatus.IDLE
        try:
            with self._watchdog.deadline(self.timeout_seconds):
                self._connection.execute(sql.SQL("ROLLBACK TO SAVEPOINT " + START), prepare=True)
        except (psycopg.Error, OSError):
            return not self._watchdog.was_cut and not self._connection.closed
        self._server_timeout = ""  # a setting made since the savepoint was undone with it
        return True

    def _is_busy(self) -> bool:
        return self._connection.pgconn.transaction_status == TransactionStatus.ACTIVE

    def _abandon(self) -> None:
        """Leave a result unread: cut first, then forget it, so that nothing waits for the server."""
        self.cut()
        self._connection.pgconn.finish()

    def _check_rows(self, chunk: Sequence[Row]) -> None:
        for row in chunk:
            if sum(len(value) for value in row if isinstance(value, (bytes, str))) > self.limits.max_row_bytes:
                raise failures.too_large()


def identifier(*names: str) -> sql.Composable:
    """A quoted name for a query with parameters, where psycopg reads `%` as the start of a placeholder."""
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


def _chunk_rows(size: int) -> int:
    return size if psycopg.capabilities.has_stream_chunked() else 1
