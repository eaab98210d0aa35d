"""The child that reads: what it costs, what it may do, how each of its deaths is told."""

from __future__ import annotations

import gc
import gzip
import io
import multiprocessing
import os
import tempfile
import textwrap
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from servicevault.tabular import detection, sandbox
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import MIB, Limits
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.writing import write
from tests.servicevault.tabular.files import EXCEL_97, zipped

DIES = "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), {})"


@contextmanager
def stored(data: bytes) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file


def reader() -> psutil.Process:
    (nursery,) = [each for each in psutil.Process().children() if str(sandbox.CHILD) in each.cmdline()]
    (child,) = nursery.children()
    return child


def child_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    path = tmp_path / "child.py"
    path.write_text("if __name__ == '__main__':\n" + textwrap.indent(program, "    "))
    monkeypatch.setattr(sandbox, "CHILD", path)


@pytest.mark.req("F-052", "F-026")
def test_it_reads_the_same_as_without_a_child() -> None:
    target = io.BytesIO()
    write(target, "json", ["id", "text"], [[number, f"ü\n{number}"] for number in range(1_200)])
    with stored(target.getvalue()) as file:
        with sandbox.opened(file, ReadOptions()) as (found, reading):
            records = list(reading.records)
        with detection.opened(file, ReadOptions()) as (expected_found, expected):
            assert list(expected.records) == records
        assert (found, reading.headers, reading.notices) == (expected_found, expected.headers, expected.notices)
        assert sandbox.inspect(file, ReadOptions()) == detection.inspect(file, ReadOptions())


@pytest.mark.parametrize("name", ["csv", "jsonl", "xlsx", "xml", "yaml", "xls", "csv in zip", "xlsx in gzip"])
def test_it_reads_every_format_in_a_child(name: str) -> None:
    format_name, _, container = name.partition(" in ")
    target = io.BytesIO(EXCEL_97.read_bytes() if name == "xls" else b"")
    if name != "xls":
        write(target, format_name, ["a", "b"], [["ü", 1], [None, date(2024, 1, 1)]])
    data = target.getvalue()
    data = zipped(**{"a.csv": data}) if container == "zip" else gzip.compress(data) if container else data
    with stored(data) as file:
        found = sandbox.inspect(file, ReadOptions())
        assert found == detection.inspect(file, ReadOptions())
    assert (found.detection.format, len(found.sample)) == (format_name, 2)


def test_it_delivers_what_came_before_the_rejection() -> None:
    with (
        stored(b'[{"a": "1"}, {"a": "2"}, {"a": ') as file,
        pytest.raises(FileRejected, match="line 1") as caught,
        sandbox.opened(file, ReadOptions()) as (_, reading),
    ):
        list(reading.records)
    assert caught.value.line == 1


@pytest.mark.parametrize(
    ("program", "cause", "code"),
    [
        (DIES.format(11), "broke down .SIGSEGV", "reader_died"),
        (DIES.format(6), "broke down .SIGABRT", "reader_died"),
        (DIES.format(9), "seconds of computing", "reader_died"),
        ("import sys; sys.exit(3)", "ended with code 3", "reader_died"),
        ("raise ValueError('a fault of ours')", "ValueError: a fault of ours", "reader_died"),
        ("import time; time.sleep(60)", "took too long", "timeout"),
        ("import os; os.write(1, b'\\xff' * 100)", "more than 256 MB", "file_rejected"),
        (
            "import os\nwhile True: os.write(1, b'\\0\\0\\0\\x0a' + b'{\"row\":12}')",
            "more than 1 MB of data",
            "size",
        ),
    ],
)
def test_it_tells_how_its_child_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, cause: str, code: str
) -> None:
    child_that(tmp_path, monkeypatch, program)
    limits = Limits(silence_seconds=2, output_bytes=MIB)
    with (
        stored(b"a\n1\n") as file,
        pytest.raises(FileRejected, match=cause) as caught,
        sandbox._child("read", file, ReadOptions(), limits) as frames,
    ):
        list(frames)
    assert caught.value.code == code


def test_it_stops_what_needs_too_much_memory() -> None:
    limits = Limits(memory_bytes=200 * MIB, record_chars=900 * MIB)
    with stored(b'[{"a": "' + b"x" * 90 * MIB + b'"}]') as file, pytest.raises(FileRejected, match="MB of memory"):
        sandbox.inspect(file, ReadOptions(), limits)


def test_it_stops_what_needs_too_much_time() -> None:
    with (
        stored(b"a,b\n" + b"1,2\n" * 3_000_000) as file,
        sandbox.opened(file, ReadOptions(), Limits(cpu_seconds=1)) as (_, reading),
        pytest.raises(FileRejected, match="seconds of computing"),
    ):
        deque(reading.records, maxlen=0)


def test_a_daemonic_worker_may_use_it() -> None:
    """Celery's prefork workers are daemonic: multiprocessing refuses them children of its own kind."""
    with stored(b"a,b\n1,2\n") as file:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        context = multiprocessing.get_context("spawn")
        worker = context.Process(target=count_records, args=(sender, path), daemon=True)
        worker.start()
        assert receiver.poll(60)
        assert receiver.recv() == 1
        worker.join()


def count_records(sender: Any, path: str) -> None:
    with Path(path).open("rb") as file, sandbox.opened(file, ReadOptions()) as (_, reading):
        sender.send(sum(1 for _ in reading.records))


def test_no_child_outlives_its_reading() -> None:
    with stored(b"a,b\n" + b"1,2\n" * 100_000) as file, sandbox.opened(file, ReadOptions()) as (_, reading):
        next(reading.records)
        child = reader()
    del reading
    gc.collect()
    assert not psutil.pid_exists(child.pid)


def test_its_child_has_no_secrets_and_no_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hush")
    with stored(b"a,b\n" + b"1,2\n" * 200_000) as file, sandbox.opened(file, ReadOptions()) as (_, reading):
        next(reading.records)
        child = reader()
        status = Path(f"/proc/{child.pid}/status").read_text()
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        if os.geteuid() == 0:
            assert "Uid:\t65534\t65534\t65534\t65534" in status
            assert "SECRET_KEY" not in Path(f"/proc/{child.pid}/environ").read_text()
        assert f"{1024 * MIB}" in limits
        names = [Path(os.readlink(link)).name for link in Path(f"/proc/{child.pid}/fd").iterdir()]
        assert not any("socket" in name for name in names)


def test_it_reads_on_after_its_nursery_was_killed() -> None:
    with stored(b"a,b\n1,2\n") as file:
        sandbox.inspect(file, ReadOptions())
        (nursery,) = [each for each in psutil.Process().children() if str(sandbox.CHILD) in each.cmdline()]
        with sandbox.opened(file, ReadOptions()) as (_, reading):
            nursery.kill()
            nursery.wait()
            assert len(list(reading.records)) == 1  # its readers are processes of their own
        assert len(sandbox.inspect(file, ReadOptions()).sample) == 1


def test_threads_and_forks_read_at_once() -> None:
    with stored(b"a,b\n" + b"1,2\n" * 20_000) as file:
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"

        def count(_: int) -> int:
            with Path(path).open("rb") as mine, sandbox.opened(mine, ReadOptions()) as (_, reading):
                return sum(1 for _ in reading.records)

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(count, range(8))) == [20_000] * 8
        pid = os.fork()
        if pid == 0:
            os._exit(0 if count(0) == 20_000 else 1)
        assert count(0) == 20_000
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
