"""What a file is and its records: content decides, options override, one way for preview and import."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from servicevault.tabular import containers, formats
from servicevault.tabular.contract import Format, Head
from servicevault.tabular.delimited import QuotedEmpty
from servicevault.tabular.encoding import detect_encoding
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import DEFAULT, Limits
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.records import Detection, Inspection, Notice, Problem, Reading, Record
from servicevault.tabular.scanning import refuse_foreign, refuse_hidden_archive
from servicevault.wording import say, say_count

HEAD_BYTES = 64 * 1024
SAMPLE_ROWS = 10
COUNTED_ROWS = 50_000  # a preview counts so many records, then says that there are more
NO_DATA = say("The file is empty.")
SURROGATE = re.compile("[\ud800-\udfff]")


@contextmanager
def opened(stream: IO[bytes], options: ReadOptions, limits: Limits = DEFAULT) -> Iterator[tuple[Detection, Reading]]:
    """Yield what the file is and its records; valid while the context is. Raises FileRejected."""
    refuse_hidden_archive(stream)
    with containers.opened(stream, limits, options.member) as (container, inner_name, content):
        format_, found = _detect(content, options, limits)
        found = replace(found, container=container, inner_name=inner_name)
        settled = settle(options, found)
        reading = format_.read(content, settled, limits)
        reading.notices[:0] = found.notices
        reading.records = _finished(reading.records, reading, settled, limits, is_text=format_.name == "csv")
        yield found, reading


def inspect(stream: IO[bytes], options: ReadOptions, limits: Limits = DEFAULT) -> Inspection:
    """Return the parse result of F-026: headers, ten records, the number of records, notices."""
    with opened(stream, options, limits) as (found, reading):
        sample: list[Record] = []
        total, is_exact = 0, True
        for record in reading.records:
            total += 1
            if len(sample) < SAMPLE_ROWS:
                sample.append(record)
            if total >= COUNTED_ROWS:
                is_exact = next(reading.records, None) is None
                break
        return Inspection(found, reading.headers, sample, total, is_exact, reading.notices)


def _detect(content: IO[bytes], options: ReadOptions, limits: Limits) -> tuple[Format, Detection]:
    refuse_foreign(content)
    content.seek(0)
    data = content.read(HEAD_BYTES)
    if not data:
        raise FileRejected(NO_DATA, code="empty_file")
    encoding, reason = (options.encoding, "chosen") if options.encoding else detect_encoding(content)
    head = Head(data, _decoded(data, encoding), content, limits)
    format_, why = _format(head, options)
    found = Detection(format_.name, reason=why, has_headers=options.has_headers is not False)
    if format_.is_text:
        found = replace(found, encoding=encoding, encoding_reason=reason)
    return format_, format_.inspect(content, options, limits, found)


def _decoded(data: bytes, encoding: str) -> str:
    """Return the head as text; empty for content with bytes that no text has."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(data).removeprefix("\ufeff")
    controls = len(re.findall("[\x01-\x08\x0e-\x1a\x1c-\x1f]", text))
    return "" if controls > max(8, len(text) // 50) else text


def _format(head: Head, options: ReadOptions) -> tuple[Format, str]:
    declared = formats.named(options.format) if options.format else []
    for candidate in formats.FORMATS.values():
        why = candidate.recognise(head)
        if not why:
            continue
        if not declared or candidate in declared:
            return candidate, why
        for each in declared:
            if candidate.name in each.also_reads:
                return each, say("declared; the content is also {candidate}", candidate=candidate.label)
        raise FileRejected(
            say(
                "The file is declared as {declared}, but its content is {candidate} ({why}). "
                "Choose the right format or send the right file.",
                declared=declared[0].label,
                candidate=candidate.label,
                why=why,
            )
        )
    if not head.text.strip("\0 \r\n\t") and not head.data.strip(b"\0 \r\n\t\xef\xbb\xbf\xff\xfe"):
        raise FileRejected(NO_DATA, code="empty_file")
    known = ", ".join(sorted(formats.FORMATS))
    raise FileRejected(say("The content of the file is none of the known formats: {known}.", known=known))


def settle(options: ReadOptions, found: Detection) -> ReadOptions:
    """Return options with nothing left to find out: what was detected where nothing was chosen."""
    return replace(
        options,
        format=found.format,
        encoding=found.encoding,
        delimiter=found.delimiter,
        quote_char=found.quote_char,
        has_headers=found.has_headers,
        separator_line=found.separator_line,
        quotes_all=found.quotes_all,
        sheet=found.sheet or None,
        record_path=found.record_path if options.record_path is None else options.record_path,
    )


def _finished(
    records: Iterator[Record], reading: Reading, options: ReadOptions, limits: Limits, *, is_text: bool
) -> Iterator[Record]:
    """Yield the records with null words applied, blanks trimmed where wanted, and unusable cells named."""
    # Where a format has a NULL of its own, its empty texts are texts.
    nulls = set(options.null_values) - (set() if is_text else {""})
    trim, has_surrogates = options.trim_whitespace, not is_text
    for read in records:
        record = read
        if options.max_rows is not None and record.number > options.max_rows:
            message = say_count(
                "Reading stopped after {count} record, as chosen.",
                "Reading stopped after {count:,} records, as chosen.",
                options.max_rows,
            )
            reading.notices.append(Notice("max_rows", message, record.line))
            return
        cells = record.cells
        if trim:
            cells = [cell.strip() if cell and type(cell) is str else cell for cell in cells]
        problems = _unusable(cells, reading.headers, limits, has_surrogates=has_surrogates)
        if nulls:
            cells = [None if cell in nulls and type(cell) is not QuotedEmpty else cell for cell in cells]
        if cells is not record.cells or problems:
            record = record._replace(cells=cells, problems=[*record.problems, *problems])
        yield record


def _unusable(cells: list[str | None], names: list[str], limits: Limits, *, has_surrogates: bool) -> list[Problem]:
    # One look at the whole record; only a suspicious one is looked at cell by cell.
    whole = "".join([cell for cell in cells if cell])
    is_long = len(whole) > limits.cell_chars
    has_odd = has_surrogates and not whole.isascii() and SURROGATE.search(whole)
    if not (is_long or has_odd or "\0" in whole):
        return []
    problems = []
    for at, cell in enumerate(cells):
        name = names[at] if at < len(names) else ""
        if cell and len(cell) > limits.cell_chars:
            most = limits.cell_chars // (1024 * 1024)
            problems.append(
                Problem("cell_too_big", say("`{name}` has more than {most} MB.", name=name, most=most), name)
            )
            cells[at] = None
        elif cell and "\0" in cell:
            problems.append(
                Problem("nul_byte", say("`{name}` has a NUL byte, which PostgreSQL cannot store.", name=name), name)
            )
        elif cell and SURROGATE.search(cell):
            problems.append(
                Problem("lone_surrogate", say("`{name}` has half a character (a lone surrogate).", name=name), name)
            )
            cells[at] = SURROGATE.sub("\ufffd", cell)
    return problems
