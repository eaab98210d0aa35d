"""The embedded Valkey."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

from servicevault.embedded.folder import (
    LOOPBACK,
    REMEDY,
    EmbeddedError,
    free_port,
    keep_log_short,
    known_ports,
    remember_port,
    secret,
    tail,
)
from servicevault.embedded.installation import Account, Installation, Programs
from servicevault.embedded.processes import end, end_orphans, processes_in

PORT_ATTEMPTS = 5
NAME = "valkey-server"


def start(installation: Installation, account: Account, programs: Programs) -> None:
    end_orphans(installation.valkey_dir, "valkey-server")
    if not installation.valkey_dir.exists():
        installation.valkey_dir.mkdir(mode=0o700)
        os.chown(installation.valkey_dir, account.uid, account.gid)
    keep_log_short(installation.valkey_dir / "valkey.log")
    port = free_port(known_ports(installation.data_dir)["valkey"])
    for _ in range(PORT_ATTEMPTS):
        result = account.run(
            [str(programs.valkey), "-"], cwd=installation.valkey_dir, text_in=_settings(installation, port)
        )
        if result.returncode != 0:
            raise EmbeddedError(f"Valkey did not start. {REMEDY}\n{result.stdout}")
        remember_port(installation.data_dir, "valkey", port)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if answers(installation):
                return
            time.sleep(0.02)
        end_orphans(installation.valkey_dir, "valkey-server")
        port = free_port()
    raise EmbeddedError(f"Valkey did not answer. {REMEDY}\n{tail(installation.valkey_dir / 'valkey.log')}")


def _settings(installation: Installation, port: int) -> str:
    """Return the configuration, passed on standard input so that the password is in no file and no argument.

    Nothing is persisted: the database is the truth about every job, a message lost with the broker is sent again
    from it, and a stale queue after a crash would only repeat work.
    """
    return "\n".join(
        [
            f"bind {LOOPBACK}",
            f"port {port}",
            f"requirepass {secret('VALKEY_PASSWORD', data_dir=installation.data_dir)}",
            'save ""',
            "appendonly no",
            "daemonize yes",
            "pidfile valkey.pid",
            "logfile valkey.log",
            "loglevel warning",
            "",
        ]
    )


def answers(installation: Installation) -> bool:
    """Say whether our server answers: only it knows the generated password."""
    with contextlib.suppress(OSError, EmbeddedError):
        port = known_ports(installation.data_dir)["valkey"]
        password = secret("VALKEY_PASSWORD", data_dir=installation.data_dir)
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            answer = b""
            while received := connection.recv(256):
                answer += received
        return answer.startswith(b"+OK\r\n+PONG\r\n")
    return False


def running(installation: Installation) -> int | None:
    """Return the process id of our server, None when it does not answer."""
    if not answers(installation):
        return None
    return next(iter(processes_in(installation.valkey_dir, NAME)), None)


def stop(installation: Installation) -> None:
    end(processes_in(installation.valkey_dir, NAME), signal.SIGTERM, signal.SIGKILL)
