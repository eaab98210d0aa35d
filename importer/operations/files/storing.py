"""Taking a file in: counted while it streams, kept encrypted, scanned, and recognised by its content."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

from django.conf import settings

from importer.file_failures import MIB, FileRefused, FileTooLarge, ImportInvalid
from permissions.tables import ImportAllowance, allows_format
from servicevault import stored_files
from servicevault.stored_files import Stored
from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected, OptionRefused
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.records import Inspection, to_wire
from servicevault.wording import say

SCAN_SECONDS = 120
PIECE = 256 * 1024


@dataclass(frozen=True)
class Taken:
    """A file that was kept and understood."""

    stored: Stored
    inspection: Inspection


@contextmanager
def kept(content: IO[bytes] | Iterable[bytes], limit_mb: int) -> Iterator[Stored]:
    """Yield the file stored; removed again when the block fails. Raises FileTooLarge."""
    stored = keep(content, limit_mb)
    try:
        yield stored
    except BaseException:
        stored_files.delete(stored.path)
        raise


@contextmanager
def taken(content: IO[bytes] | Iterable[bytes], options: ReadOptions, allowance: ImportAllowance) -> Iterator[Taken]:
    """Yield the file kept and inspected; removed again when the block fails.

    Raises FileTooLarge as soon as too many bytes came, FileRefused, ImportInvalid for an empty file.
    """
    with kept(content, allowance.max_file_size_mb) as stored:
        yield Taken(stored, understood(stored, options, allowance))


def keep(content: IO[bytes] | Iterable[bytes], limit_mb: int) -> Stored:
    """Store the content encrypted. Raises FileTooLarge, then nothing is left of it (F-022)."""
    with stored_files.Writer(settings.IMPORT_TEMP_DIR) as writer:
        for piece in _pieces(content):
            writer.write(piece)
            if writer.size > limit_mb * MIB:
                raise FileTooLarge(writer.size, limit_mb)
    assert writer.stored is not None
    return writer.stored


def understood(stored: Stored, options: ReadOptions, allowance: ImportAllowance) -> Inspection:
    """What the file is. Raises FileRefused, ImportInvalid for an empty file."""
    with stored_files.opened(stored, settings.IMPORT_TEMP_DIR) as file:
        return looked_at(file, options, allowance)


def looked_at(file: IO[bytes], options: ReadOptions, allowance: ImportAllowance) -> Inspection:
    """The same of a real file that need not be stored."""
    _scan(file, allowance)
    try:
        found = sandbox.inspect(file, options)
    except OptionRefused as error:
        raise FileRefused(str(error), allowed_formats=allowance.allowed_formats) from None
    except FileRejected as error:
        if error.code == "empty_file":
            raise ImportInvalid(say("The file is empty."), hint=say("Choose a file with a header and rows.")) from None
        raise FileRefused(error.message, allowed_formats=allowance.allowed_formats) from None
    if not allows_format(allowance, found.detection.format):
        raise FileRefused(
            say("Files of the format {format} are not allowed here.", format=found.detection.format),
            allowed_formats=allowance.allowed_formats,
            hint=say(
                "Allowed: {allowed_formats}.", allowed_formats=", ".join(allowance.allowed_formats) or say("none")
            ),
        )
    return found


def also_ours(allowance: ImportAllowance) -> ImportAllowance:
    """The same for a file that we wrote ourselves of rows that came in: plain CSV, whatever may come from outside."""
    return replace(allowance, allowed_formats=(*allowance.allowed_formats, "csv"))


def detected(found: Inspection) -> dict[str, Any]:
    """What was found out about the file, as it is stored and told."""
    parts: dict[str, Any] = to_wire(found.detection)
    parts.pop("notices", None)
    return parts


def _pieces(content: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    if hasattr(content, "chunks"):  # an uploaded file of Django's
        yield from content.chunks(PIECE)
    elif hasattr(content, "read"):
        while piece := content.read(PIECE):
            yield piece
    else:
        yield from content


def _scan(file: IO[bytes], allowance: ImportAllowance) -> None:
    """Ask the installation's scanner, where there is one (F-085)."""
    if not settings.IMPORT_SCAN_CONTENT or not settings.IMPORT_SCAN_COMMAND:
        return
    descriptor = sandbox.own_descriptor(file)
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)  # where the file stands for us, a buffer may hide
        asked = subprocess.run(
            shlex.split(settings.IMPORT_SCAN_COMMAND),
            stdin=descriptor,
            capture_output=True,
            timeout=SCAN_SECONDS,
            check=False,
        )
        refused = asked.returncode != 0
    except (OSError, subprocess.TimeoutExpired):
        refused = True
    finally:
        os.close(descriptor)
    file.seek(0)
    if refused:
        raise FileRefused(
            say("The scanner of this installation refuses the file."), allowed_formats=allowance.allowed_formats
        )
