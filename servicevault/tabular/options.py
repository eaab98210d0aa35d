"""The options of reading (F-065) and writing (F-111, F-112), checked: an unknown key or value is refused by name."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from servicevault.tabular.errors import OptionRefused
from servicevault.wording import say

DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
READ_ALIASES = {"include_headers": "has_headers", "skip_first_rows": "skip_rows"}
LINE_ENDINGS = {"crlf": "\r\n", "lf": "\n", "\r\n": "\r\n", "\n": "\n"}
DATE_FORMATS = {
    "us": "MM/DD/YYYY",
    "eu": "DD/MM/YYYY",
}
Check = Callable[[str, Any], Any]
Options = TypeVar("Options", "ReadOptions", "WriteOptions")


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file. Empty text or None means: find out."""

    format: str = ""
    has_headers: bool | None = None
    delimiter: str = ""
    quote_char: str | None = None  # empty text: cells are never quoted
    escape_char: str = ""
    encoding: str = ""
    skip_rows: int = 0
    skip_empty_rows: bool = True
    comment_char: str = ""
    max_rows: int | None = None
    sheet: str | int | None = None
    record_path: str | None = None
    flatten: bool = True
    date_format: str = "iso"
    timezone: str = "UTC"
    decimal_separator: str = "."
    thousands_separator: str = ""
    null_values: tuple[str, ...] = ("",)
    trim_whitespace: bool = False
    fill_merged: bool = False
    # Set by detection, no option of people: `sep=;` is the first line; every cell is quoted.
    separator_line: bool = False
    quotes_all: bool = False
    # Of an archive with several files: which of them is read.
    member: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, Any], *, others: Collection[str] = ()) -> ReadOptions:
        """Return checked options; keys named in `others` belong to the caller and are passed over."""
        renamed = {READ_ALIASES.get(key, key): value for key, value in given.items() if key not in others}
        return _checked(cls, renamed, READ_CHECKS)


@dataclass(frozen=True)
class WriteOptions:
    """How to write a file."""

    include_headers: bool = True
    date_format: str = "iso"
    timezone: str = "UTC"
    delimiter: str = ","
    quote_char: str = '"'
    line_ending: str = "\r\n"
    encoding: str = "utf-8"
    encoding_errors: str = "strict"
    null_value: str = ""
    decimal_separator: str = "."
    compression: str = "none"
    formula_guard: bool = True
    pretty_print: bool = False
    big_numbers: str = "number"
    sheet_name: str = "Data"
    auto_fit_columns: bool = True
    freeze_headers: bool = True
    root_name: str = "table"
    record_name: str = "row"

    @classmethod
    def parse(cls, given: Mapping[str, Any], *, others: Collection[str] = ()) -> WriteOptions:
        """Return checked options; camelCase names are accepted, keys named in `others` are passed over."""
        renamed = {snake(key): value for key, value in given.items() if snake(key) not in others}
        return _checked(cls, renamed, WRITE_CHECKS)


def _checked(cls: type[Options], given: Mapping[str, Any], checks: Mapping[str, Check]) -> Options:
    for key in given:
        if key not in checks:
            known = ", ".join(sorted(checks))
            raise OptionRefused(key, say("There is no option `{key}`. Known options: {known}.", key=key, known=known))
    return cls(**{key: checks[key](key, value) for key, value in given.items()})


def snake(name: str) -> str:
    """Return `includeHeaders` as `include_headers`."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: "_" + found[1].lower(), name)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise OptionRefused(key, say("Option `{key}` is true or false, not {value!r}.", key=key, value=value))
    return value


MOST_COUNTED = 2**31 - 1  # lines, rows and sheets of one file


def _count(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNTED:
        raise OptionRefused(
            key, say("Option `{key}` is a whole number from 0 to {most_counted:,}.", key=key, most_counted=MOST_COUNTED)
        )
    return int(value)


def _maybe_count(key: str, value: Any) -> int | None:
    return None if value is None else _count(key, value)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise OptionRefused(key, say("Option `{key}` is a text, not {value!r}.", key=key, value=value))
    return value


def _maybe_text(key: str, value: Any) -> str | None:
    return None if value is None or value == "auto" else _text(key, value)


def _one_of(*allowed: str) -> Check:
    def check(key: str, value: Any) -> str:
        if value not in allowed:
            raise OptionRefused(
                key,
                say(
                    "Option `{key}` is one of {allowed}, not {value!r}.",
                    key=key,
                    allowed=", ".join(map(repr, allowed)),
                    value=value,
                ),
            )
        return str(value)

    return check


def _character(*, optional: bool) -> Check:
    def check(key: str, value: Any) -> str:
        if optional and value in {None, "", "none"}:
            return ""
        if not isinstance(value, str) or len(value) != 1 or value in "\r\n\0":
            raise OptionRefused(key, say("Option `{key}` is one character, not {value!r}.", key=key, value=value))
        return value

    return check


def _delimiter(key: str, value: Any) -> str:
    if value == "auto":
        return ""
    named = DELIMITER_NAMES.get(value, value) if isinstance(value, str) else value
    character: str = _character(optional=False)(key, named)
    if character in "\"'":
        raise OptionRefused(key, say("Option `{key}` cannot be a quote.", key=key))
    return character


_NO_FILE_HAS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}  # of names and of Python


def _encoding(key: str, value: Any) -> str:
    if value in {"auto", ""}:
        return ""
    try:
        info = codecs.lookup(_text(key, value))
    except (LookupError, ValueError):
        info = None
    # Codecs like hex, zip or rot13 turn bytes into bytes: never an encoding of text.
    if info is None or not info._is_text_encoding or info.name.replace("_", "-") in _NO_FILE_HAS:
        raise OptionRefused(
            key, say("There is no encoding {value!r}. Examples: utf-8, utf-16, windows-1252.", value=value)
        )
    return str(value).lower()


def _zone(key: str, value: Any) -> str:
    try:
        ZoneInfo(_text(key, value))
    except (OSError, ValueError, KeyError):
        raise OptionRefused(key, say("There is no time zone {value!r}. Example: Europe/Berlin.", value=value)) from None
    return str(value)


def _date_format(key: str, value: Any) -> str:
    text = _text(key, value)
    if text in {"iso", "auto", "timestamp"} or text in DATE_FORMATS:
        return DATE_FORMATS.get(text, text)
    if not re.fullmatch(r"(?:YYYY|YY|MM|DD|HH|mm|SS|[^A-Za-z%])+", text) or "D" not in text:
        raise OptionRefused(
            key, say("Option `{key}` is iso, auto or a pattern like DD.MM.YYYY, not {value!r}.", key=key, value=value)
        )
    return text


def _words(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise OptionRefused(key, say("Option `{key}` is a list of texts, not {value!r}.", key=key, value=value))
    return tuple(value)


def _sheet(key: str, value: Any) -> str | int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    return _text(key, value)


def _sheet_name(key: str, value: Any) -> str:
    """Return a name Excel accepts: forbidden characters replaced, 31 characters at most."""
    return re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", _text(key, value)).strip("'")[:31] or "Data"


READ_CHECKS: dict[str, Check] = {
    "format": _text,
    "has_headers": _flag,
    "delimiter": _delimiter,
    "quote_char": _one_of('"', "'", "none", ""),
    "escape_char": _character(optional=True),
    "encoding": _encoding,
    "skip_rows": _count,
    "skip_empty_rows": _flag,
    "comment_char": _character(optional=True),
    "max_rows": _maybe_count,
    "sheet": _sheet,
    "record_path": _maybe_text,
    "flatten": _flag,
    "date_format": _date_format,
    "timezone": _zone,
    "decimal_separator": _one_of(".", ","),
    "thousands_separator": _one_of("", ",", ".", " ", "'", "\u00a0", "\u202f"),
    "null_values": _words,
    "trim_whitespace": _flag,
    "fill_merged": _flag,
}
WRITE_CHECKS: dict[str, Check] = {
    "include_headers": _flag,
    "date_format": _date_format,
    "timezone": _zone,
    "delimiter": _delimiter,
    "quote_char": _one_of('"', "'"),
    "line_ending": lambda key, value: LINE_ENDINGS[_one_of(*LINE_ENDINGS)(key, value)],
    "encoding": _encoding,
    "encoding_errors": _one_of("strict", "replace"),
    "null_value": _text,
    "decimal_separator": _one_of(".", ","),
    "compression": _one_of("none", "gzip", "zip"),
    "formula_guard": _flag,
    "pretty_print": _flag,
    "big_numbers": _one_of("number", "string"),
    "sheet_name": _sheet_name,
    "auto_fit_columns": _flag,
    "freeze_headers": _flag,
    "root_name": _text,
    "record_name": _text,
}
PEOPLE_MAY_NOT_SET = {each.name for each in fields(ReadOptions)} - set(READ_CHECKS)
