"""The child that reads one file under limits. Run by `nursery` in a process of its own, never imported by `sandbox`.

Standard input brings one JSON line (the request), the file comes as an open descriptor, standard output takes frames:
four bytes of length, then JSON. It has no environment, no network of ours and no database.
"""

from __future__ import annotations

import codecs
import heapq  # noqa: F401 - Counter imports it on first use, when this process may not read files any more
import json
import os
import resource
import struct
import sys
import types
from pathlib import Path
from typing import Any

if "servicevault" not in sys.modules:
    # Started by its path and without an environment, this program finds the project nowhere.
    root = Path(__file__).resolve().parent.parent
    package = types.ModuleType("servicevault")
    package.__path__ = [str(root)]
    sys.modules["servicevault"] = package

from servicevault.tabular import detection
from servicevault.tabular.encoding import DETECTED_ENCODINGS
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.lines import RowTexts, copy_line
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.records import to_wire
from servicevault.wording import say
from servicevault.wording import to_wire as text_to_wire

NOBODY = 65_534
USED_BY_LIBRARIES = ("cp437", "ascii", "idna")  # zipfile reads names of members in the first
BATCH_ROWS = 500
BATCH_CHARS = 512 * 1024
LENGTH = struct.Struct(">I")


def restrict(limits: Limits) -> None:
    """Take from this process what reading a file does not need; for good."""
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
    ):
        _, hard = resource.getrlimit(kind)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))
    if os.geteuid() == 0:
        _become_nobody()


def _become_nobody() -> None:
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except PermissionError:
        return  # a container whose root may not change users: the limits hold all the same
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


class Frames:
    """Writes frames to the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, **frame: Any) -> None:
        """Send one frame whole."""
        self._send(json.dumps(frame).encode())

    def send_block(self, data: bytes) -> None:
        """Send bytes as they are; the line end before them tells them from JSON."""
        self._send(b"\n" + data)

    def _send(self, data: bytes) -> None:
        data = LENGTH.pack(len(data)) + data
        while data:
            data = data[os.write(self._descriptor, data) :]


def serve(request: dict[str, Any], frames: Frames) -> None:
    """Read the file as requested; a rejection is a frame like any other."""
    limits = Limits(**request["limits"])
    options = ReadOptions(**{**request["options"], "null_values": tuple(request["options"]["null_values"])})
    try:
        with os.fdopen(request["file"], "rb") as stream:
            if request["want"] == "inspect":
                frames.send(inspection=to_wire(detection.inspect(stream, options, limits)))
            elif request["want"] == "lines":
                send_lines(stream, options, limits, frames)
            else:
                send_records(stream, options, limits, frames)
        frames.send(end=True)
    except FileRejected as error:
        frames.send(rejected=text_to_wire(error.message), code=error.code, line=error.line)
    except MemoryError:
        most = limits.memory_bytes // (1024 * 1024)
        frames.send(
            rejected=text_to_wire(say("Reading the file needs more than {most} MB of memory.", most=most)),
            code="memory",
            line=0,
        )
    except RecursionError:
        frames.send(rejected=text_to_wire(say("The file is nested too deep.")), code="file_rejected", line=0)


def send_records(stream: Any, options: ReadOptions, limits: Limits, frames: Frames) -> None:
    """Send the records in batches, with the headers and notices that are new since the last."""
    with detection.opened(stream, options, limits) as (found, reading):
        frames.send(detection=to_wire(found))
        batch: list[Any] = []
        chars = headers = notices = 0
        for record in reading.records:
            batch.append(record)
            chars += sum(map(len, filter(None, record.cells)))
            if len(batch) >= BATCH_ROWS or chars >= BATCH_CHARS:
                frames.send(headers=reading.headers[headers:], notices=reading.notices[notices:], records=batch)
                headers, notices, batch, chars = len(reading.headers), len(reading.notices), [], 0
        frames.send(headers=reading.headers[headers:], notices=reading.notices[notices:], records=batch)


def send_lines(stream: Any, options: ReadOptions, limits: Limits, frames: Frames) -> None:
    """Send the records as lines of COPY, in blocks, with the headers and notices that are new since the last."""
    with detection.opened(stream, options, limits) as (found, reading):
        frames.send(detection=to_wire(found))
        lines: list[str] = []
        chars = headers = notices = count = 0
        as_json = RowTexts(reading.headers)
        for record in reading.records:
            line = copy_line(record, as_json)
            lines.append(line)
            chars += len(line)
            if chars >= BATCH_CHARS:
                count += len(lines)
                frames.send_block("".join(lines).encode("utf-8", "replace"))
                frames.send(headers=reading.headers[headers:], notices=reading.notices[notices:], count=count)
                headers, notices, lines, chars = len(reading.headers), len(reading.notices), [], 0
        frames.send_block("".join(lines).encode("utf-8", "replace"))
        frames.send(headers=reading.headers[headers:], notices=reading.notices[notices:], count=count + len(lines))


def main() -> None:
    """Take the request, give away what is not needed, read."""
    request = json.loads(sys.stdin.buffer.readline())
    # Codecs are modules, loaded on first use: nobody may not be able to read them then.
    for encoding in filter(None, (*DETECTED_ENCODINGS, *USED_BY_LIBRARIES, request["options"]["encoding"])):
        codecs.lookup(encoding)
    restrict(Limits(**request["limits"]))
    serve(request, Frames(sys.stdout.fileno()))


if __name__ == "__main__":
    main()
