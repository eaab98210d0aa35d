"""JSON documents and JSON Lines, read value by value."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import IO, Any

from servicevault.tabular.contract import Format, Head
from servicevault.tabular.encoding import Lines, open_text
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import Detection, Problem, Reading, Record
from servicevault.tabular.text_output import TextOutput
from servicevault.tabular.trees import (
    WHOLE,
    Columns,
    Element,
    inspect_tree,
    mapping_of,
    plain_path,
    read_tree,
)
from servicevault.tabular.values import BIG, Numeral, number_text, render, to_json
from servicevault.wording import say

# Numbers stay the digits of the file: no rounding, no minutes for 1e1000000.
DECODER = json.JSONDecoder(parse_int=Numeral, parse_float=Numeral, parse_constant=Numeral, object_pairs_hook=mapping_of)
ENCODER = json.JSONEncoder(ensure_ascii=False)
BLANK = re.compile(r"[ \t\r\n]*")
PIECE = 256 * 1024
BEGINS_JSON = re.compile(r'\s*(\{\s*("|\}|$)|\[\s*([\[{"\]\d-]|true|false|null|$))')


class Json(Format):
    """A JSON document: a list, an object with a list anywhere in it, or one object."""

    name = "json"
    label = "JSON"
    extensions = ("json",)
    media_type = "application/json"

    def recognise(self, head: Head) -> str:
        """A brace or bracket followed by what JSON allows there."""
        return say("it begins with {head}", head=head.text.lstrip()[0]) if BEGINS_JSON.match(head.text) else ""

    def inspect(self, stream: IO[bytes], options: ReadOptions, limits: Limits, found: Detection) -> Detection:
        """Find where records repeat; a list at the top needs no search."""
        text = JsonText(open_text(stream, found.encoding), limits)
        if options.record_path is not None or text.peek() == "[":
            return replace(found, record_path=plain_path(options.record_path) or "")
        return inspect_tree(text.elements(None), found)

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Read record by record; memory holds one."""
        text = JsonText(open_text(stream, options.encoding), limits)
        return read_tree(text.elements(plain_path(options.record_path)), options, limits)

    def write(
        self, target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
    ) -> int:
        """Write an array of objects with native types."""
        text = TextOutput(target, "utf-8", "strict")
        member = _Members(columns, options)
        number = 0
        for number, row in enumerate(rows, start=1):
            text.write(number, ("[\n" if number == 1 else ",\n") + member.object(row))
        text.write(number, "\n]\n" if number else "[]\n")
        text.close()
        return number


class JsonLines(Format):
    """One JSON object in each line."""

    name = "jsonl"
    label = "JSON Lines"
    extensions = ("jsonl", "ndjson")
    aliases = ("ndjson",)
    media_type = "application/x-ndjson"
    also_reads = frozenset({"json"})

    def recognise(self, head: Head) -> str:
        """Two lines that are each a JSON object."""
        lines = [line for line in head.text.splitlines()[:20] if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines[:2]):
            return ""
        return say("each line is an object of its own") if any(map(_is_object, lines[:2])) else ""

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Read line by line; a bad line is a problem of that record only."""
        reading = Reading([], iter(()))
        generous = replace(limits, cell_chars=limits.record_chars)
        lines = Lines(open_text(stream, options.encoding), generous, reading.notices)
        reading.records = self._records(lines, options, Columns(reading.headers, limits))
        return reading

    def _records(self, lines: Lines, options: ReadOptions, columns: Columns) -> Iterator[Record]:
        number = 0
        for line in lines:
            if not line.strip():
                continue
            number += 1
            try:
                value = DECODER.decode(line)
            except ValueError as error:
                problem = Problem(
                    "invalid_json", say("Line {lines} is not JSON: {cause}.", lines=lines.number, cause=_cause(error))
                )
                yield Record(lines.number, number, [], {}, [problem])
            except RecursionError:
                problem = Problem("too_deep", say("Line {lines} is nested too deep.", lines=lines.number))
                yield Record(lines.number, number, [], {}, [problem])
            else:
                yield columns.record(value, lines.number, number, flatten=options.flatten)

    def write(
        self, target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
    ) -> int:
        """Write one object a line."""
        text = TextOutput(target, "utf-8", "strict")
        member = _Members(columns, replace(options, pretty_print=False))
        number = 0
        for number, row in enumerate(rows, start=1):
            text.write(number, member.object(row) + "\n")
        text.close()
        return number


class _Members:
    """Writes rows as objects; the names are encoded once."""

    def __init__(self, columns: Sequence[str], options: WriteOptions) -> None:
        self._options = options
        # As PostgreSQL's row_to_json writes rows, so that exports can leave the work to it.
        colon, self._between = (": ", ",\n    ") if options.pretty_print else (":", ",")
        self._names = [ENCODER.encode(name) + colon for name in columns]
        self._frame = ("  {\n    ", "\n  }") if options.pretty_print else ("{", "}")

    def object(self, row: Sequence[Any]) -> str:
        members = self._between.join(map(str.__add__, self._names, map(self._value, row)))
        return f"{self._frame[0]}{members}{self._frame[1]}"

    def _value(self, value: Any) -> str:
        return json_value(value, self._options)


def json_value(value: Any, options: WriteOptions) -> str:
    """Return one value as JSON of its native type; numbers that doubles cannot hold as text where asked."""
    if value is None or isinstance(value, str | bool):
        return escaped(ENCODER.encode(value))
    if isinstance(value, int):
        return f'"{value}"' if options.big_numbers == "string" and abs(value) > BIG else str(value)
    if isinstance(value, float | Decimal):
        if not Decimal(value).is_finite():
            return f'"{value}"'  # JSON has no such numbers
        text = number_text(value)
        return f'"{text}"' if options.big_numbers == "string" and abs(Decimal(value)) > BIG else text
    if isinstance(value, dict | list | tuple):
        return escaped(to_json(value))
    return escaped(ENCODER.encode(render(value, options)))


SURROGATES = re.compile("[\ud800-\udfff]")


def escaped(text: str) -> str:
    """Return JSON text that UTF-8 can hold: lone surrogates escaped."""
    return text if text.isascii() else SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _is_object(line: str) -> bool:
    try:
        return isinstance(DECODER.decode(line), dict)
    except (ValueError, RecursionError):
        return False


def _cause(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return say("{msg} at character {colno}", msg=error.msg.lower(), colno=error.colno)
    return say("a number or text that cannot be read")


class JsonText:
    """A JSON document behind a window that slides over it."""

    def __init__(self, text: io.TextIOBase, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._window = ""
        self._at = 0
        self._is_whole = False
        self._lines_before = 1

    def elements(self, wanted: str | None) -> Iterator[Element]:
        """Yield each element of each list that is reached through objects, and the object at the wanted path."""
        if not self.peek():
            return
        yield from self._walk("", wanted, 0)
        if self.peek():
            self._refuse(say("there is more text after the end of the document"))

    def _walk(self, path: str, wanted: str | None, depth: int) -> Iterator[Element]:
        first = self.peek()
        if depth > self._limits.nesting:
            self._refuse(say("it is nested deeper than {nesting} levels", nesting=self._limits.nesting))
        if first == "[":
            for _ in self._between("[", "]"):
                yield path, self._value()
        elif first == "{" and wanted in ({path} if path else {WHOLE}):
            yield wanted or path, self._value()
        elif first == "{":
            for _ in self._between("{", "}"):
                key = self._value() if self.peek() == '"' else self._refuse(say("a name in quotes is missing"))
                self._take(":")
                yield from self._walk(f"{path}.{key}" if path else key, wanted, depth + 1)
        else:
            value = self._value()
            if depth == 0:
                yield WHOLE, value

    def _between(self, opening: str, closing: str) -> Iterator[None]:
        """Yield before each member of a list or object; the caller takes it."""
        self._take(opening)
        if self.peek() == closing:
            self._take(closing)
            return
        while True:
            yield
            if self.peek() == closing:
                self._take(closing)
                return
            self._take(",")

    def peek(self) -> str:
        """Return the next character that is not blank, or empty text at the end."""
        while True:
            self._at = BLANK.match(self._window, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._more():
                return ""

    def _take(self, character: str) -> None:
        if self.peek() != character:
            self._refuse(say("`{character}` is missing", character=character))
        self._at += 1

    def _value(self) -> Any:
        self.peek()
        while True:
            failure = ""
            try:
                value, end = DECODER.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                failure = error.msg.lower()
            except RecursionError:
                self._refuse(say("it is nested too deep"))
            # A number that ends with the window may go on behind it.
            if not failure and (end < len(self._window) or self._is_whole):
                self._at = end
                return value
            if self._is_whole or not self._more():
                if failure:
                    self._refuse(failure)
                continue
            if len(self._window) - self._at > self._limits.record_chars:
                most = self._limits.record_chars // (1024 * 1024)
                self._refuse(failure or say("a record is larger than {most} MB", most=most))

    def _more(self) -> bool:
        """Read on: as much again as is waiting, so that a long value is tried few times."""
        if self._is_whole:
            return False
        piece = self._text.read(max(PIECE, len(self._window) - self._at))
        self._lines_before += self._window.count("\n", 0, self._at)
        self._window = self._window[self._at :] + piece
        self._at = 0
        self._is_whole = not piece
        return bool(piece)

    def _refuse(self, cause: str) -> Any:
        line = self._lines_before + self._window.count("\n", 0, self._at)
        raise FileRejected(
            say("The JSON cannot be read from line {line} on: {cause}.", line=line, cause=cause), line=line
        )
