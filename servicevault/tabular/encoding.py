"""Which encoding a text file has and why; decoding that never loses a line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import IO

from servicevault.tabular.limits import Limits
from servicevault.tabular.records import Notice
from servicevault.wording import say, say_count

CHUNK = 256 * 1024
BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
DETECTED_ENCODINGS = ("utf-8", *{name for _, name in BOMS}, "utf-16-le", "utf-16-be", "iso-8859-1", "windows-1252")
# Bytes Windows-1252 prints and ISO-8859-1 keeps for control codes nobody writes.
ONLY_WINDOWS = bytes(range(0x80, 0xA0))
REPLACED = "\ufffd"


def detect_encoding(stream: IO[bytes]) -> tuple[str, str]:
    """Return the encoding and the reason for it; reads the whole stream once where it is not marked."""
    stream.seek(0)
    head = stream.read(4096)
    for bom, name in BOMS:
        if head.startswith(bom):
            return name, f"byte order mark {bom.hex(' ')}"
    if zeros := _zero_bytes(head):
        return zeros
    stream.seek(0)
    return _utf8_or_single_bytes(stream)


def _zero_bytes(head: bytes) -> tuple[str, str] | None:
    """Tell UTF-16 without a mark: in Western text every second byte is zero."""
    even, odd = head[0::2], head[1::2]
    if len(head) < 4 or not odd:
        return None
    if odd.count(0) > len(odd) * 0.4 and even.count(0) < len(even) * 0.1:
        return "utf-16-le", say("every second byte is zero, the first is not")
    if even.count(0) > len(even) * 0.4 and odd.count(0) < len(odd) * 0.1:
        return "utf-16-be", say("every second byte is zero, beginning with the first")
    return None


def _utf8_or_single_bytes(stream: IO[bytes]) -> tuple[str, str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, pending, is_ascii = 0, 0, True
    while chunk := stream.read(CHUNK):
        is_ascii = is_ascii and chunk.isascii()
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            position = offset - pending + error.start
            byte = error.object[error.start]
            return _single_bytes(stream, chunk, byte, position)
        offset += len(chunk)
        pending = len(decoder.getstate()[0])
    if pending:
        return "windows-1252", say_count(
            "the last {count} byte is not complete UTF-8", "the last {count} bytes are not complete UTF-8", pending
        )
    return "utf-8", say("only ASCII characters") if is_ascii else say("every byte is valid UTF-8")


def _single_bytes(stream: IO[bytes], chunk: bytes, byte: int, position: int) -> tuple[str, str]:
    where = say("byte 0x{byte:02x} at offset {position} is not UTF-8", byte=byte, position=position)
    seen = bytearray()
    while chunk:
        seen = bytearray(sorted({*seen, *(chunk.translate(None, bytes(range(0x80)) + bytes(range(0xA0, 0x100))))}))
        chunk = stream.read(CHUNK)
    if not seen:
        return "iso-8859-1", say("{where}; no byte from 0x80 to 0x9f", where=where)
    return "windows-1252", say(
        "{where}; byte 0x{seen:02x} is a character in Windows-1252 only", where=where, seen=seen[0]
    )


def open_text(stream: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """Return the stream as text with its line ends as they are; undecodable bytes become U+FFFD.

    A detected encoding has none of them; with a declared one `lines` gives notice of each line.
    """
    stream.seek(0)
    # A declared utf-8 may still carry its mark.
    name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    # The wrapper would close our stream with itself; the reader's caller does that.
    return io.TextIOWrapper(_Kept(stream), encoding=name, errors="replace", newline="")


class _Kept(io.BufferedReader):
    """A buffered view of a stream that outlives it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(_Raw(stream), CHUNK)


class _Raw(io.RawIOBase):
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Lines:
    """The lines of a text with their numbers, each at most `limits.cell_chars` long.

    `number` is the line last given, `oversized` the last line that was cut there.
    """

    def __init__(self, text: io.TextIOBase, limits: Limits, notices: list[Notice]) -> None:
        self._text = text
        self._most = limits.cell_chars + 4096
        self._notices = notices
        self.number = 0
        self.oversized = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(self._most):
            self.number += 1
            if len(line) >= self._most and line[-1] not in "\r\n":
                self.oversized = self.number
                self._skip_rest()
            if REPLACED in line:
                self._warn_of_replaced()
            yield line

    def _skip_rest(self) -> None:
        while (rest := self._text.readline(self._most)) and rest[-1] not in "\r\n":
            pass

    def _warn_of_replaced(self) -> None:
        if sum(notice.code == "replacement_characters" for notice in self._notices) < 100:
            message = say(
                "Line {number} holds characters that could not be decoded. Choose another encoding.", number=self.number
            )
            self._notices.append(Notice("replacement_characters", message, self.number))
