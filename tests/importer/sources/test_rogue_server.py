"""Whatever answers at the address: the deadline is kept, the password is not given away, nothing raw is shown."""

from __future__ import annotations

import logging
import struct
import time
import tracemalloc
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from importer.errors import ImporterError, SourceError, SourceTimeout
from importer.sources import handshake, recipe
from importer.sources.connection import (
    Cause,
    ConnectionFailed,
    ConnectionParams,
    SourceLimits,
    open_session,
    test_connection,
)
from importer.sources.session import SourceSession
from tests.importer.sources import rogue as fake
from tests.importer.sources.conftest import POLICY
from tests.importer.sources.rogue import Rogue, answers, error, lets_in, message, rogue, says

PASSWORD = "Pa55w0rd!-never-seen"
LIMITS = SourceLimits(connect_timeout_seconds=2, statement_timeout_seconds=1, watchdog_margin_seconds=0.5)
TRUSTING = SourceLimits(
    connect_timeout_seconds=2, statement_timeout_seconds=1, watchdog_margin_seconds=0.5, require_auth=""
)
GRACE_SECONDS = 5
MISBEHAVE = sql.SQL("SELECT 'MISBEHAVE'")


def params(server: Rogue) -> ConnectionParams:
    return ConnectionParams("127.0.0.1", server.port, "desk", "reader", PASSWORD)


def notices(server: Rogue, channel: object) -> None:
    server.startup(channel)
    while True:
        channel.sendall(message(b"N", b"SNOTICE\0Mnoise\0\0") * 1000)


AT_LOGIN = {
    "hangs": lambda server, _channel: server.hang(),
    "hangs after startup": answers(b""),
    "asks for the password in clear": answers(message(b"R", struct.pack("!I", 3))),
    "asks for an MD5 hash": answers(message(b"R", struct.pack("!I", 5) + b"salt")),
    "asks for nothing": answers(fake.AUTH_OK + fake.PARAMETERS + fake.READY),
    "is an SSH server": says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
    "is a web server": says(b"HTTP/1.1 400 Bad Request\r\nServer: secret-of-the-server\r\n\r\n"),
    "sends garbage": says(bytes(range(256)) * 40),
    "closes": lambda _server, _channel: None,
    "sends an error with escapes": answers(error(fake.ESCAPES)),
    "sends an error that names the password file": answers(error(fake.ESCAPES, "08001")),
    "sends notices without end": notices,
}


@pytest.mark.alike
@pytest.mark.req("P19", "P20", "P24")
@pytest.mark.parametrize("behaviour", AT_LOGIN)
def test_it_fails_in_time_and_gives_nothing_away(behaviour: str, caplog: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    with (
        rogue(AT_LOGIN[behaviour]) as server,
        caplog.at_level(logging.DEBUG),
        pytest.raises(ConnectionFailed) as caught,
    ):
        open_session(params(server), policy=POLICY, limits=LIMITS, application_name="t")
    assert time.monotonic() - started < LIMITS.connect_timeout_seconds + GRACE_SECONDS
    assert caught.value.cause in set(Cause)
    assert_clean(str(caught.value), caplog.text)
    assert PASSWORD.encode() not in server.received
    assert b"md5" not in server.received


@pytest.mark.req("P24")
def test_it_tells_a_closed_port_and_a_foreign_server_apart_only_by_the_fixed_list() -> None:
    for behaviour in ("is an SSH server", "is a web server", "sends garbage"):
        with rogue(AT_LOGIN[behaviour]) as server, pytest.raises(ConnectionFailed) as caught:
            open_session(params(server), policy=POLICY, limits=LIMITS, application_name="t")
        assert caught.value.cause in (Cause.OTHER, Cause.TLS_FAILED), behaviour
        assert "SSH" not in str(caught.value)


@pytest.mark.alike
@pytest.mark.req("P16")
@pytest.mark.parametrize("behaviour", AT_LOGIN)
def test_the_connection_test_keeps_to_that_as_well(behaviour: str, caplog: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    with rogue(AT_LOGIN[behaviour]) as server, caplog.at_level(logging.DEBUG):
        test = test_connection(params(server), policy=POLICY, limits=LIMITS)
    assert time.monotonic() - started < 2 * LIMITS.connect_timeout_seconds + GRACE_SECONDS
    assert not test.success
    assert [check.status for check in test.checks].count("failed") == 1
    assert_clean(str(test.as_dict()), caplog.text)
    assert PASSWORD.encode() not in server.received


def endless(server: Rogue, channel: object) -> None:
    channel.sendall(message(b"1") + message(b"2") + fake.ONE_TEXT_COLUMN)
    row = message(b"D", struct.pack("!HI", 1, 100) + b"x" * 100)
    while True:
        channel.sendall(row * 500)


def huge_field(server: Rogue, channel: object) -> None:
    size = 900_000_000
    channel.sendall(message(b"1") + message(b"2") + fake.ONE_TEXT_COLUMN)
    channel.sendall(b"D" + struct.pack("!IHI", size + 10, 1, size))
    for _ in range(900):
        channel.sendall(b"x" * 1_000_000)


def trickle(server: Rogue, channel: object) -> None:
    channel.sendall(message(b"1") + message(b"2") + fake.ONE_TEXT_COLUMN + b"D" + struct.pack("!IHI", 1000, 1, 990))
    while True:
        channel.sendall(b"x")
        time.sleep(0.2)


IN_A_QUERY = {
    "hangs": lambda server, _channel: server.hang(),
    "sends rows without end": endless,
    "sends one huge field": huge_field,
    "trickles": trickle,
    "sends garbage": lambda _server, channel: channel.sendall(b"\xff" * 5000),
    "closes": lambda _server, channel: channel.close(),
    "sends an error with escapes": lambda _server, channel: channel.sendall(error(fake.ESCAPES, "XX000")),
}


@pytest.fixture
def session_with() -> Iterator[object]:
    """Return `session_with(server)`: a session as it is after it opened, without the questions it opens with."""
    opened: list[SourceSession] = []

    def make(server: Rogue, limits: SourceLimits = TRUSTING) -> SourceSession:
        connection = handshake.connect(params(server), address="127.0.0.1", limits=limits, application_name="t")
        session = SourceSession(connection, params=params(server), limits=limits, timeout_seconds=1)
        session._server_timeout = recipe.milliseconds(1)
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()


@pytest.mark.alike
@pytest.mark.req("P20")
@pytest.mark.parametrize("behaviour", IN_A_QUERY)
def test_it_ends_a_query_in_time(behaviour: str, session_with: object, caplog: pytest.LogCaptureFixture) -> None:
    with rogue(lets_in(IN_A_QUERY[behaviour])) as server:
        session = session_with(server)
        started = time.monotonic()
        with caplog.at_level(logging.DEBUG), pytest.raises(ImporterError) as caught:
            session.fetch_all(MISBEHAVE)
        assert time.monotonic() - started < 1.5 + GRACE_SECONDS
        session.close()
        assert time.monotonic() - started < 1.5 + GRACE_SECONDS
    assert isinstance(caught.value, (SourceError, SourceTimeout))
    assert_clean(str(caught.value), caplog.text)


def test_it_stops_at_the_byte_limit_long_before_the_deadline(session_with: object) -> None:
    limits = SourceLimits(require_auth="", max_silent_bytes=20_000_000, statement_timeout_seconds=60)
    with rogue(lets_in(huge_field)) as server:
        session = session_with(server, limits)
        tracemalloc.start()
        with pytest.raises(SourceError) as caught:
            session.fetch_all(MISBEHAVE, timeout_seconds=1)
        tracemalloc.stop()
    assert caught.value.code == "too_large"


def test_it_leaves_an_endless_stream_at_once(session_with: object) -> None:
    with rogue(lets_in(endless)) as server:
        session = session_with(server)
        session._server_timeout = recipe.milliseconds(session.limits.stream_timeout_seconds)
        rows = session.stream(MISBEHAVE)
        assert next(rows) == ("x" * 100,)
        started = time.monotonic()
        rows.close()
        session.close()
        assert time.monotonic() - started < 1


def test_it_refuses_a_server_that_ignores_the_settings() -> None:
    with rogue(lets_in(lambda *_: None)) as server, pytest.raises(ImporterError) as caught:
        open_session(params(server), policy=POLICY, limits=TRUSTING, application_name="t")
    assert caught.value.code == "settings_refused"


def test_other_passwords_are_given_only_when_the_setting_says_so() -> None:
    limits = SourceLimits(connect_timeout_seconds=2, require_auth="scram-sha-256,md5")
    with rogue(AT_LOGIN["asks for an MD5 hash"]) as server, pytest.raises(ConnectionFailed):
        open_session(params(server), policy=POLICY, limits=limits, application_name="t")
    assert b"md5" in server.received
    assert PASSWORD.encode() not in server.received


def assert_clean(shown: str, logged: str) -> None:
    for text in (shown, logged):
        assert PASSWORD not in text
        assert "\x1b" not in text
        assert "\nFORGED" not in text
    for raw in ("secret-of-the-server", "<script>", "SSH-2.0", "FORGED"):
        assert raw not in shown


def test_libpq_is_new_enough_for_what_these_tests_prove() -> None:
    assert psycopg.pq.version() >= 170000
