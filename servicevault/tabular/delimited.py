"""CSV and its relatives: any delimiter, quotes, line ends and encoding."""

from __future__ import annotations

import csv
import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, Any

from servicevault.tabular import headers
from servicevault.tabular.contract import Format, Head, with_notices
from servicevault.tabular.dialects import detect_dialect, rows_of
from servicevault.tabular.encoding import Lines, open_text
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import Detection, Notice, Problem, Reading, Record
from servicevault.tabular.text_output import encoded
from servicevault.tabular.values import date_order, guard, render, unguard
from servicevault.wording import say, say_count

HEAD_CHARS = 256 * 1024
LOOKED_AHEAD = 100  # rows that decide whether a blank last column is only a trailing delimiter
MOST_RECOVERIES = 100
MOST_NOTICES = 100


class Delimited(Format):
    """Delimited text."""

    name = "csv"
    label = "CSV"
    extensions = ("csv", "tsv", "txt")
    aliases = ("tsv", "txt")
    media_type = "text/csv"
    also_reads = frozenset({"yaml"})

    def recognise(self, head: Head) -> str:
        """Text that is nothing else."""
        return "plain text" if head.text.strip("\ufeff\0 \r\n\t") else ""

    def inspect(self, stream: IO[bytes], options: ReadOptions, limits: Limits, found: Detection) -> Detection:
        """Find delimiter, quote and the order of dates."""
        head = open_text(stream, found.encoding).read(HEAD_CHARS)
        dialect = detect_dialect(head, options, is_complete=len(head) < HEAD_CHARS)
        found = replace(
            found,
            delimiter=dialect.delimiter,
            quote_char=dialect.quote_char,
            quotes_all=dialect.quotes_all,
            separator_line=dialect.separator_line,
        )
        lines = head.splitlines()[options.skip_rows + found.separator_line :][:200]
        try:
            rows = list(rows_of(lines, found.delimiter, found.quote_char))
        except csv.Error:
            rows = []
        columns = [date_order(column[1:]) for column in itertools.zip_longest(*rows)]
        orders = {order for order in columns if order}
        decided = orders - {"ambiguous"}
        found = replace(found, date_order=decided.pop() if len(decided) == 1 else "ambiguous" if orders else "")
        if rows and found.has_headers and any(re.fullmatch(r"-?\d+(\.\d+)?|\S+@\S+\.\S+", cell) for cell in rows[0]):
            message = say("The first row looks like data. If there is no header row, switch headers off.")
            return with_notices(found, Notice("header_looks_like_data", message, 1))
        return found

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Read record by record; memory holds one record."""
        reading = Reading([], iter(()))
        lines = Lines(open_text(stream, options.encoding), limits, reading.notices)
        source = _RecordLines(lines, options, limits)
        records = _Records(source, options, limits, reading)
        reading.records = records.data()
        return reading

    def write(
        self, target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
    ) -> int:
        """Write rows; NULL as the null value, an empty text in quotes so that the two stay apart."""
        text = encoded(target, options)
        cells = _CellWriter(options)
        if options.include_headers:
            text.write(0, cells.line(columns))
        number = 0
        for number, row in enumerate(rows, start=1):
            text.write(number, cells.line(row))
        text.close()
        return number


class _CellWriter:
    def __init__(self, options: WriteOptions) -> None:
        self._options = options
        quote, delimiter = options.quote_char, options.delimiter
        # What PostgreSQL's COPY quotes, and not one cell more: exports let it write the very same bytes.
        self._special = re.compile(rf"[{re.escape(quote + delimiter)}\r\n\0]")
        self._quote = quote

    def line(self, values: Sequence[Any]) -> str:
        text = self._options.delimiter.join(map(self._cell, values))
        # A blank line is no record for most readers.
        return (text or self._quote * 2) + self._options.line_ending

    def _cell(self, value: Any) -> str:
        if value is None:
            return self._options.null_value
        text = render(value, self._options)
        assert text is not None
        if self._options.formula_guard and isinstance(value, str):
            text = guard(text)
        if text in {"", self._options.null_value} or self._special.search(text):
            return self._quote + text.replace(self._quote, self._quote * 2) + self._quote
        return text


class _TooLong(Exception):
    """A record is longer than the limit."""


class _RecordLines:
    """Feeds csv.reader line by line and remembers the lines of the current record."""

    def __init__(self, lines: Lines, options: ReadOptions, limits: Limits) -> None:
        self._lines = lines
        self._iterator = iter(lines)
        self._comment = options.comment_char
        self._most = limits.record_chars
        self._returned: deque[tuple[int, str]] = deque()
        self.current: list[tuple[int, str]] = []
        self._chars = 0
        self.is_unclosed = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            number, line = self._next_line()
            if not (self._comment and not self.current and line.startswith(self._comment)):
                break
        self.current.append((number, line))
        self._chars += len(line)
        if self._chars > self._most:
            raise _TooLong
        return line

    def _next_line(self) -> tuple[int, str]:
        if self._returned:
            return self._returned.popleft()
        line = next(self._iterator, None)
        if line is None:
            # csv.reader asks for more in the middle of a record only while a quote is open.
            self.is_unclosed = bool(self.current)
            raise StopIteration
        return self._lines.number, line

    def skip_lines(self, count: int) -> None:
        for _ in itertools.islice(self._iterator, count):
            pass

    def start_record(self) -> None:
        self.current = []
        self._chars = 0

    def is_oversized(self) -> bool:
        return bool(self.current) and self.current[0][0] <= self._lines.oversized <= self.current[-1][0]

    def close_quote(self, quote: str) -> None:
        """Pass over the rest of a record whose quote is open."""
        is_open = sum(line.count(quote) for _, line in self.current) % 2 == 1
        while is_open and (line := next(self._iterator, None)) is not None:
            is_open = line.count(quote) % 2 == 0

    def give_back(self) -> tuple[int, str]:
        """Return the first line of the current record; the others are read again."""
        first, *others = self.current
        self._returned.extendleft(reversed(others))
        self.is_unclosed = False
        self.start_record()
        return first


class _Records:
    def __init__(self, source: _RecordLines, options: ReadOptions, limits: Limits, reading: Reading) -> None:
        self._source = source
        self._options = options
        self._limits = limits
        self._reading = reading
        self._recoveries = 0
        self._blank_last = False
        if csv.field_size_limit() < limits.record_chars:
            csv.field_size_limit(limits.record_chars)  # of the process; ours below is checked for each cell
        source.skip_lines(options.skip_rows + options.separator_line)

    def data(self) -> Iterator[Record]:
        rows = self._rows()
        first = next(((line, cells, problems) for line, cells, problems in rows if cells or problems), None)
        if first is None:
            return
        line, cells, problems = first
        if problems:
            raise FileRejected(say("The header cannot be read: {problems}", problems=problems[0].message), line=line)
        ahead: list[tuple[int, list[str], list[Problem]]]
        if self._options.has_headers is False:
            ahead = [first]
            self._reading.headers.extend(headers.numbered(len(cells), self._limits))
        else:
            ahead = []
            names = self._without_trailing_delimiter(cells, rows, ahead, line)
            self._reading.headers.extend(headers.named(map(unguard, names), line, self._reading.notices, self._limits))
        yield from self._numbered(itertools.chain(ahead, rows))

    def _without_trailing_delimiter(
        self,
        cells: list[str],
        rows: Iterator[tuple[int, list[str], list[Problem]]],
        ahead: list[tuple[int, list[str], list[Problem]]],
        line: int,
    ) -> list[str]:
        """Return the header cells without the blank last one if the first rows have nothing there either."""
        if len(cells) < 2 or cells[-1].strip():
            return cells
        ahead.extend(itertools.islice(rows, LOOKED_AHEAD))
        if not all(len(row) == len(cells) and not row[-1] for _, row, _ in ahead if row):
            return cells
        self._blank_last = True
        message = say("Each line ends with a delimiter; the empty last column is ignored.")
        self._reading.notices.append(Notice("trailing_delimiter", message, line))
        return cells[:-1]

    def _numbered(self, rows: Iterable[tuple[int, list[str], list[Problem]]]) -> Iterator[Record]:
        width, notices, number, short = len(self._reading.headers), self._reading.notices, 0, 0
        for line, cells, found in rows:
            problems = found
            if not problems and self._options.skip_empty_rows and not any(cells):
                continue
            number += 1
            if self._blank_last and len(cells) == width + 1 and not cells[-1]:
                cells.pop()
            if len(cells) > width:
                message = say_count(
                    "{count} cell, but the header has {width}. Quote cells that hold the delimiter.",
                    "{count} cells, but the header has {width}. Quote cells that hold the delimiter.",
                    len(cells),
                    width=width,
                )
                problems = [*problems, Problem("too_many_columns", message)]
            elif len(cells) < width and not problems:
                short += 1
                if short <= MOST_NOTICES:
                    message = say_count(
                        "{count} cell, but the header has {width}; the missing ones are NULL.",
                        "{count} cells, but the header has {width}; the missing ones are NULL.",
                        len(cells),
                        width=width,
                    )
                    notices.append(Notice("short_row", message, line))
            yield Record(line, number, cells, {}, problems)  # type: ignore[arg-type]

    def _rows(self) -> Iterator[tuple[int, list[str], list[Problem]]]:
        source, quote = self._source, self._options.quote_char or ""
        keeps_empty, cell_chars = bool(quote) and not self._options.quotes_all, self._limits.cell_chars
        reader = self._reader()
        while True:
            source.start_record()
            try:
                cells = next(reader, None)
            except (csv.Error, _TooLong):
                line = source.current[0][0]
                source.close_quote(quote or "\0")
                yield line, [], [self._too_big(line)]
                continue
            if source.is_unclosed:
                yield self._recover(quote)
                reader = self._reader()
                continue
            if cells is None:
                return
            line, text = source.current[0]
            if len(text) > cell_chars or len(source.current) > 1:
                if source.is_oversized() or any(len(cell) > cell_chars for cell in cells):
                    yield line, [], [self._too_big(line)]
                    continue
                text = "".join(each for _, each in source.current)
            if "'" in text:
                cells = [unguard(cell) for cell in cells]
            if keeps_empty and quote * 2 in text and "" in cells:
                cells = _with_quoted_empty(text, cells, self._options.delimiter, quote)
            yield line, cells, []

    def _reader(self) -> Iterator[list[str]]:
        options = self._options
        return rows_of(self._source, options.delimiter, options.quote_char or "", options.escape_char)

    def _too_big(self, line: int) -> Problem:
        most = self._limits.cell_chars // (1024 * 1024)
        return Problem(
            "cell_too_big", say("The record from line {line} has a cell of more than {most} MB.", line=line, most=most)
        )

    def _recover(self, quote: str) -> tuple[int, list[str], list[Problem]]:
        """Give up the line that opens a quote nobody closes, and read on after it."""
        self._recoveries += 1
        number, text = self._source.give_back()
        if self._recoveries > MOST_RECOVERIES:
            raise FileRejected(
                say(
                    "Too many quotes are opened and never closed, at last in line {number}. Close them, or choose another quote.",
                    number=number,
                ),
                line=number,
            )
        message = say("The quote {quote} opened in line {number} is never closed.", quote=quote, number=number)
        return number, [text.rstrip("\r\n")], [Problem("unclosed_quote", message)]


class QuotedEmpty(str):
    """An empty text that its writer quoted where only special cells are quoted: meant, not missing."""

    __slots__ = ()


def _with_quoted_empty(text: str, cells: list[str], delimiter: str, quote: str) -> list[str]:
    """Mark the empty cells that stand as two quotes; cells with quotes inside are stepped over by their length."""
    marked, position = list(cells), 0
    for index, cell in enumerate(cells):
        if text.startswith(quote * 2 + delimiter, position) or (
            text.startswith(quote * 2, position) and not text[position + 2 :].rstrip("\r\n")
        ):
            if cell == "":
                marked[index] = QuotedEmpty()
            position += 3
        elif text.startswith(quote, position):
            position += len(cell) + cell.count(quote) + 3
            if not text.startswith(delimiter, position - 1):
                break  # stray quotes: nothing certain from here
        else:
            position = text.find(delimiter, position) + 1
            if position == 0:
                break
    return marked
