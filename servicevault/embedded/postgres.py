"""The embedded PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from servicevault.embedded.folder import (
    LOOPBACK,
    MEGABYTE,
    REMEDY,
    EmbeddedError,
    announce,
    free_port,
    keep_log_short,
    known_ports,
    remember_port,
    secret,
    tail,
    write_private,
)
from servicevault.embedded.installation import Account, Installation, Programs
from servicevault.embedded.processes import end, end_orphans, is_server

ROLE = DATABASE = "servicevault"
START_TIMEOUT_SECONDS = 600  # recovery after a crash may replay gigabytes of WAL
PORT_ATTEMPTS = 5
SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL docs 54.7: answered before any login


@dataclass(frozen=True)
class Postmaster:
    """Our running PostgreSQL, as its pid file describes it."""

    pid: int
    port: int
    state: str  # starting, ready or stopping


def is_settled(installation: Installation) -> bool:
    """Say whether our server runs and accepts connections, after waiting for one that is on its way up or down."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while (postmaster := running(installation.cluster)) and time.monotonic() < deadline:
        if postmaster.state == "ready" and _answers(postmaster.port):
            remember_port(installation.data_dir, "postgres", postmaster.port)
            return True
        time.sleep(0.05)
    return False


def running(cluster: Path) -> Postmaster | None:
    """Return our running server; the pid file is believed only if that process is our server."""
    lines = [line.strip() for line in _pid_file_lines(cluster)]
    if len(lines) < 4 or not lines[0].isdigit() or not lines[3].isdigit():
        return None
    if not is_server(int(lines[0]), "postgres", cluster):
        return None
    return Postmaster(int(lines[0]), int(lines[3]), lines[7] if len(lines) > 7 else "starting")


def start(installation: Installation, account: Account, programs: Programs) -> None:
    end_orphans(installation.cluster, "postgres")
    _clear_foreign_pid_file(installation.cluster)
    _make_cluster(installation, account, programs)
    keep_log_short(installation.postgres_log)
    port = free_port(known_ports(installation.data_dir)["postgres"])
    for attempt in range(PORT_ATTEMPTS):
        options = " ".join(f"-c {name}={value}" for name, value in _settings(installation, port).items())
        result = account.run(
            [
                *(str(programs.postgres / "pg_ctl"), "start", "--wait", "--silent"),
                *("--timeout", str(START_TIMEOUT_SECONDS), "--pgdata", str(installation.cluster)),
                *("--log", str(installation.postgres_log), "--options", options),
            ]
        )
        if result.returncode == 0:
            break
        if is_settled(installation):  # a caller that was killed had started it a moment before
            break
        log = tail(installation.postgres_log)
        if attempt + 1 == PORT_ATTEMPTS or "could not bind" not in log:
            raise EmbeddedError(
                f"PostgreSQL did not start. {REMEDY}\n{result.stdout}\n{installation.postgres_log}:\n{log}"
            )
        port = free_port()
    postmaster = running(installation.cluster)
    port = postmaster.port if postmaster else port
    remember_port(installation.data_dir, "postgres", port)
    _make_database(installation, programs, port)


def _settings(installation: Installation, port: int) -> dict[str, str]:
    """Return settings for bulk loads on one machine.

    Durability stays at PostgreSQL's defaults, unless SERVICEVAULT_VOLATILE says that nothing here is to be kept: tests
    make and drop a hundred databases, each of which would otherwise wait for the disk, and connect ten thousand times.
    """
    volatile = {"fsync": "off", "full_page_writes": "off", **_CHEAP_PASSWORDS}
    return {
        **(volatile if _volatile() else {}),
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "''",  # paths of sockets are limited to 107 bytes, project paths are not
        "port": str(port),
        "max_connections": "200",
        "shared_buffers": f"{max(64, min(512, _memory_bytes() // MEGABYTE // 8))}MB",
        "max_wal_size": f"{max(1, min(8, shutil.disk_usage(installation.servers).free // MEGABYTE // 1024 // 8))}GB",
        "checkpoint_timeout": "20min",
        "wal_compression": "off",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "dynamic_shared_memory_type": _shared_memory_type(),
    }


# A password's strength is the work of each login; of one that nobody else can reach it need not be strong.
_CHEAP_PASSWORDS = {"scram_iterations": "1"}


def _volatile() -> bool:
    return bool(os.environ.get("SERVICEVAULT_VOLATILE"))


def _memory_bytes() -> int:
    """Return the machine's memory, or the container's limit when that is lower."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return machine


def _shared_memory_type() -> str:
    """Return mmap where /dev/shm is absent or as small as containers make it (64 MB): parallel queries would fail."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage("/dev/shm").total >= 256 * MEGABYTE:  # noqa: S108 - measured, not written to
            return "posix"
    return "mmap"


def _make_cluster(installation: Installation, account: Account, programs: Programs) -> None:
    """Create the data directory. It gets its name when complete, so an interrupted initdb leaves only a draft."""
    cluster = installation.cluster
    if (cluster / "PG_VERSION").exists() and (cluster / "global" / "pg_control").exists():
        _check_version(cluster, programs)
        return
    if cluster.exists() and any(cluster.iterdir()):
        aside = cluster.with_name(f"postgres.incomplete-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
        cluster.rename(aside)
        announce(f"{cluster} was no complete database; it is kept as {aside.name} and a new one is made")
    for old_draft in installation.servers.glob("postgres.draft-*"):
        shutil.rmtree(old_draft, ignore_errors=True)
    # A name of its own: the initdb of a killed caller may still be writing into its draft.
    draft = installation.servers / f"postgres.draft-{secrets.token_hex(4)}"
    password_file = installation.servers / f".password-{secrets.token_hex(4)}"
    write_private(password_file, secret("POSTGRES_PASSWORD", data_dir=installation.data_dir))
    try:
        result = account.run(
            [
                *_with_a_name(account),
                str(programs.postgres / "initdb"),
                *("--pgdata", str(draft), "--username", ROLE, "--pwfile", str(password_file)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8"),
                *(f"--set={name}={value}" for name, value in _CHEAP_PASSWORDS.items() if _volatile()),
                # The built-in locale sorts and folds alike on every machine, whatever locales it has.
                *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            ]
        )
    finally:
        password_file.unlink()
    if result.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise EmbeddedError(f"PostgreSQL could not create its data directory. {REMEDY}\n{result.stdout}")
    with contextlib.suppress(FileNotFoundError):
        cluster.rmdir()
    draft.rename(cluster)


def _with_a_name(account: Account) -> list[str]:
    """Return a prefix that gives the account a user name: initdb refuses a uid without one (docker run -u 12345)."""
    try:
        pwd.getpwuid(account.uid)
    except KeyError:
        unshare = shutil.which("unshare")
        if unshare is None:
            raise EmbeddedError(f"User id {account.uid} has no entry in /etc/passwd; initdb needs one.") from None
        nobody = pwd.getpwnam("nobody")
        return [unshare, "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}"]
    return []


def _check_version(cluster: Path, programs: Programs) -> None:
    has = (cluster / "PG_VERSION").read_text().strip()
    control = subprocess.run(
        [str(programs.postgres / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    wanted = control.split()[-1].split(".")[0]
    if has != wanted:
        raise EmbeddedError(
            f"{cluster} was made by PostgreSQL {has}, installed is {wanted}. Dump it with the old version and "
            f"restore it into a new one (pg_dumpall), or move the folder away to start empty."
        )


def _make_database(installation: Installation, programs: Programs, port: int) -> None:
    found = _psql(installation, programs, port, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608
    if found != "1":
        _psql(installation, programs, port, f"CREATE DATABASE {DATABASE}")


def _psql(installation: Installation, programs: Programs, port: int, statement: str) -> str:
    """Run one fixed statement and return its single value; psql spares this module a driver."""
    password = secret("POSTGRES_PASSWORD", data_dir=installation.data_dir)
    result = subprocess.run(
        [
            *(str(programs.postgres / "psql"), "--no-psqlrc", "--no-password", "--tuples-only", "--no-align"),
            *("--host", LOOPBACK, "--port", str(port), "--username", ROLE, "--dbname", "postgres"),
            *("--command", statement),
        ],
        check=False,
        env={"PGPASSWORD": password, "PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        raise EmbeddedError(f"The embedded PostgreSQL refuses us: {result.stderr.strip()} {REMEDY}")
    return result.stdout.strip()


def _pid_file_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _clear_foreign_pid_file(cluster: Path) -> None:
    """Remove a pid file that is garbled, or whose number is now another process or one that is just dying.

    PostgreSQL would take that process for its own server and refuse to start. A pid file whose process is gone is
    left to PostgreSQL, which also checks the shared memory it names.
    """
    lines = _pid_file_lines(cluster)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    with contextlib.suppress(PermissionError):  # another user's process
        try:
            os.kill(pid, 0)  # PostgreSQL's own test: true for a zombie too. 0 is our process group: always there
        except ProcessLookupError:
            return
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _answers(port: int) -> bool:
    """Say whether a server speaks on `port`. A killed one may accept connections for a moment, but never answers."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5) as connection:
            connection.sendall(SSL_REQUEST)
            return connection.recv(1) in {b"N", b"S"}
    except OSError:
        return False


def stop(installation: Installation) -> None:
    postmaster = running(installation.cluster)
    if postmaster:
        # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (docs 18.5).
        end([postmaster.pid], signal.SIGINT, signal.SIGQUIT)
