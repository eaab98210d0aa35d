"""Files are read in a child process: one that dies, hangs or wants too much is a rejected file, never a dead worker."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from servicevault.tabular import readers
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import DEFAULT, Limits
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.readers import Reader
from servicevault.tabular.records import Detection, Inspection, Notice, Reading, inspection_from_wire, record_from_wire
from servicevault.wording import from_wire, say

CHILD = Path(__file__).with_name("child.py")
LENGTH = struct.Struct(">I")
CHUNK = 1024 * 1024
LONGEST_FRAME = 256 * 1024 * 1024
ADVICE = say("Open it in its program, save it again, and send that file.")


def inspect(file: IO[bytes], options: ReadOptions, limits: Limits = DEFAULT) -> Inspection:
    """Return the parse result of F-026. `file` must be a real file. Raises FileRejected."""
    with _child("inspect", file, options, limits) as frames:
        for frame in frames:
            return inspection_from_wire(frame["inspection"])
    raise FileRejected(
        say("Reading the file gave no result. Open it in its program, save it again, and send that file.")
    )


@contextmanager
def opened(file: IO[bytes], options: ReadOptions, limits: Limits = DEFAULT) -> Iterator[tuple[Detection, Reading]]:
    """Yield what the file is and its records, as `detection.opened` does, read by a child.

    Records before the place of a rejection are delivered, then FileRejected is raised.
    """
    with _child("read", file, options, limits) as frames:
        found = _detection(next(frames)["detection"])
        reading = Reading([], iter(()))
        first = next(frames)
        _extend(reading, first)
        reading.records = _records(first, frames, reading)
        yield found, reading


@dataclass
class Lines:
    """An open file as lines of COPY. `headers`, `notices` and `count` grow while `blocks` are taken."""

    blocks: Iterator[bytes]
    headers: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    count: int = 0


@contextmanager
def lines(file: IO[bytes], options: ReadOptions, limits: Limits = DEFAULT) -> Iterator[tuple[Detection, Lines]]:
    """Yield what the file is and its records as `lines.copy_line` writes them; no record becomes an object here.

    Blocks before the place of a rejection are delivered, then FileRejected is raised.
    """
    with _child("lines", file, options, limits) as frames:
        found = _detection(next(frames)["detection"])
        reading = Lines(iter(()))
        reading.blocks = _blocks(frames, reading)
        yield found, reading


def _blocks(frames: Iterator[dict[str, Any]], reading: Lines) -> Iterator[bytes]:
    for frame in frames:
        if "block" in frame:
            if frame["block"]:
                yield frame["block"]
            continue
        reading.headers.extend(frame["headers"])
        reading.notices.extend(Notice(*each) for each in frame["notices"])
        reading.count = frame["count"]


def _detection(parts: dict[str, Any]) -> Detection:
    inspection = {"detection": parts, "headers": [], "sample": [], "total_rows": 0, "total_rows_exact": True}
    return inspection_from_wire({**inspection, "notices": []}).detection


def _records(first: dict[str, Any], frames: Iterator[dict[str, Any]], reading: Reading) -> Iterator[Any]:
    yield from map(record_from_wire, first["records"])
    for frame in frames:
        _extend(reading, frame)
        yield from map(record_from_wire, frame["records"])


def _extend(reading: Reading, frame: dict[str, Any]) -> None:
    reading.headers.extend(frame["headers"])
    reading.notices.extend(Notice(*each) for each in frame["notices"])


def own_descriptor(file: IO[bytes]) -> int:
    """A descriptor for another process, to be closed here: its reading position is not ours, and ours may be closed."""
    if Path("/proc/self/fd").exists():
        return os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)
    return os.dup(file.fileno())


@contextmanager
def _child(want: str, file: IO[bytes], options: ReadOptions, limits: Limits) -> Iterator[Iterator[dict[str, Any]]]:
    """Start a child and yield its frames; whatever happens, it is gone afterwards."""
    descriptor = own_descriptor(file)
    try:
        reader = readers.start(CHILD, descriptor)
    finally:
        os.close(descriptor)
    try:
        _send(reader, {"want": want, "file": readers.FILE, "options": asdict(options), "limits": asdict(limits)})
        yield _Frames(reader, limits).frames()
    finally:
        reader.end()


def _send(reader: Reader, request: dict[str, Any]) -> None:
    try:
        reader.stdin.write(json.dumps(request).encode() + b"\n")
        reader.stdin.flush()
    except BrokenPipeError:
        pass  # it is dead already; reading its frames says of what


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        frame = json.loads(data)
    except ValueError as error:
        raise FileRejected(
            say("The file cannot be read: its reader lost its way. {advice}", advice=ADVICE), code="reader_died"
        ) from error
    if not isinstance(frame, dict):
        raise FileRejected(
            say("The file cannot be read: its reader lost its way. {advice}", advice=ADVICE), code="reader_died"
        )
    return frame


class _Frames:
    """Takes frames off the pipe and watches over time and amount."""

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self._reader = reader
        self._limits = limits
        self._buffer = bytearray()
        self._waited = 0.0
        self._taken = 0

    def frames(self) -> Iterator[dict[str, Any]]:
        """Yield what the child sends until it says that it is done."""
        while True:
            (length,) = LENGTH.unpack(self._take(LENGTH.size))
            if length > LONGEST_FRAME:
                raise FileRejected(
                    say(
                        "Reading the file gave a piece of more than {longest_frame} MB. {advice}",
                        longest_frame=LONGEST_FRAME >> 20,
                        advice=ADVICE,
                    )
                )
            data = self._take(length)
            if data[:1] == b"\n":
                yield {"block": data[1:]}
                continue
            frame = _decoded(data)
            if "rejected" in frame:
                raise FileRejected(from_wire(frame["rejected"]), code=frame["code"], line=frame["line"])
            if "end" in frame:
                return
            yield frame

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += self._more()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _more(self) -> bytes:
        started = time.monotonic()
        patience = min(self._limits.silence_seconds, self._limits.wait_seconds - self._waited)
        waiting = select.poll()  # select() knows no descriptor above 1,023
        waiting.register(self._reader.stdout, select.POLLIN)
        ready = waiting.poll(max(0.0, patience) * 1000)
        self._waited += time.monotonic() - started
        if not ready:
            raise FileRejected(
                say(
                    "Reading the file took too long: nothing came for {patience:,.0f} seconds. {advice}",
                    patience=patience,
                    advice=ADVICE,
                ),
                code="timeout",
            )
        data = os.read(self._reader.stdout.fileno(), CHUNK)
        if not data:
            raise self._death()
        self._taken += len(data)
        if self._taken > self._limits.output_bytes:
            raise FileRejected(
                say(
                    "The file holds more than {output_bytes:,} MB of data. Split it and send the parts.",
                    output_bytes=self._limits.output_bytes >> 20,
                ),
                code="size",
            )
        return data

    def _death(self) -> FileRejected:
        """Return why the child ended without a word."""
        code = self._reader.wait()
        if code in {-signal.SIGXCPU, -signal.SIGKILL}:
            cause = say("it took more than {cpu_seconds} seconds of computing", cpu_seconds=self._limits.cpu_seconds)
        elif code in {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS}:
            cause = say(
                "its reader broke down ({signals}), mostly because it asked for too much memory",
                signals=signal.Signals(-code).name,
            )
        else:
            cause = say("its reader ended with code {code}", code=code)
            if words := self._last_words():
                cause = say("its reader ended with code {code} ({words})", code=code, words=words)
        return FileRejected(
            say("The file cannot be read: {cause}. {advice}", cause=cause, advice=ADVICE), code="reader_died"
        )

    def _last_words(self) -> str:
        """Return the last line of the child's error output, which names a fault of ours."""
        os.set_blocking(self._reader.stderr.fileno(), False)
        lines = (self._reader.stderr.read() or b"").decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""
