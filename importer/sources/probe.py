"""Testing a connection in stages, so that the first thing that fails is named and the rest is not guessed."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NoReturn

from importer.errors import HostNotAllowed, ImporterError
from importer.sources.audit import audit_role, least_privilege_sql
from importer.sources.catalogue import catalogue_query
from importer.sources.failures import Cause, ConnectionFailed, understood
from importer.sources.hosts import HostPolicy
from importer.sources.params import ConnectionParams, SourceLimits
from importer.sources.session import SourceSession, open_session_at
from servicevault.wording import say, say_count

Status = Literal["ok", "failed", "skipped"]

STAGES = ("host_policy", "dns", "tcp", "tls", "login", "version", "read_only_role", "schemas", "clock", "timezone")
SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL docs 54.7, SSLRequest
CLOCK_TOLERANCE_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """One stage of a test."""

    name: str
    status: Status
    ms: int = 0
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Warned:
    """Something that works and should not stay so."""

    code: str
    message: str
    remedy: str = ""


@dataclass
class ConnectionTest:
    """What a test found. `error_code` is "" or that of the first failure: host_not_allowed, connection_failed, ..."""

    success: bool = False
    message: str = ""
    server_info: dict[str, Any] = field(default_factory=dict)
    database_info: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    error_code: str = ""
    least_privilege_sql: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The test as plain values for JSON."""
        return asdict(self)


class _Stopped(Exception):
    """A stage failed; the rest is skipped."""


def test_connection(params: ConnectionParams, *, policy: HostPolicy, limits: SourceLimits) -> ConnectionTest:
    """Try a connection stage by stage and return what was found; a failure is in the result, not raised."""
    test = ConnectionTest()
    probe = _Probe(params, policy, limits, test)
    with contextlib.suppress(_Stopped):
        probe.run()
        test.success, test.message = True, say("The connection works.")
    done = {check.name for check in test.checks}
    test.checks += [Check(name, "skipped") for name in STAGES if name not in done]
    test.checks.sort(key=lambda check: STAGES.index(check.name))
    return test


test_connection.__test__ = False  # type: ignore[attr-defined]  # not a test of ours, whatever pytest thinks


class _Probe:
    """The stages in order; each adds its check to the test."""

    def __init__(
        self, params: ConnectionParams, policy: HostPolicy, limits: SourceLimits, test: ConnectionTest
    ) -> None:
        self.params, self.policy, self.limits, self.test = params, policy, limits, test
        self.place = f"{params.host}:{params.port}"

    def run(self) -> None:
        address = self._find()
        self._reach(address)
        started = time.monotonic()
        session = self._open(address)
        self.test.server_info["connection_time"] = round(time.monotonic() - started, 3)
        with session:
            try:
                self._look(session)
            except ImporterError as error:
                self._fail(STAGES[len(self.test.checks)], error, started)

    def _find(self) -> str:
        """Host policy and name: the policy has the last word on every address, so both come from one lookup."""
        with self._stage("host_policy"):
            self.params.validate()
            self.policy.check_name(self.params.host, self.params.port)
        started = time.monotonic()
        try:
            address = self.policy.resolve(self.params.host, self.params.port)
        except HostNotAllowed as error:
            self.test.checks.clear()
            self._fail("host_policy", error, started)
        except ConnectionFailed as error:
            self._fail("dns", error, started)
        self._pass(
            "dns",
            started,
            say("{host} is {address}.", host=self.params.host, address=address) if address != self.params.host else "",
        )
        return address

    def _reach(self, address: str) -> None:
        """TCP, then whether the server offers TLS; on a connection of its own."""
        if address.startswith("/"):
            return
        with self._stage("tcp"):
            channel = self._dial(address)
        started = time.monotonic()
        with channel:
            answer = b""
            with contextlib.suppress(OSError):
                channel.sendall(SSL_REQUEST)
                answer = channel.recv(1)
        wanted = self.params.ssl_mode in ("require", "verify-ca", "verify-full")
        if answer not in (b"S", b"N"):
            self._fail("tls", ConnectionFailed(Cause.OTHER, place=self.place, where="tls"), started)
        if answer == b"N" and wanted:
            self._fail("tls", ConnectionFailed(Cause.TLS_FAILED, place=self.place, where="tls"), started)

    def _dial(self, address: str) -> socket.socket:
        cause = Cause.REFUSED
        try:
            return socket.create_connection((address, self.params.port), timeout=self.limits.connect_timeout_seconds)
        except TimeoutError:
            cause = Cause.TIMED_OUT
        except OSError:
            pass
        raise ConnectionFailed(cause, place=self.place, where="tcp")

    def _open(self, address: str) -> SourceSession:
        started = time.monotonic()
        try:
            session = open_session_at(
                self.params,
                address=address,
                limits=self.limits,
                application_name="service-vault/test",
                statement_timeout_seconds=self.limits.preview_timeout_seconds * 2,
            )
        except ImporterError as error:
            if error.where == "tls":
                self._fail("tls", error, started)
            self._pass("tls", started)
            if error.code == "version_not_supported":
                self._pass("login", started)
                self._fail("version", error, started)
            self._fail("login", error, started)
        self._pass(
            "tls",
            started,
            say("The connection is encrypted.") if session.encrypted else say("The connection is not encrypted."),
        )
        self._pass("login", started, say("Logged in as {username}.", username=self.params.username))
        if not session.encrypted:
            self._warn(
                "connection_not_encrypted",
                say("The connection is not encrypted."),
                say("Choose the TLS mode verify-full."),
            )
        return session

    def _look(self, session: SourceSession) -> None:
        started = time.monotonic()
        before = time.time()
        rows = session.fetch_all(catalogue_query("server_facts"), None)
        after = time.time()
        with understood():
            version, database, user, tables, schemas, size, clock, timezone = rows[0]
            readable = [name for name in schemas.split("\x1f") if name]
            behind, ahead = before - clock, clock - after
        self.test.server_info |= {"version": version, "database": database, "user": user}
        self.test.database_info |= {"version": version, "database": database, "table_count": tables, "size": size}
        self.test.least_privilege_sql = least_privilege_sql(database, readable)
        self._pass("version", started, f"PostgreSQL {version}.")
        self._look_at_role(session)
        self._look_at_tables(tables)
        self._look_at_clock(max(0.0, behind, ahead))
        self._pass(
            "timezone", time.monotonic(), say("The server's default time zone is {timezone}.", timezone=timezone)
        )

    def _look_at_role(self, session: SourceSession) -> None:
        started = time.monotonic()
        findings = audit_role(session)
        for finding in findings:
            self._warn(finding.code, finding.message, say("Use a role that can only read."))
        privileged = [finding for finding in findings if finding.severity == "privileged"]
        message = " ".join(str(finding.message) for finding in findings) or say("The login can only read.")
        if privileged and not self.limits.allow_privileged:
            error = ImporterError(message, hint=say("Use a role that can only read."), code="privileged_role")
            self._fail("read_only_role", error, started)
        self._pass("read_only_role", started, message)

    def _look_at_tables(self, tables: int) -> None:
        if tables:
            self._pass(
                "schemas",
                time.monotonic(),
                say_count("{count} table or view is visible.", "{count:,} tables and views are visible.", tables),
            )
            return
        self._warn("no_table_visible", say("No table is visible to this login."), self.test.least_privilege_sql)
        self._pass(
            "schemas", time.monotonic(), say("No table is visible to this login."), say("Grant it USAGE and SELECT.")
        )

    def _look_at_clock(self, away: float) -> None:
        message = say("Both clocks agree.") if away < 1 else say("The clocks differ by {away:,.0f} seconds.", away=away)
        if away > CLOCK_TOLERANCE_SECONDS:
            self._warn("clock_differs", message, say("Set both clocks by NTP; incremental reading compares times."))
        self._pass("clock", time.monotonic(), message)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except ImporterError as error:
            self._fail(name, error, started)
        self._pass(name, started)

    def _pass(self, name: str, started: float, message: str = "", remedy: str = "") -> None:
        self.test.checks.append(Check(name, "ok", _ms(started), message, remedy))

    def _fail(self, name: str, error: ImporterError, started: float) -> NoReturn:
        self.test.checks.append(Check(name, "failed", _ms(started), error.message, error.hint))
        self.test.message, self.test.error_code = str(error), error.code
        raise _Stopped

    def _warn(self, code: str, message: str, remedy: str) -> None:
        self.test.warnings.append(Warned(code, message, remedy))


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
