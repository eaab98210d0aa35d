"""The dialect of a delimited text: delimiter and quote, told from its first lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from servicevault.tabular.options import ReadOptions

CANDIDATES = ",;\t|"
SEPARATOR_LINE = re.compile(r"sep=(.)\s*$")


@dataclass(frozen=True)
class Dialect:
    """How cells are separated and quoted."""

    delimiter: str
    quote_char: str
    quotes_all: bool
    separator_line: bool


def detect_dialect(head: str, options: ReadOptions, *, is_complete: bool) -> Dialect:
    """Return the dialect of a text from its beginning; options that are set decide.

    The last line of a head that is not the whole text is left out: it may be cut.
    """
    lines = head.splitlines(keepends=True)
    if not is_complete and len(lines) > 1:
        lines.pop()
    lines = lines[options.skip_rows :]
    declared = SEPARATOR_LINE.match(lines[0]) if lines else None
    if declared:
        lines = lines[1:]
    if options.comment_char:
        lines = [line for line in lines if not line.startswith(options.comment_char)]
    quote = options.quote_char if options.quote_char is not None else _quote(lines)
    quote = "" if quote == "none" else quote
    delimiter = options.delimiter or (declared[1] if declared else _delimiter(lines, quote))
    return Dialect(delimiter, quote, bool(quote) and _quotes_all(lines, delimiter, quote), declared is not None)


def _quote(lines: list[str]) -> str:
    """Prefer double quotes; single ones only where whole cells stand in them and double ones nowhere."""
    text = "".join(lines)
    if '"' in text:
        return '"'
    quoted = re.findall(rf"(?:^|[{re.escape(CANDIDATES)}])'[^'\n]*'(?=[{re.escape(CANDIDATES)}]|\s*$)", text, re.M)
    return "'" if len(quoted) >= max(2, len(lines)) else '"'


def _delimiter(lines: list[str], quote: str) -> str:
    return max(CANDIDATES, key=lambda candidate: _evenness(lines, candidate, quote))


def rows_of(lines: Iterable[str], delimiter: str, quote: str, escape: str = "") -> Iterator[list[str]]:
    """Return the standard library's reader of this dialect."""
    if not quote:
        return csv.reader(lines, delimiter=delimiter, escapechar=escape or None, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, escapechar=escape or None, quotechar=quote)


def _evenness(lines: list[str], delimiter: str, quote: str) -> tuple[float, int]:
    """Rate a delimiter: the share of rows with the most frequent width, then that width. One column is no rating."""
    try:
        widths = [len(row) for row in rows_of(lines, delimiter, quote) if row]
    except csv.Error:
        return 0.0, 0
    if not widths:
        return 0.0, 0
    if len(widths) > 10:
        widths.pop()  # the record that the head cuts
    width, count = Counter(widths).most_common(1)[0]
    if width < 2:
        # Few rows have it, but the header does: a preamble or long texts around a small table.
        return (0.01, widths[0]) if widths[0] > 1 else (0.0, 0)
    return round(count / len(widths), 1), width


def _quotes_all(lines: list[str], delimiter: str, quote: str) -> bool:
    """Say whether every cell of the first lines is quoted: then quotes around nothing mean nothing."""
    whole = re.compile(rf"{quote}[^{quote}]*{quote}(?:{re.escape(delimiter)}{quote}[^{quote}]*{quote})*\s*")
    return bool(lines) and all(whole.fullmatch(line) for line in lines[:20])
