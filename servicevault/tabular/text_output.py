"""Text written in an encoding; a character it cannot hold is named with its row."""

from __future__ import annotations

import itertools
from typing import IO, NoReturn

from servicevault.tabular.errors import RowNotWritable
from servicevault.tabular.options import WriteOptions
from servicevault.wording import say

BUFFER_CHARS = 64 * 1024


class TextOutput:
    """Collects texts and writes them encoded; `close` leaves the target open."""

    def __init__(self, target: IO[bytes], encoding: str, errors: str) -> None:
        self._target = target
        self._encoding = encoding
        self._errors = errors
        self._parts: list[str] = []
        self._chars = 0
        self._row_of_first = 0

    def write(self, row: int, text: str) -> None:
        """Add the text of a row; row 0 is what stands before the first."""
        if not self._parts:
            self._row_of_first = row
        self._parts.append(text)
        self._chars += len(text)
        if self._chars > BUFFER_CHARS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()

    def _flush(self) -> None:
        try:
            data = "".join(self._parts).encode(self._encoding, self._errors)
        except UnicodeEncodeError as error:
            self._refuse(error)
        self._target.write(data)
        self._parts.clear()
        self._chars = 0

    def _refuse(self, error: UnicodeEncodeError) -> NoReturn:
        ends = itertools.accumulate(map(len, self._parts))
        offset = next(at for at, end in enumerate(ends) if error.start < end)
        character = error.object[error.start]
        raise RowNotWritable(
            say(
                "Row {row_of_first:,}: the encoding {encoding} has no character "
                "{character!r} (U+{ord:04X}). Choose utf-8, or replace such characters.",
                row_of_first=self._row_of_first + offset,
                encoding=self._encoding,
                character=character,
                ord=ord(character),
            )
        ) from error


def encoded(target: IO[bytes], options: WriteOptions) -> TextOutput:
    """Return the output for these options; UTF-16 is written little-endian on every machine."""
    if options.encoding in {"utf-16", "utf_16", "utf16"}:
        target.write(b"\xff\xfe")
        return TextOutput(target, "utf-16-le", options.encoding_errors)
    if options.encoding == "utf-8-sig":
        target.write(b"\xef\xbb\xbf")
        return TextOutput(target, "utf-8", options.encoding_errors)
    return TextOutput(target, options.encoding, options.encoding_errors)
