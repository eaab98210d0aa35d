"""The process that readers are forked from, so that each has its libraries at once and none of our memory.

Run by `readers` as a program of its own, with an empty environment: `nursery.py <control socket> <program>`. It never
touches a file itself. A byte `n` on the socket brings the descriptors of a new reader (its file, standard input,
output and error, and where its exit status goes) and is answered with its process id; `k` and such an id kills it.
It ends with the socket, and when nothing was asked of it for a while.
"""

from __future__ import annotations

import fcntl
import gc
import os
import runpy
import select
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress

PID = STATUS = struct.Struct(">i")
DESCRIPTORS = 5
FILE = 3  # the descriptor at which a reader finds its file
IDLE_SECONDS = 300


class Nursery:
    """Forks readers of one program and says how each of them ended."""

    def __init__(self, control: socket.socket, program: str) -> None:
        self._control = control
        self._program = program
        self._readers: dict[int, int] = {}  # process id → descriptor that takes its status

    def run(self) -> None:
        """Do as the socket says until it closes."""
        ended, wakeup = os.pipe()
        os.set_blocking(ended, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.register(ended, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in waiting.poll(None if self._readers else IDLE_SECONDS * 1000)}
            if ended in ready:
                os.read(ended, 4096)
            self._bury()
            if self._control.fileno() in ready and not self._obey():
                break
            if not ready and not self._readers:
                break
        for pid in self._readers:
            os.kill(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        order, descriptors, _, _ = socket.recv_fds(self._control, 1, DESCRIPTORS)
        if order == b"n":
            self._control.sendall(PID.pack(self._fork(descriptors)))
        elif order == b"k":
            (pid,) = PID.unpack(self._control.recv(PID.size, socket.MSG_WAITALL))
            if pid in self._readers:  # else it ended by itself, and the number may be somebody else's by now
                os.kill(pid, signal.SIGKILL)
        return bool(order)

    def _fork(self, descriptors: list[int]) -> int:
        *own, status = descriptors
        pid = os.fork()
        if pid == 0:
            self._live(own)
        for descriptor in own:
            os.close(descriptor)
        self._readers[pid] = status
        return pid

    def _live(self, descriptors: list[int]) -> None:
        """Be a reader: nothing but its own descriptors is open, and what it runs is its only program."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 16) for descriptor in descriptors]
            for descriptor, place in zip(aside, (FILE, 0, 1, 2), strict=True):
                os.dup2(descriptor, place)
            os.closerange(FILE + 1, os.sysconf("SC_OPEN_MAX"))
            runpy.run_path(self._program, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        """Tell of every reader that ended."""
        while self._readers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            place = self._readers.pop(pid)
            with suppress(BrokenPipeError):  # who asked is gone
                os.write(place, STATUS.pack(os.waitstatus_to_exitcode(status)))
            os.close(place)


def main() -> None:
    """Load what readers need, then fork them on demand."""
    control, program = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    sys.argv = [program]
    runpy.run_path(program)
    gc.freeze()  # readers share this memory; a collection would copy it
    Nursery(control, program).run()


if __name__ == "__main__":
    main()
