"""Columns of any table: a cell's text becomes a value of whatever type the column has.

Whether a text is a value of a type says PostgreSQL itself (`pg_input_is_valid`), with stricter rules on top where its
own are too kind: a hexadecimal number, a rounded one, a date among words (F-071).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from psycopg import sql

from importer.pipeline.binding import Bind, fragment, name, slot
from importer.pipeline.transforms import dates, numbers
from servicevault.catalog import Field
from servicevault.wording import say

WHOLE = {"int2": "smallint", "int4": "integer", "int8": "bigint"}
FLOATS = {"float4", "float8"}
TEXTS = {"text", "varchar", "bpchar", "citext", "name"}
MOMENTS = {"date", "timestamp", "timestamptz"}
DOCUMENTS = {"json", "jsonb"}
_TRIMMED = {*WHOLE, *FLOATS, *MOMENTS, "numeric", "jsonb", "bool", "uuid", "time", "timetz", "interval", "inet", "cidr"}
MOST_DIMENSIONS = 3  # of an array; PostgreSQL itself takes six
_ISO_DAY = "^\\d{4,7}-\\d{1,2}-\\d{1,2}([T ]00:00(:00(\\.0+)?)?(Z|[+-]00(:?00)?)?)?( BC)?$"
_ISO = "^\\d{4,6}-\\d{1,2}-\\d{1,2}([T ]|$)"  # no more than must be looked at: a cell of every row is
_ZONE = "(Z|[+-]\\d\\d(:?\\d\\d)?)$"
_ENDLESS = sql.SQL("'infinity', '-infinity'")
_NO_NUMBERS = sql.SQL("'nan', 'infinity', '-infinity'")
_NUMERIC_SCALE = re.compile(r"^numeric\(\d+,(-?\d+)\)$")


@dataclass(frozen=True)
class Cells:
    """How the cells of a source write numbers and moments, and whether they have types of their own."""

    date_format: str = "iso"
    decimal: str = "."
    thousands: str = ""
    typed: bool = False  # JSON, YAML, workbooks: 1.0 is the number one
    documents: bool = False  # JSON, YAML: lists and objects are values; elsewhere a cell holds the text of JSON

    @property
    def form(self) -> str:
        """The date format as our transformations name it."""
        return self.date_format.replace("mm", "MI")


def stored_type(field: Field) -> str:
    """PostgreSQL type of the prepared value; texts without their length, which is judged with a reason."""
    return "text" if field.base in TEXTS else field.sql_type


def is_document(field: Field) -> bool:
    return field.base in DOCUMENTS


def emptied(field: Field, text: sql.Composable) -> sql.Composable:
    """The cell's text, NULL where it is blank and the type has no blank value; blanks around it stay where they are one."""
    if field.base in TEXTS:
        return text
    if field.base in _TRIMMED or field.base.startswith("_"):
        return sql.SQL("nullif(btrim({}), '')").format(text)
    return sql.SQL("CASE WHEN pg_input_is_valid({0}, {1}) THEN {0} WHEN btrim({0}) <> '' THEN btrim({0}) END").format(
        text, sql.Literal(field.sql_type.replace("%", "%%"))
    )


def needs_type(field: Field, cells: Cells) -> bool:
    """Whether the JSON value is opened as JSON because its own type decides."""
    return (cells.documents and field.base in DOCUMENTS) or (cells.typed and field.base in WHOLE)


def opened(field: Field, value: sql.Composable) -> sql.Composable:
    """The text of a value that was opened as JSON."""
    if field.base in DOCUMENTS:
        return sql.SQL("{}::text").format(value)
    return sql.SQL(
        "CASE WHEN json_typeof({0}) = 'number' AND pg_input_is_valid({0} #>> '{{}}', 'numeric') "
        "THEN trim_scale(({0} #>> '{{}}')::numeric)::text ELSE {0} #>> '{{}}' END"
    ).format(value)


def typed(field: Field, text: sql.Composable, cells: Cells, zone: sql.Composable, bind: Bind) -> sql.Composable:
    """The value, NULL where the text is none of the column's type."""
    match field.base:
        case base if base in TEXTS:
            return text
        case base if base in WHOLE:
            return _whole(field, _plain(text, cells), bind)
        case "numeric" | "float4" | "float8":
            return _number(field, _plain(text, cells), bind)
        case "bool":
            return numbers.boolean(text)
        case "date":
            return _day(_as_iso(text, cells, bind), bind)
        case "timestamp" | "timestamptz":
            return _moment(field.base, _as_iso(text, cells, bind), zone, bind)
        case base if base.startswith("_"):
            return _valid(field, _array(field, text), bind)
        case _:
            return _valid(field, text, bind)


_OF_TYPES = {
    "integer": ("int4", "integer"),
    "numeric": ("numeric", "numeric"),
    "timestamptz": ("timestamptz", "timestamp with time zone"),
}


def column_of(field: Field) -> Field | None:
    """The field as a column of its type, where a file writes such values in a way of its own."""
    if field.type not in _OF_TYPES or field.reference or field.choices:
        return None
    base, sql_type = _OF_TYPES[field.type]
    return replace(
        field, type="column", base=base, sql_type=f"numeric({field.precision})" if field.precision else sql_type
    )


def comparable(field: Field, value: sql.Composable) -> sql.Composable:
    """The prepared value in the column's own type, so that an index on the column serves."""
    if field.base in {"bpchar", "citext", "name"}:
        return sql.SQL("{}::{}").format(value, sql.SQL(field.base))
    return value


# -- values -------------------------------------------------------------------------------------------------------


def _plain(text: sql.Composable, cells: Cells) -> sql.Composable:
    """The number without groups and with a point; a text that is not written so stays and fails."""
    if cells.thousands:
        group = re.escape(cells.thousands)
        grouped = sql.Literal(f"^[+-]?\\d{{1,3}}({group}\\d{{3}})+(?!\\d)".replace("%", "%%"))
        text = sql.SQL("(CASE WHEN {0} ~ {1} THEN replace({0}, {2}, '') ELSE {0} END)").format(
            text, grouped, sql.Literal(cells.thousands)
        )
    if cells.decimal != ".":
        point = sql.SQL("{}").format(text) if cells.typed else sql.SQL("NULL")  # a point is none of the file's signs
        text = sql.SQL(
            "(CASE WHEN position('.' IN {0}) > 0 THEN {1} WHEN {0} ~ '^[+-]?\\d+,\\d+$' THEN replace({0}, ',', '.') "
            "ELSE {0} END)"
        ).format(text, point)
    return text


def _whole(field: Field, text: sql.Composable, bind: Bind) -> sql.Composable:
    kind = WHOLE[field.base]
    return sql.SQL(
        "CASE WHEN translate({0}, '0123456789+-', '') = '' AND pg_input_is_valid({0}, '{1}') THEN {0}::{1} END"
    ).format(text, sql.SQL(kind))


def _number(field: Field, text: sql.Composable, bind: Bind) -> sql.Composable:
    kind = sql.SQL(field.sql_type)
    plain = sql.SQL("translate({}, '0123456789+-.eE', '') = ''").format(text)
    plain = sql.SQL("({} OR lower({}) IN ({}))").format(plain, text, _NO_NUMBERS)
    value = sql.SQL("{}::{}").format(text, kind)
    if _NUMERIC_SCALE.match(field.sql_type):  # never rounded in silence
        value = sql.SQL("CASE WHEN {0}::{1} = {0}::numeric THEN {0}::{1} END").format(text, kind)
    return sql.SQL("CASE WHEN {} AND pg_input_is_valid({}, {}) THEN {} END").format(
        plain, text, sql.Literal(field.sql_type), value
    )


def _as_iso(text: sql.Composable, cells: Cells, bind: Bind) -> sql.Composable:
    """The moment as ISO; one that is written so already stays, whatever the format."""
    if cells.date_format == "iso":
        return text
    if cells.date_format == "timestamp":
        other: sql.Composable = sql.SQL(
            "CASE WHEN {0} ~ '^-?\\d{{1,11}}(\\.\\d+)?$' THEN to_char(to_timestamp({0}::double precision) "
            "AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') END"
        ).format(text)
    else:
        other = dates.iso(text, cells.form, bind)
    return sql.SQL("(CASE WHEN {0} ~ '{1}' THEN {0} ELSE {2} END)").format(text, sql.SQL(_ISO), other)


def _day(text: sql.Composable, bind: Bind) -> sql.Composable:
    plain = sql.SQL("{0} LIKE '____-__-__' AND translate({0}, '0123456789', '') = '--'").format(text)
    return sql.SQL(
        "CASE WHEN ({2} OR {0} ~ '{1}' OR {0} IN ({3})) AND pg_input_is_valid({0}, 'date') THEN {0}::date END"
    ).format(text, sql.SQL(_ISO_DAY), plain, _ENDLESS)


def _moment(base: str, text: sql.Composable, zone: sql.Composable, bind: Bind) -> sql.Composable:
    """The instant, or the local time; what has no zone is read in ours, and shown in ours where none is stored."""
    # A zone has six characters at most; a pattern that may begin anywhere is slow.
    aware = sql.SQL(
        "(right({0}, 1) = 'Z' OR right({0}, 6) ~ '{1}' OR (right({0}, 3) = ' BC' AND left(right({0}, 9), 6) ~ '{1}')) "
        "AND position(':' IN {0}) > 0"
    ).format(text, sql.SQL(_ZONE))
    if base == "timestamptz":
        local = sql.SQL("{}::timestamp AT TIME ZONE {}").format(text, zone)
        instant = sql.SQL("{}::timestamptz").format(text)
    else:
        local = sql.SQL("{}::timestamp").format(text)
        instant = sql.SQL("{}::timestamptz AT TIME ZONE {}").format(text, zone)
    # Most are written so; asking that first is a third of the work.
    plain = sql.SQL("{0} LIKE '____-__-_____:__:__' AND translate({0}, '0123456789', '') IN ('-- ::', '--T::')").format(
        text
    )
    return sql.SQL(
        "CASE WHEN {7} THEN CASE WHEN pg_input_is_valid({0}, 'timestamptz') THEN {4} END "
        "WHEN {0} IN ({5}) THEN {0}::{6} "
        "WHEN {0} ~ '{1}' AND pg_input_is_valid({0}, 'timestamptz') THEN CASE WHEN {2} THEN {3} ELSE {4} END END"
    ).format(text, sql.SQL(_ISO), aware, instant, local, _ENDLESS, sql.SQL(base), plain)


def _array(field: Field, text: sql.Composable) -> sql.Composable:
    """A list of JSON as an array of PostgreSQL is written; any other text as it is."""
    document = sql.SQL("{}::jsonb").format(text)
    if field.base.removeprefix("_") in DOCUMENTS:  # a list in it is a document, not another dimension
        array: sql.Composable = sql.SQL(
            "ARRAY(SELECT CASE WHEN e <> 'null' THEN e::text END FROM jsonb_array_elements({}) e)::text"
        ).format(document)
    else:
        array = _dimension(document, 1)
    return sql.SQL("(CASE WHEN left({0}, 1) = '[' AND pg_input_is_valid({0}, 'jsonb') THEN {1} ELSE {0} END)").format(
        text, array
    )


def _dimension(document: sql.Composable, depth: int) -> sql.Composable:
    """The list as PostgreSQL writes an array of so many dimensions; NULL where there are more than people use."""
    plain = sql.SQL("ARRAY(SELECT e FROM jsonb_array_elements_text({}) e)::text").format(document)
    inner = sql.Identifier(f"d{depth}")
    deeper = (
        sql.SQL("(SELECT '{{' || string_agg({}, ',') || '}}' FROM jsonb_array_elements({}) {})").format(
            _dimension(inner, depth + 1), document, inner
        )
        if depth < MOST_DIMENSIONS
        else sql.SQL("NULL")
    )
    return sql.SQL(
        "CASE WHEN jsonb_typeof({}) <> 'array' THEN NULL WHEN jsonb_typeof({} -> 0) = 'array' THEN {} ELSE {} END"
    ).format(document, document, deeper, plain)


def _valid(field: Field, text: sql.Composable, bind: Bind) -> sql.Composable:
    return sql.SQL("CASE WHEN pg_input_is_valid({0}, {1}) THEN {0}::{2} END").format(
        text, sql.Literal(field.sql_type.replace("%", "%%")), fragment(field.sql_type)
    )


# -- what is said of a text that is no value ---------------------------------------------------------------------


def wrong(field: Field, cells: Cells) -> Iterator[tuple[sql.Composable, str, str]]:
    """(condition over the cell that is no value, code, end of the sentence), the particular ones first."""
    cell = name("p", f"cell:{field.name}")
    shown = field.sql_type.upper() if '"' not in field.sql_type else field.sql_type
    match field.base:
        case base if base in WHOLE:
            yield (
                sql.SQL("{} ~ '^[+-]?\\d+$'").format(cell),
                "out_of_range",
                say("is outside the range of {shown}", shown=shown),
            )
            yield sql.SQL("true"), "not_a_number", say("is not a whole number ({shown})", shown=shown)
        case "numeric" | "float4" | "float8":
            number = sql.SQL("{} ~ '^[+-]?(\\d+(\\.\\d*)?|\\.\\d+)$'").format(cell)
            yield number, "out_of_range", say("does not fit {shown} without loss", shown=shown)
            yield sql.SQL("true"), "not_a_number", say("is not a number")
        case "bool":
            yield sql.SQL("true"), "not_a_boolean", say("is neither yes nor no")
        case base if base in MOMENTS:
            if cells.date_format == "auto":
                both = sql.SQL("{} ~ '^(0?[1-9]|1[0-2])([./-])(0?[1-9]|1[0-2])\\2\\d{{4}}'").format(cell)
                yield both, "ambiguous_date", say("can be two dates. Choose the date format")
            what = say("a date") if field.base == "date" else say("a date and time")
            said = say("is not {what}", what=what)
            if cells.date_format not in {"iso", "auto"}:
                said = say("is not {what} of the form {form}", what=what, form=cells.date_format)
            yield sql.SQL("true"), "bad_date", said
        case base if base in DOCUMENTS:
            yield sql.SQL("true"), "bad_json", say("is not JSON")
        case "uuid":
            yield sql.SQL("true"), "bad_uuid", say("is not a UUID")
        case base if base.startswith("_"):
            yield sql.SQL("true"), "bad_list", say("is not a list of {shown}", shown=shown.removesuffix("[]"))
        case _ if field.labels:
            yield sql.SQL("true"), "not_one_of", say("is none of {labels}", labels=", ".join(field.labels[:20]))
        case _:
            yield sql.SQL("true"), "bad_value", say("is no value of {shown}", shown=shown)


def oddities(field: Field, year: int) -> Iterator[tuple[sql.Composable, str, str]]:
    """(condition over p, code, end of the sentence) of values that go in and are worth a look (F-078)."""
    value, cell = name("p", slot(field.name)), name("p", f"cell:{field.name}")
    if field.base in WHOLE or field.base in {"numeric", *FLOATS}:
        yield (
            sql.SQL("left({0}, 1) IN ('0', '+', '-') AND {0} ~ '^[+-]?0\\d'").format(cell),
            "leading_zeros",
            say("had leading zeros, which a number does not keep"),
        )
        if re.search(r"(^|_)(age|years_old|alter)($|_)", field.name.lower()):
            yield sql.SQL("{} NOT BETWEEN 0 AND 120").format(value), "unusual_value", say("seems unusual for an age")
    elif field.base in MOMENTS:
        odd = sql.SQL("({0} < '1900-01-01' OR {0} >= '{1}-01-01')").format(value, sql.SQL(str(year + 11)))
        yield odd, "unusual_date", say("is before 1900 or more than ten years ahead")
    elif field.base in TEXTS:
        yield (
            sql.SQL("position(U&'\\FFFD' in {}) > 0").format(value),
            "replacement_character",
            say("has characters that were lost, mostly by a wrong encoding"),
        )
