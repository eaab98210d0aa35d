"""`manage.py up`: the whole site in one terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

import psutil
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from servicevault import embedded
from servicevault.wording import say

STOP_TIMEOUT_SECONDS = 20  # a slice of a job takes seconds; what is cut off resumes at its checkpoint
COLOURS = (36, 33, 35, 32)  # cyan, yellow, magenta, green: ECMA-48 foreground


class Command(BaseCommand):
    help = say("Migrate, then run web, worker and scheduler until Ctrl-C.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help=say("address to listen on (default: this machine only)")
        )
        parser.add_argument("--port", type=int, default=8000, help=say("port of the web server (default: 8000)"))

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        data_dir = embedded.data_directory()
        with only_one(data_dir):
            end_left_over(data_dir)
            check_port_is_free(host, port)
            call_command("migrate", interactive=False, verbosity=min(options["verbosity"], 1))
            self.stdout.write(say("Service Vault at http://{host}:{port}/ - stop with Ctrl-C", host=host, port=port))
            supervisor = Supervisor(commands(host, port), out=sys.stdout, pid_file=pid_file(data_dir))
            try:
                exit_status = supervisor.run()
            finally:
                stop_idle_servers()
        if exit_status:
            raise SystemExit(exit_status)


def commands(host: str, port: int) -> dict[str, list[str]]:
    """Return the command line of each process by its name."""
    celery = [sys.executable, "-m", "celery", "-A", "servicevault"]
    return {
        "web": [
            *(sys.executable, "-m", "uvicorn", "servicevault.asgi:application"),
            *("--host", host, "--port", str(port), "--timeout-graceful-shutdown", "5"),
            *("--ws-max-size", "65536"),  # bytes of a frame that a client sends; ours are sentences
        ],
        "worker": [*celery, "worker", "--loglevel", "INFO"],
        # No pid file: beat would refuse to start after a crash left one behind.
        "beat": [
            *(*celery, "beat", "--loglevel", "INFO", "--pidfile", ""),
            *("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"),
        ],
    }


@dataclass
class Supervisor:
    """Runs processes side by side: their output prefixed, all ended together."""

    commands: dict[str, list[str]]
    out: IO[str]
    pid_file: Path  # lists the children, so that the next start can end those of a killed one
    children: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _signals: int = 0
    _write_lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> int:
        """Return 0 after SIGINT or SIGTERM, else the exit status of the process that ended first (never 0)."""
        with self._handling_signals():
            try:
                readers = [self._start(name, number) for number, name in enumerate(self.commands)]
                exit_status = self._watch()
            finally:
                self._stop()
        for reader in readers:
            reader.join(timeout=2)
        return exit_status

    def _start(self, name: str, number: int) -> threading.Thread:
        child = subprocess.Popen(
            self.commands[name],
            cwd=embedded.PROJECT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches only us; each child is then asked once, in order
        )
        self.children[name] = child
        self.pid_file.write_text(json.dumps([process.pid for process in self.children.values()]))
        reader = threading.Thread(target=self._relay, args=(name, number, child), daemon=True)
        reader.start()
        return reader

    def _relay(self, name: str, number: int, child: subprocess.Popen[str]) -> None:
        prefix = f"{name:<{max(map(len, self.commands))}} | "
        if self.out.isatty():
            prefix = f"\033[{COLOURS[number % len(COLOURS)]}m{prefix}\033[0m"
        for line in child.stdout or ():
            with self._write_lock:
                self.out.write(f"{prefix}{line.rstrip()}\n")
                self.out.flush()

    def _watch(self) -> int:
        while not self._signals:
            for name, child in self.children.items():
                status = child.poll()
                if status is not None:
                    shell_status = 128 - status if status < 0 else status
                    self._announce(
                        say(
                            "{name} ended with status {shell_status}; stopping the others",
                            name=name,
                            shell_status=shell_status,
                        )
                    )
                    return shell_status or 1
            time.sleep(0.1)
        self._announce("stopping")
        return 0

    def _stop(self) -> None:
        running = [child for child in self.children.values() if child.poll() is None]
        for child in running:
            child.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        asked = self._signals
        while any(child.poll() is None for child in running) and time.monotonic() < deadline:
            if self._signals > asked:  # a second Ctrl-C: now
                break
            time.sleep(0.05)
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # also what a child left in its session
            child.wait()
        self.pid_file.unlink(missing_ok=True)

    def _announce(self, text: str) -> None:
        with self._write_lock:
            self.out.write(f"{text}\n")
            self.out.flush()

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        previous = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def pid_file(data_dir: Path) -> Path:
    return data_dir / "up.json"


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Refuse a second `up` on the same data directory. The lock ends with its process, so it is never stale."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with open(data_dir / "up.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                say("Service Vault is already up with {data_dir}. Stop that one first (Ctrl-C).", data_dir=data_dir)
            ) from None
        yield


def end_left_over(data_dir: Path) -> None:
    """End the children of an `up` that was killed; a recorded number that is another process now is left alone."""
    try:
        recorded = json.loads(pid_file(data_dir).read_text())
    except (FileNotFoundError, ValueError):
        return
    left_over = [pid for pid in recorded if _is_ours(pid)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left_over:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while any(_is_ours(pid) for pid in left_over) and time.monotonic() < deadline:
            time.sleep(0.05)
    pid_file(data_dir).unlink(missing_ok=True)


def _is_ours(pid: int) -> bool:
    """Say whether `pid` leads a session and runs one of our command lines."""
    try:
        process = psutil.Process(pid)
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and os.getsid(pid) == pid and "servicevault" in " ".join(process.cmdline())
    except (psutil.Error, ProcessLookupError):
        return False


def check_port_is_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                say(
                    "Cannot listen on {host}:{port}: {strerror}. Choose another port: manage.py up --port {other_port}",
                    host=host,
                    port=port,
                    strerror=error.strerror,
                    other_port=port + 1,
                )
            ) from error


def stop_idle_servers() -> None:
    """Stop the embedded servers unless somebody else, for example a test run, is using the database."""
    services = embedded.addresses()
    uses_database = os.environ.get("DATABASE_URL") == services.database_url
    if not uses_database and os.environ.get("REDIS_URL") != services.redis_url:
        return
    if uses_database:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            (others,) = cursor.fetchone()
        connection.close()
        if others:
            return
    embedded.stop()
