"""`manage.py up`: several processes as one, ended together."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from django.core.management.base import CommandError

from servicevault.management.commands import up

SLEEP = [sys.executable, "-c", "import time; print('servicevault waits', flush=True); time.sleep(60)"]


def supervisor(tmp_path: Path, **commands: list[str]) -> up.Supervisor:
    return up.Supervisor(commands, out=io.StringIO(), pid_file=tmp_path / "up.json")


def output_of(running: up.Supervisor) -> str:
    assert isinstance(running.out, io.StringIO)
    return running.out.getvalue()


def signal_us_when(running: up.Supervisor, text: str, number: int) -> None:
    def wait_and_signal() -> None:
        deadline = time.monotonic() + 10
        while text not in output_of(running) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait_and_signal, daemon=True).start()


@pytest.mark.req("G38")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_all_children_on_a_signal(tmp_path: Path, number: int) -> None:
    running = supervisor(tmp_path, web=SLEEP, worker=SLEEP)
    signal_us_when(running, "worker | servicevault waits", number)

    assert running.run() == 0
    assert [child.returncode for child in running.children.values()] == [-signal.SIGTERM] * 2
    assert not (tmp_path / "up.json").exists()


def test_it_prefixes_each_line_with_the_name_of_its_process(tmp_path: Path) -> None:
    running = supervisor(tmp_path, web=[sys.executable, "-c", "print('one'); print('two')"], worker=SLEEP)
    running.run()
    assert "web    | one\nweb    | two\n" in output_of(running)


@pytest.mark.req("G38")
@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_it_stops_the_others_when_one_dies(tmp_path: Path, code: str, status: int) -> None:
    running = supervisor(tmp_path, web=SLEEP, worker=[sys.executable, "-c", code])

    assert running.run() == status
    assert f"worker ended with status {status}" in output_of(running)
    assert running.children["web"].returncode == -signal.SIGTERM


@pytest.mark.req("G38")
def test_it_says_when_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(CommandError, match=f"Cannot listen on 127.0.0.1:{port}: .*--port {port + 1}"):
            up.check_port_is_free("127.0.0.1", port)


@pytest.mark.req("G38")
def test_it_refuses_to_be_up_twice(tmp_path: Path) -> None:
    with up.only_one(tmp_path), pytest.raises(CommandError, match="already up"), up.only_one(tmp_path):
        pass


@pytest.mark.req("G38")
def test_it_ends_what_a_killed_one_left_behind(tmp_path: Path) -> None:
    left_over = subprocess.Popen(SLEEP, start_new_session=True, stdout=subprocess.PIPE)
    assert left_over.stdout is not None
    left_over.stdout.readline()  # it runs: before that, its command line may be empty
    (tmp_path / "up.json").write_text(json.dumps([left_over.pid]))

    up.end_left_over(tmp_path)

    assert left_over.wait(timeout=5) == -signal.SIGTERM
    left_over.stdout.close()
    assert not (tmp_path / "up.json").exists()


@pytest.mark.req("G38")
def test_it_leaves_a_stranger_with_a_recorded_number_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as stranger:
        (tmp_path / "up.json").write_text(json.dumps([stranger.pid, 2**22 + 1]))

        up.end_left_over(tmp_path)

        assert psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE
        assert stranger.poll() is None
        stranger.kill()
