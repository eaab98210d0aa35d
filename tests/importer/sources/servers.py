"""PostgreSQL servers of other versions for tests: whatever is installed here, each started for the tests that ask."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

PROJECT = Path(__file__).resolve().parents[3]
PLACES = (PROJECT / ".data" / "source-servers", Path("/usr/lib/postgresql"))
OWNER, PASSWORD = "owner", "owner-pw"


def installed() -> dict[int, Path]:
    """Major version → directory of its programs: what SOURCE_POSTGRES_BIN lists with colons, then what
    `make servers` fetched, then Debian's."""
    listed = [Path(text) for text in os.environ.get("SOURCE_POSTGRES_BIN", "").split(":") if text]
    found: dict[int, Path] = {}
    for folder in (*listed, *(folder for place in PLACES for folder in sorted(place.glob("*/bin")))):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
            if number := re.search(r"\d+", said.stdout):
                found.setdefault(int(number[0]), folder)
    return dict(sorted(found.items()))


def required() -> list[int]:
    """Versions that SOURCE_VERSIONS names: where one of them is not here, a test fails instead of being skipped."""
    return [int(text) for text in os.environ.get("SOURCE_VERSIONS", "").split()]


@contextmanager
def running(programs: Path) -> Iterator[str]:
    """The URL of a server of these programs with an empty cluster; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="source_server_", dir="/tmp"))
    account = _account()
    try:
        programs = _reachable(programs, folder, account)
        (folder / "pw").write_text(PASSWORD)
        for path in (folder, folder / "pw"):
            if account:
                shutil.chown(path, account["user"], account["group"])
        cluster, port = folder / "data", _free_port()
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", f"--username={OWNER}"]
        subprocess.run(
            [programs / "initdb", "-D", cluster, f"--pwfile={folder / 'pw'}", *options],
            check=True, capture_output=True, cwd=folder, **account,
        )  # fmt: skip
        settings = {
            "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": "16MB", "max_connections": 20,
        }  # fmt: skip
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", cluster, *flags], stdout=log, stderr=log, cwd=folder, **account
            )
        try:
            yield _answering(f"postgresql://{OWNER}:{PASSWORD}@127.0.0.1:{port}/postgres", process)
        finally:
            process.terminate()
            process.send_signal(2)  # SIGINT: whoever is still connected is sent away
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answering(url: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return url


def _reachable(programs: Path, folder: Path, account: dict[str, Any]) -> Path:
    """The programs where the account can run them: a project below /root is closed to it, a copy is not."""
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **account)
    except PermissionError:
        folder.chmod(0o711)
        shutil.copytree(programs.parent, folder / "programs", symlinks=True)
        return folder / "programs" / programs.name
    return programs


def _account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
