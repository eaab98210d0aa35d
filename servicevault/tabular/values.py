"""Cells and values: `parse` and `render` are inverse, so are `guard` and `unguard`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from servicevault.tabular.errors import CellRefused
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import BOOLEAN, DATE, DATETIME, JSON, NUMBER, TEXT, TIME
from servicevault.wording import say

MOST_DIGITS = 1_000  # a Decimal like 1e1000000 takes minutes to become an integer
MOST_DECIMALS = 16_383  # of a numeric, PostgreSQL docs 8.1.2
BIG = 2**53  # integers above lose digits in programs that read JSON numbers as doubles
TRUE_WORDS, FALSE_WORDS = {"true", "t", "yes", "y", "on", "1"}, {"false", "f", "no", "n", "off", "0"}
NUMBER_TEXT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
PLAIN_NUMBER = re.compile(f"{NUMBER_TEXT.pattern}|[+-]infinity", re.ASCII)
FORMULA = re.compile(r"'*\s*[=+\-@\t\r]")
MARKED_FORMULA = re.compile(r"'+\s*[=+\-@\t\r]")
WRITTEN_DATE = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})")
ZEROS = re.compile(r"(\.\d+?)0+(?=$|[+-])")  # at the end of a fraction of six digits
TOKENS = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "SS": "%S"}


def guard(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula: an apostrophe before it where needed (F-174)."""
    if FORMULA.match(text) and not PLAIN_NUMBER.fullmatch(text):
        return "'" + text
    return text


def unguard(text: str) -> str:
    """Return what `guard` was given."""
    return text[1:] if MARKED_FORMULA.match(text) else text


def parse(kind: str, text: str | None, options: ReadOptions, *, hint: str = TEXT) -> Any:
    """Return the value of a cell as `kind`: text, integer, number, boolean, date, datetime, time, json.

    NULL stays NULL; an empty text is NULL for every kind but text. Raises CellRefused.
    """
    if text is None or kind == TEXT:
        return text
    text = text.strip()
    if not text:
        return None
    return PARSERS[kind](text, options, hint)


def _number(text: str, options: ReadOptions, hint: str) -> Decimal:
    plain = text if hint == NUMBER else _with_point(text, options)
    if not NUMBER_TEXT.fullmatch(plain):
        raise CellRefused(say("{text} is not a number.", text=shown(text)))
    if len(plain) > MOST_DIGITS or abs(int((re.search(r"[eE](.*)", plain) or [0, 0])[1])) > MOST_DIGITS:
        raise CellRefused(
            say("{text} has more than {most_digits:,} digits.", text=shown(text), most_digits=MOST_DIGITS)
        )
    try:
        return Decimal(plain)
    except InvalidOperation as error:
        raise CellRefused(say("{text} is not a number.", text=shown(text))) from error


def _with_point(text: str, options: ReadOptions) -> str:
    if separator := options.thousands_separator:
        groups = rf"[+-]?\d{{1,3}}(?:{re.escape(separator)}\d{{3}})+(?!\d)"
        if found := re.match(groups, text):
            text = found[0].replace(separator, "") + text[found.end() :]
    if options.decimal_separator != ".":
        if "." in text:
            raise CellRefused(
                say(
                    "{text} has a point; the decimal separator is {decimal_separator!r}.",
                    text=shown(text),
                    decimal_separator=options.decimal_separator,
                )
            )
        text = text.replace(options.decimal_separator, ".")
    return text


def _integer(text: str, options: ReadOptions, hint: str) -> int:
    number = _number(text, options, hint)
    if hint != NUMBER and not re.fullmatch(r"[+-]?\d+", _with_point(text, options)):
        raise CellRefused(say("{text} is not a whole number.", text=shown(text)))
    if number != number.to_integral_value():
        raise CellRefused(say("{text} is not a whole number.", text=shown(text)))
    return int(number)


def _boolean(text: str, _options: ReadOptions, _hint: str) -> bool:
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise CellRefused(
        say("{text} is neither true nor false. Known words: true, false, yes, no, on, off, 1, 0.", text=shown(text))
    )


def _date(text: str, options: ReadOptions, hint: str) -> date:
    moment = _moment(text, options, hint)
    if isinstance(moment, datetime):
        if moment.time() != time(0):
            raise CellRefused(say("{text} has a time of day; a date is wanted.", text=shown(text)))
        return moment.date()
    return moment


def _datetime(text: str, options: ReadOptions, hint: str) -> datetime:
    moment = _moment(text, options, hint)
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(options.timezone))


def _moment(text: str, options: ReadOptions, hint: str) -> date | datetime:
    wanted = "iso" if hint in {DATE, DATETIME} else options.date_format
    if wanted == "timestamp":
        return datetime.fromtimestamp(float(_number(text, options, NUMBER)), UTC)
    if wanted == "auto":
        order = date_order([text])
        if order == "ambiguous":
            raise CellRefused(
                say("{text} can be two dates. Choose the date format.", text=shown(text)), code="ambiguous_date"
            )
        separator = (WRITTEN_DATE.match(text) or [""] * 3)[2]
        wanted = {"DMY": f"DD{separator}MM{separator}YYYY", "MDY": f"MM{separator}DD{separator}YYYY"}.get(order, "iso")
    try:
        if wanted == "iso":
            return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
        found = datetime.strptime(text, _strptime(wanted))
    except (ValueError, OverflowError) as error:
        raise CellRefused(say("{text} is not a date of the form {wanted}.", text=shown(text), wanted=wanted)) from error
    return found if "H" in wanted else found.date()


def _strptime(pattern: str) -> str:
    return re.sub("YYYY|YY|MM|DD|HH|mm|SS", lambda token: TOKENS[token[0]], pattern)


def _time(text: str, _options: ReadOptions, _hint: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise CellRefused(say("{text} is not a time of day like 14:30:00.", text=shown(text))) from error


def _json(text: str, _options: ReadOptions, hint: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CellRefused(say("{text} is not JSON.", text=shown(text))) from error


def _refuse_constant(word: str) -> None:
    raise CellRefused(say("{word} is not a number of JSON.", word=word))


PARSERS = {
    "integer": _integer,
    NUMBER: _number,
    BOOLEAN: _boolean,
    DATE: _date,
    DATETIME: _datetime,
    TIME: _time,
    JSON: _json,
}


def date_order(texts: Iterable[str | None]) -> str:
    """Return YMD, DMY, MDY, ambiguous where both of the last are possible, or empty where nothing is a date."""
    votes: Counter[str] = Counter()
    for text in texts:
        if not text or not (found := WRITTEN_DATE.match(text)):
            continue
        first, second = int(found[1]), int(found[3])
        if len(found[1]) == 4:
            votes["YMD"] += 1
        elif first > 12 >= second:
            votes["DMY"] += 1
        elif second > 12 >= first:
            votes["MDY"] += 1
        else:
            votes["ambiguous"] += 1
    if votes["DMY"] and votes["MDY"]:
        return "ambiguous"
    return next((order for order in ("DMY", "MDY", "ambiguous", "YMD") if votes[order]), "")


def shown(text: str) -> str:
    """Return a text for a message: quoted and not longer than people read."""
    return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'


def render(value: Any, options: WriteOptions) -> str | None:
    """Return the text of a value; None stays None. What `parse` reads back with the same options."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _render_datetime(value, options)
    if isinstance(value, date):
        return value.isoformat() if options.date_format in {"iso", "timestamp"} else _patterned(value, options)
    if isinstance(value, time):
        return _shortest(value.isoformat())
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        text = number_text(value)
        return text if options.decimal_separator == "." else text.replace(".", options.decimal_separator)
    if isinstance(value, dict | list | tuple):
        return to_json(value)
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()  # as PostgreSQL shows bytea
    return str(value)


def number_text(value: float | Decimal) -> str:
    """Return a number without loss; a Decimal keeps its digits, and what PostgreSQL can hold has no exponent."""
    if isinstance(value, Decimal) and value.is_finite():
        exponent = int(value.as_tuple().exponent)
        if abs(value.adjusted()) < 30 or -MOST_DECIMALS <= exponent <= 0:
            return format(value, "f")
    return str(value)


def _render_datetime(value: datetime, options: WriteOptions) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(ZoneInfo(options.timezone))
    if options.date_format == "timestamp":
        return str(value.timestamp())
    if options.date_format == "iso":
        return _shortest(value.isoformat())
    pattern = options.date_format if "H" in options.date_format else f"{options.date_format} HH:mm:SS"
    return _patterned(value, options, pattern)


def _shortest(text: str) -> str:
    """Return an ISO time without zeros at the end of its fraction, as PostgreSQL writes it."""
    return ZEROS.sub(r"\1", text) if "." in text else text


def _patterned(value: date, options: WriteOptions, pattern: str = "") -> str:
    pattern = pattern or re.sub(r"[^A-Za-z]*(HH|mm|SS).*", "", options.date_format)
    year = f"{value.year:04d}"  # strftime writes year 33 as "33"
    return value.strftime(_strptime(pattern.replace("YYYY", year)))


def to_json(value: Any) -> str:
    """Return JSON that keeps each digit of numbers; dates and the like become their text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(str(key))}: {to_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, Numeral):
        return str.__str__(value)
    if isinstance(value, Decimal) and value.is_finite():
        return number_text(value)
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and value - value == 0):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(render(value, WriteOptions()), ensure_ascii=False)


class Numeral(str):
    """The digits of a number as its file wrote them."""

    __slots__ = ()
