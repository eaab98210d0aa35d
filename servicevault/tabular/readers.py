"""Reader processes: started in a hundredth of a second by a nursery of this process, killed and waited for by `Reader`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from servicevault.tabular.nursery import FILE, PID, STATUS
from servicevault.wording import say

__all__ = ["FILE", "Reader", "start"]

NURSERY = Path(__file__).with_name("nursery.py")


@dataclass
class Reader:
    """One reader process. It finds its file at descriptor FILE; the pipes are ours to close."""

    pid: int
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    _status: IO[bytes]
    _parent: subprocess.Popen[bytes]
    _code: int | None = None

    def wait(self) -> int:
        """Wait for its end; returns its exit code, negative for the signal that killed it."""
        if self._code is None:
            told = self._status.read(STATUS.size)
            self._code = STATUS.unpack(told)[0] if len(told) == STATUS.size else -signal.SIGHUP  # its nursery is gone
        return self._code

    def end(self) -> None:
        """Kill it if it still runs, and close its pipes."""
        if self._code is None:
            _nursery.kill(self.pid, self._parent)
            self.wait()
        for pipe in (self.stdin, self.stdout, self.stderr, self._status):
            with suppress(BrokenPipeError):  # what it was still to be told
                pipe.close()


class _Nursery:
    """Our end of the nursery process, which is started when it is needed, and again when it ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self, program: Path, descriptors: list[int]) -> tuple[int, subprocess.Popen[bytes]]:
        """Return the id of a new reader and its parent. Raises OSError when none can be started."""
        with self._lock:
            if self._process is None or self._program != program:
                self._start(program)
            try:
                return self._ask(descriptors)
            except OSError:  # it ended for want of work, or was killed: a new one, once
                self._start(program)
                return self._ask(descriptors)

    def _ask(self, descriptors: list[int]) -> tuple[int, subprocess.Popen[bytes]]:
        assert self._control is not None
        assert self._process is not None
        socket.send_fds(self._control, [b"n"], descriptors)
        told = self._control.recv(PID.size, socket.MSG_WAITALL)
        if len(told) < PID.size:
            raise BrokenPipeError(say("The process that starts the readers of files ended."))
        return int(PID.unpack(told)[0]), self._process

    def _start(self, program: Path) -> None:
        self._leave()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(NURSERY), str(theirs.fileno()), str(program)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={},  # ours holds secrets
                cwd="/",
                start_new_session=True,
            )
        self._program = program

    def _leave(self) -> None:
        """Let it end, which it does with its socket."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait()

    def kill(self, pid: int, parent: subprocess.Popen[bytes]) -> None:
        """Kill a reader of that parent. Nothing happens when it is gone."""
        with self._lock, suppress(OSError):
            if parent is self._process and self._control is not None:
                self._control.sendall(b"k" + PID.pack(pid))

    def forget(self) -> None:
        """In a fork of this process: the nursery is the other's."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.returncode = 0  # not our child: nothing to wait for
        self.__init__()  # type: ignore[misc]


_nursery = _Nursery()
os.register_at_fork(after_in_child=_nursery.forget)


def start(program: Path, file: int) -> Reader:
    """Start a reader that runs `program` on a copy of the descriptor `file`.

    Thread-safe. Costs about 0.01 s; the first of a process, or after five minutes without one, 0.3 s. Raises OSError.
    """
    (their_in, stdin), (stdout, their_out), (stderr, their_err), (status, their_status) = (os.pipe() for _ in range(4))
    try:
        pid, parent = _nursery.fork(program, [file, their_in, their_out, their_err, their_status])
    except OSError:
        for descriptor in (stdin, stdout, stderr, status):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (their_in, their_out, their_err, their_status):
            os.close(descriptor)
    pipes = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"), os.fdopen(stderr, "rb"), os.fdopen(status, "rb")
    return Reader(pid, *pipes, parent)
