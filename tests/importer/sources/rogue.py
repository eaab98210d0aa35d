"""A server that speaks just enough PostgreSQL to misbehave, and writes down all it receives."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ESCAPES = "\x1b[31m<script>alert(1)</script>\r\nFORGED LOG LINE secret-of-the-server"


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def error(text: str, sqlstate: str = "28P01") -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text, "D": "DETAIL " + text}
    return message(b"E", b"".join(key.encode() + value.encode() + b"\0" for key, value in fields.items()) + b"\0")


READY = message(b"Z", b"T")
AUTH_OK = message(b"R", struct.pack("!I", 0))
PARAMETERS = b"".join(
    message(b"S", name + b"\0" + value + b"\0")
    for name, value in ((b"server_version", b"18.0"), (b"client_encoding", b"UTF8"), (b"server_encoding", b"UTF8"))
)
ONE_TEXT_COLUMN = message(b"T", struct.pack("!H", 1) + b"x\0" + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0))
Behaviour = Callable[["Rogue", socket.socket], None]


class Rogue:
    """One behaviour for every connection; `received` is all bytes of all clients."""

    def __init__(self, behave: Behaviour) -> None:
        self.received = b""
        self._behave = behave
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._stopped = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                channel, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(channel,), daemon=True).start()

    def _run(self, channel: socket.socket) -> None:
        with channel, suppress(OSError):
            self._behave(self, channel)

    def read(self, channel: socket.socket) -> bytes:
        data = channel.recv(65536)
        if not data:
            raise ConnectionError
        self.received += data
        return data

    def hang(self) -> None:
        self._stopped.wait(60)

    def startup(self, channel: socket.socket) -> None:
        """Answer N to a request for TLS, and take the startup packet."""
        while self.read(channel)[4:8] == struct.pack("!I", 80877103):
            channel.sendall(b"N")

    def stop(self) -> None:
        self._stopped.set()
        self._server.close()


@contextmanager
def rogue(behave: Behaviour) -> Iterator[Rogue]:
    server = Rogue(behave)
    try:
        yield server
    finally:
        server.stop()


def says(data: bytes) -> Behaviour:
    """Greets with these bytes, and hangs up on what it does not understand, as servers of other kinds do."""

    def behave(server: Rogue, channel: socket.socket) -> None:
        channel.sendall(data)
        server.read(channel)

    return behave


def answers(data: bytes) -> Behaviour:
    """Answers the startup packet with these bytes, and then keeps still."""

    def behave(server: Rogue, channel: socket.socket) -> None:
        server.startup(channel)
        channel.sendall(data)
        while True:
            server.read(channel)

    return behave


def lets_in(then: Behaviour) -> Behaviour:
    """Lets everybody in without a password and takes the session's settings, then misbehaves on marked queries."""

    def behave(server: Rogue, channel: socket.socket) -> None:
        server.startup(channel)
        channel.sendall(AUTH_OK + PARAMETERS + READY)
        while True:
            data = server.read(channel)
            if b"MISBEHAVE" in data:
                then(server, channel)
            else:
                reply(channel, data)

    return behave


def reply(channel: socket.socket, data: bytes) -> None:
    """Say yes to whatever a session asks when it opens, in one column that is empty."""
    parsed = message(b"1") if data[:1] == b"P" else b""
    if b"set_config" in data or b"current_setting" in data:
        row = message(b"D", struct.pack("!HI", 1, 0))
        channel.sendall(parsed + message(b"2") + ONE_TEXT_COLUMN + row + message(b"C", b"SELECT 1\0") + READY)
    elif b"B\0" in data:
        channel.sendall(parsed + message(b"2") + message(b"n") + message(b"C", b"BEGIN\0") + READY)
    else:
        channel.sendall(parsed + message(b"t", b"\0\0") + message(b"n") + READY)
