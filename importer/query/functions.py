"""The functions, casts and date parts the expression language knows, as data: nothing else can be called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from servicevault.wording import say

ParameterKind = Literal[
    "text",  # a text literal is bound as text
    "value",  # a text literal is bound without a type: PostgreSQL takes the one that fits
    "pattern",  # text literal: a regular expression, at most 200 characters, no back-references
    "flags",  # text literal: letters of REGEX_FLAGS
    "replacement",  # text literal of at most 100 characters: bounds how much the text can grow
    "format",  # text literal of at most 200 characters
    "unit",  # text literal: one of the date parts
    "size",  # whole number literal up to MAX_PAD
]
Group = Literal["text", "numbers", "dates", "other", "aggregates"]
# What a function returns, for checks only: "" follows the arguments.
Family = Literal["text", "number", "boolean", "date", "timestamp", "interval", "json", "uuid", "array", ""]

MANY = 60  # arguments of COALESCE, CONCAT and the like
MAX_PAD = 10_000  # characters LPAD and RPAD may pad to
MAX_PATTERN = 200  # SECURITY 1.2
MAX_REPLACEMENT = 100
MAX_FORMAT = 200
MAX_GROWTH_NESTING = 2  # nested replace() made 51 MB of a line; see SECURITY 1.2
MAX_COMPUTED_CHARACTERS = 10_000_000  # left() cap around functions whose output can outgrow their input
REGEX_FLAGS = frozenset("gimnpswx")

EXTRACT_FIELDS = frozenset({
    "microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade",
    "century", "millennium", "dow", "doy", "epoch", "isodow", "isoyear", "timezone", "timezone_hour",
    "timezone_minute",
})  # fmt: skip


@dataclass(frozen=True)
class Function:
    name: str  # as written, upper case
    sql: str  # name in pg_catalog; "" when it is syntax
    group: Group
    parameters: tuple[ParameterKind, ...]  # the last one repeats up to `most` arguments
    least: int
    most: int
    returns: Family
    signature: str
    example: str  # runs without a table
    result: str  # what PostgreSQL answers to the example, as text
    grows: bool = False  # output can be longer than the input
    note: str = ""

    @property
    def aggregate(self) -> bool:
        return self.group == "aggregates"

    def kind(self, index: int) -> ParameterKind:
        """The kind of the argument at `index`."""
        return self.parameters[min(index, len(self.parameters) - 1)]


def _function(
    signature: str,
    group: Group,
    parameters: str,
    arity: tuple[int, int],
    returns: Family,
    *sample: str,
    sql: str | None = None,
    grows: bool = False,
    note: str = "",
) -> Function:
    name = signature.partition("(")[0].strip()
    example, result = sample
    kinds = cast("tuple[ParameterKind, ...]", tuple(parameters.split()) or ("value",))
    sql_name = name.lower() if sql is None else sql
    return Function(name, sql_name, group, kinds, *arity, returns, signature, example, result, grows, note)


_ALL = (
    _function("CONCAT(a, b, ...)", "text", "text", (1, MANY), "text", "CONCAT('Jo', ' ', 'Doe')", "Jo Doe", grows=True),
    _function("CONCAT_WS(separator, a, ...)", "text", "text", (2, MANY), "text",
              "CONCAT_WS(', ', 'Doe', NULL, 'Jo')", "Doe, Jo", grows=True),
    _function("LOWER(text)", "text", "text", (1, 1), "text", "LOWER('Anna')", "anna"),
    _function("UPPER(text)", "text", "text", (1, 1), "text", "UPPER('Anna')", "ANNA"),
    _function("INITCAP(text)", "text", "text", (1, 1), "text", "INITCAP('anna maria')", "Anna Maria"),
    _function("TRIM(text)", "text", "text", (1, 2), "text", "TRIM('  a ')", "a", sql="btrim",
              note=say("TRIM(BOTH | LEADING | TRAILING characters FROM text) works too.")),
    _function("BTRIM(text, characters)", "text", "text", (1, 2), "text", "BTRIM('xax', 'x')", "a"),
    _function("LTRIM(text, characters)", "text", "text", (1, 2), "text", "LTRIM('xax', 'x')", "ax"),
    _function("RTRIM(text, characters)", "text", "text", (1, 2), "text", "RTRIM('xax', 'x')", "xa"),
    _function("LEFT(text, count)", "text", "text value", (2, 2), "text", "LEFT('ticket', 3)", "tic"),
    _function("RIGHT(text, count)", "text", "text value", (2, 2), "text", "RIGHT('ticket', 3)", "ket"),
    _function("SUBSTRING(text, start, count)", "text", "text value value", (2, 3), "text",
              "SUBSTRING('ticket', 2, 3)", "ick", note=say("SUBSTRING(text FROM start FOR count) works too.")),
    _function("REPLACE(text, old, new)", "text", "text text replacement", (3, 3), "text",
              "REPLACE('a@b', '@', ' at ')", "a at b", grows=True),
    _function("REGEXP_REPLACE(text, pattern, new, flags)", "text", "text pattern replacement flags", (3, 4), "text",
              "REGEXP_REPLACE('a  b', ' +', ' ', 'g')", "a b", grows=True),
    _function("SPLIT_PART(text, separator, number)", "text", "text text value", (3, 3), "text",
              "SPLIT_PART('jo@example.com', '@', 2)", "example.com"),
    _function("LENGTH(text)", "text", "text", (1, 1), "number", "LENGTH('ticket')", "6"),
    _function("LPAD(text, size, fill)", "text", "text size text", (2, 3), "text", "LPAD('7', 3, '0')", "007",
              grows=True),
    _function("RPAD(text, size, fill)", "text", "text size text", (2, 3), "text", "RPAD('7', 3, '.')", "7..",
              grows=True),
    _function("POSITION(part IN text)", "text", "text", (2, 2), "number", "POSITION('@' IN 'jo@example.com')", "3",
              sql="strpos"),
    _function("STRPOS(text, part)", "text", "text", (2, 2), "number", "STRPOS('jo@example.com', '@')", "3"),
    _function("REVERSE(text)", "text", "text", (1, 1), "text", "REVERSE('abc')", "cba"),
    _function("ROUND(number, digits)", "numbers", "value", (1, 2), "number", "ROUND(7.5 / 2, 1)", "3.8"),
    _function("FLOOR(number)", "numbers", "value", (1, 1), "number", "FLOOR(2.7)", "2"),
    _function("CEIL(number)", "numbers", "value", (1, 1), "number", "CEIL(2.1)", "3"),
    _function("ABS(number)", "numbers", "value", (1, 1), "number", "ABS(-4)", "4"),
    _function("MOD(number, divisor)", "numbers", "value", (2, 2), "number", "MOD(7, 3)", "1"),
    _function("SIGN(number)", "numbers", "value", (1, 1), "number", "SIGN(-4.0)", "-1"),
    _function("TRUNC(number, digits)", "numbers", "value", (1, 2), "number", "TRUNC(2.79, 1)", "2.7"),
    _function("GREATEST(a, b, ...)", "numbers", "value", (1, MANY), "", "GREATEST(1, 3, 2)", "3", sql=""),
    _function("LEAST(a, b, ...)", "numbers", "value", (1, MANY), "", "LEAST(1, 3, 2)", "1", sql=""),
    _function("TO_CHAR(value, format)", "dates", "value format", (2, 2), "text",
              "TO_CHAR(DATE '2024-02-01', 'DD.MM.YYYY')", "01.02.2024"),
    _function("TO_DATE(text, format)", "dates", "text format", (2, 2), "date",
              "TO_DATE('01.02.2024', 'DD.MM.YYYY')", "2024-02-01"),
    _function("TO_TIMESTAMP(text, format)", "dates", "value format", (1, 2), "timestamp",
              "TO_TIMESTAMP('2024-02-01 10:00', 'YYYY-MM-DD HH24:MI') = TIMESTAMP '2024-02-01 10:00'", "true",
              note=say("TO_TIMESTAMP(seconds) reads a number of seconds since 1970.")),
    _function("DATE_TRUNC(unit, value)", "dates", "unit value", (2, 2), "timestamp",
              "DATE_TRUNC('month', TIMESTAMP '2024-02-15 10:00')", "2024-02-01 00:00:00"),
    _function("DATE_PART(field, value)", "dates", "unit value", (2, 2), "number",
              "DATE_PART('year', TIMESTAMP '2024-02-15 10:00')", "2024"),
    _function("NOW()", "dates", "", (0, 0), "timestamp", "NOW() > TIMESTAMP '2024-01-01 00:00'", "true"),
    _function("CURRENT_DATE", "dates", "", (0, 0), "date", "CURRENT_DATE > DATE '2024-01-01'", "true", sql=""),
    _function("AGE(later, earlier)", "dates", "value", (1, 2), "interval",
              "AGE(TIMESTAMP '2024-02-15 00:00', TIMESTAMP '2024-02-01 00:00') = INTERVAL '14 days'", "true"),
    _function("MAKE_DATE(year, month, day)", "dates", "value", (3, 3), "date", "MAKE_DATE(2024, 2, 1)", "2024-02-01"),
    _function("COALESCE(a, b, ...)", "other", "value", (1, MANY), "", "COALESCE(NULL, 'n/a')", "n/a", sql=""),
    _function("NULLIF(a, b)", "other", "value", (2, 2), "", "COALESCE(NULLIF('', ''), 'empty')", "empty", sql=""),
    _function("MD5(text)", "other", "text", (1, 1), "text", "MD5('a')", "0cc175b9c0f1b6a831c399e269772661"),
    _function("ARRAY_TO_STRING(array, separator, for_null)", "other", "value text", (2, 3), "text", "", ""),
    _function("CARDINALITY(array)", "other", "value", (1, 1), "number", "", ""),
    _function("COUNT(value)", "aggregates", "text", (0, 1), "number", "", "", note=say("COUNT(*) counts rows.")),
    _function("SUM(number)", "aggregates", "value", (1, 1), "number", "", ""),
    _function("MIN(value)", "aggregates", "text", (1, 1), "", "", ""),
    _function("MAX(value)", "aggregates", "text", (1, 1), "", "", ""),
    _function("AVG(number)", "aggregates", "value", (1, 1), "number", "", ""),
    _function("STRING_AGG(text, separator)", "aggregates", "text", (2, 2), "text", "", ""),
    _function("ARRAY_AGG(value)", "aggregates", "text", (1, 1), "array", "", ""),
    _function("BOOL_AND(condition)", "aggregates", "value", (1, 1), "boolean", "", ""),
    _function("BOOL_OR(condition)", "aggregates", "value", (1, 1), "boolean", "", ""),
)  # fmt: skip

FUNCTIONS: dict[str, Function] = {function.name: function for function in _ALL}
AGGREGATES = frozenset(name for name, function in FUNCTIONS.items() if function.aggregate)


@dataclass(frozen=True)
class CastType:
    sql: str  # name in pg_catalog
    family: Family
    modifiers: int = 0  # how many numbers may follow in parentheses


CAST_TYPES: dict[str, CastType] = {
    "text": CastType("text", "text"),
    "varchar": CastType("varchar", "text", 1),
    "integer": CastType("int4", "number"),
    "bigint": CastType("int8", "number"),
    "numeric": CastType("numeric", "number", 2),
    "boolean": CastType("bool", "boolean"),
    "date": CastType("date", "date"),
    "time": CastType("time", "interval"),
    "timestamp": CastType("timestamp", "timestamp"),
    "timestamptz": CastType("timestamptz", "timestamp"),
    "interval": CastType("interval", "interval"),
    "uuid": CastType("uuid", "uuid"),
    "json": CastType("json", "json"),
    "jsonb": CastType("jsonb", "json"),
}
CAST_ALIASES = {
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "decimal": "numeric",
    "bool": "boolean",
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}
TYPED_TEXTS = frozenset({"date", "time", "timestamp", "timestamptz", "interval"})
MAX_MODIFIERS = {"varchar": (10_485_760,), "numeric": (1_000, 1_000)}  # PostgreSQL's own limits


def cast_type(name: str) -> str:
    """The key of CAST_TYPES that `name` means, or "" when the type may not be cast to."""
    folded = " ".join(name.lower().split())
    folded = CAST_ALIASES.get(folded, folded)
    return folded if folded in CAST_TYPES else ""


def literal_fault(kind: ParameterKind, value: str) -> str:
    """What is wrong with the text literal `value` as an argument of `kind`; "" when it is fine."""
    if kind == "pattern":
        return pattern_fault(value)
    if kind == "flags" and not set(value) <= REGEX_FLAGS:
        return say("The flags of a pattern are letters of {regex_flags}.", regex_flags=", ".join(sorted(REGEX_FLAGS)))
    if kind == "replacement" and len(value) > MAX_REPLACEMENT:
        return say("A replacement has at most {max_replacement} characters.", max_replacement=MAX_REPLACEMENT)
    if kind == "format" and len(value) > MAX_FORMAT:
        return say("A format has at most {max_format} characters.", max_format=MAX_FORMAT)
    if kind == "unit" and value.lower() not in EXTRACT_FIELDS:
        return say(
            "'{value}' is not a date part; use one of {extract_fields}.",
            value=value[:40],
            extract_fields=", ".join(sorted(EXTRACT_FIELDS)),
        )
    return ""


def pattern_fault(pattern: str) -> str:
    """What is wrong with a regular expression; "" when it may be sent to a source."""
    if len(pattern) > MAX_PATTERN:
        return say("A pattern has at most {max_pattern} characters.", max_pattern=MAX_PATTERN)
    if re.search(r"\\[1-9]", pattern):
        return say("A pattern cannot refer back to a group (\\1): such patterns can take hours.")
    if len(re.findall(r"\{[0-9]", pattern)) > 4:
        return say("A pattern has at most 4 counted repetitions ({n,m}).")
    return ""
