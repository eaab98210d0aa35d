"""The data directory: its lock, its private files, the remembered ports and the generated secrets."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
LOOPBACK = "127.0.0.1"
MEGABYTE = 1 << 20
REMEDY = "Set SERVICEVAULT_DATA_DIR to another folder, or DATABASE_URL and REDIS_URL to servers of your own."

SECRETS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    "FIELD_ENCRYPTION_KEYS": lambda: base64.urlsafe_b64encode(os.urandom(32)).decode(),  # a Fernet key
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "VALKEY_PASSWORD": lambda: secrets.token_urlsafe(24),
    "DEMO_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
}


class EmbeddedError(RuntimeError):
    """The embedded servers cannot run here; the text says why and what to do."""


def data_directory(given: Path | None = None) -> Path:
    """Return the folder of everything embedded: `given`, else SERVICEVAULT_DATA_DIR, else `.data` in the project."""
    chosen = given or Path(os.environ.get("SERVICEVAULT_DATA_DIR") or ".data")
    return Path(os.path.realpath(PROJECT / chosen))


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    make_dir(data_dir)
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        raise EmbeddedError(
            f"{data_dir} belongs to another user. Run as that user, or set SERVICEVAULT_DATA_DIR to a folder of your own."
        ) from error
    try:
        _give_to_owner(descriptor, data_dir)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # closing releases the lock, as does the end of a killed process


def secret(name: str, *, data_dir: Path | None = None) -> str:
    """Return the secret kept under `name` (see SECRETS), generated on first use and readable by its owner only."""
    generate = SECRETS[name]
    data_dir = data_directory(data_dir)
    path = data_dir / "secrets" / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        make_dir(data_dir)
        make_dir(path.parent, mode=0o700)
    except PermissionError as error:
        raise EmbeddedError(
            f"{path} belongs to another user. Run as that user, or set SERVICEVAULT_DATA_DIR to a folder of your own."
        ) from error
    draft = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
    write_private(draft, generate())
    try:
        # A link is made once or not at all: of two processes that generate, both read the winner's value.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


def known_ports(data_dir: Path) -> dict[str, int]:
    """Return the remembered ports, choosing free ones the first time."""
    path = data_dir / "ports.json"
    with contextlib.suppress(FileNotFoundError, ValueError):
        ports = json.loads(path.read_text())
        return {"postgres": int(ports["postgres"]), "valkey": int(ports["valkey"])}
    ports = {"postgres": free_port(), "valkey": free_port()}
    make_dir(data_dir)
    replace_private(path, json.dumps(ports))
    return ports


def remember_port(data_dir: Path, server: str, port: int) -> None:
    ports = known_ports(data_dir)
    if ports[server] != port:
        replace_private(data_dir / "ports.json", json.dumps(ports | {server: port}))


def free_port(wanted: int = 0) -> int:
    """Return `wanted` when nothing listens there, else a port the system picks."""
    with socket.socket() as probe:
        # As both servers do: without it a port in TIME_WAIT after a restart looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


def make_dir(path: Path, *, mode: int = 0o711) -> None:
    """Create `path`; started by root it belongs to whoever owns the folder around it."""
    if not path.parent.exists():
        make_dir(path.parent)
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        return
    except OSError as error:
        raise EmbeddedError(
            f"Cannot create {path}: {error.strerror}. Set SERVICEVAULT_DATA_DIR to a folder you may write to, "
            "or set DATABASE_URL and REDIS_URL to use servers of your own."
        ) from error
    path.chmod(mode)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        with contextlib.suppress(OSError):  # a network folder may refuse; the reach check below decides
            os.chown(path, owner.st_uid, owner.st_gid)


def _give_to_owner(target: int | Path, folder: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        with contextlib.suppress(OSError):
            os.chown(target, owner.st_uid, owner.st_gid)


def write_private(path: Path, text: str) -> None:
    """Write a new private file; fails when `path` exists, so a planted link is never followed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        _give_to_owner(handle.fileno(), path.parent)


def replace_private(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    write_private(draft, text)
    draft.replace(path)


def keep_log_short(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > 10 * MEGABYTE:
            path.replace(path.with_suffix(".log.1"))


def tail(path: Path, *, max_bytes: int = 4000) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes()[-max_bytes:].decode(errors="replace")
    return ""


def announce(text: str) -> None:
    print(f"service vault: {text}", file=sys.stderr)
