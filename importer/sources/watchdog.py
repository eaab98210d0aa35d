"""The limit a server cannot lift: when a deadline passes, our side of the socket is shut."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator

LOOK_EVERY_SECONDS = 0.1
TCPI_BYTES_RECEIVED = 128  # offset of tcpi_bytes_received in struct tcp_info, Linux 4.1 and newer


class Watchdog:
    """Watches one open connection from a thread of its own, and cuts it at the deadline of the call in progress.

    Server-side timeouts belong to the server, and closing a result drains it first: against a
    server that hangs or never ends, only the socket obeys us. A duplicate of the descriptor is
    held for the whole life, so a cut can never hit a descriptor that was given to another file.
    """

    def __init__(self, descriptor: int, *, max_silent_bytes: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._max_silent_bytes = max_silent_bytes
        self._due: float | None = None
        self._bytes_at_start = 0
        self._wake = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.expired = False  # a deadline passed
        self.flooded = False  # more bytes came than one chunk may have
        self.was_cut = False  # for whatever reason

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Cut the connection unless the block ends within `seconds`."""
        with self._wake:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="source-watchdog", daemon=True)
                self._thread.start()
            self._bytes_at_start = self.received_bytes()
            was_idle, self._due = self._due is None, time.monotonic() + seconds
            if was_idle:
                self._wake.notify()
        try:
            yield
        finally:
            with self._wake:
                self._due = None

    def received_bytes(self) -> int:
        """Bytes the kernel took in on this connection so far; 0 where it does not say (unix sockets, not Linux)."""
        if sys.platform != "linux":
            return 0
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            return 0
        if len(info) < TCPI_BYTES_RECEIVED + 8:
            return 0
        return int(struct.unpack_from("Q", info, TCPI_BYTES_RECEIVED)[0])

    def cut(self) -> None:
        """Shut the socket in both directions, from any thread; whoever waits on it wakes with an error."""
        self.was_cut = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop watching. The connection itself stays as it is."""
        with self._wake:
            self._closed, self._due = True, None
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1)
        self._socket.close()

    def _watch(self) -> None:
        while True:
            with self._wake:
                if self._closed:
                    return
                due = self._due
                self._wake.wait(None if due is None else max(0.0, min(LOOK_EVERY_SECONDS, due - time.monotonic())))
                due = self._due
                if due is None or self._closed:
                    continue
                self.expired = time.monotonic() >= due
                self.flooded = self.received_bytes() - self._bytes_at_start > self._max_silent_bytes
                if self.expired or self.flooded:
                    self.cut()
                    return
