"""Dates and times in the forms people write them.

PostgreSQL has no parser that takes a form and does not raise. So a form becomes a regular expression of ours
that rewrites the text as ISO, and `pg_input_is_valid` judges the result: 31.02.2024 is no date, and costs no chunk.
"""

from __future__ import annotations

import re
from zoneinfo import available_timezones

from psycopg import sql

from importer.errors import QueryError
from importer.pipeline.binding import Bind
from importer.pipeline.transforms.kinds import Kind, Parameter, Params
from servicevault.wording import say

Reading = tuple[str, str]  # regular expression of PostgreSQL, replacement that makes it ISO

_TOKENS = {
    "YYYY": ("year", r"(\d{4})"), "YY": ("short", r"(\d{2})"), "MONTH": ("month", r"([A-Za-z]{3,9})"),
    "MON": ("month", r"([A-Za-z]{3,9})"), "MM": ("month", r"(\d{1,2})"), "DD": ("day", r"(\d{1,2})"),
    "HH24": ("hour", r"(\d{1,2})"), "HH12": ("hour", r"(\d{1,2})"), "HH": ("hour", r"(\d{1,2})"),
    "MI": ("minute", r"(\d{2})"), "SS": ("second", r"(\d{2})"), "US": ("fraction", r"(\d{1,6})"),
    "MS": ("fraction", r"(\d{1,3})"), "AM": ("half", "([AaPp][Mm])"), "PM": ("half", "([AaPp][Mm])"),
    "TZ": ("offset", r"(Z|[+-]\d{2}:?\d{2})"),
}  # fmt: skip
_TOKEN = re.compile("|".join(sorted(_TOKENS, key=len, reverse=True)) + '|"[^"]*"|.', re.IGNORECASE | re.DOTALL)
_CENTURY = (("([0-6]\\d)", "20"), ("([7-9]\\d)", "19"))  # as to_date() reads two digits
_TIME = r"(?:[ T]+(\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?))?"
_ISO = (r"^(\d{4}-\d{1,2}-\d{1,2})(?:[ T]+(.*))?$", r"\1 \2")
# A date with slashes is read only when it can mean one day.
_AUTO: tuple[Reading, ...] = (
    _ISO,
    (rf"^(\d{{1,2}})\.(\d{{1,2}})\.(\d{{4}}){_TIME}$", r"\3-\2-\1 \4"),
    (rf"^(1[3-9]|2\d|3[01])/(\d{{1,2}})/(\d{{4}}){_TIME}$", r"\3-\2-\1 \4"),
    (rf"^(\d{{1,2}})/(1[3-9]|2\d|3[01])/(\d{{4}}){_TIME}$", r"\3-\1-\2 \4"),
    (rf"^(\d{{1,2}})/\1/(\d{{4}}){_TIME}$", r"\2-\1-\1 \3"),
)


def readings(form: str) -> tuple[Reading, ...]:
    """How texts of the form become ISO: "iso", "auto", or a pattern of YYYY, YY, MM, Mon, DD, HH24, MI, SS, AM, TZ.

    Raises QueryError for a pattern that does not name a year.
    """
    if form.lower() in {"", "iso"}:
        return (_ISO,)
    if form.lower() == "auto":
        return _AUTO
    found: dict[str, int] = {}
    pattern = "^"
    for piece in _TOKEN.findall(form):
        part, expression = _TOKENS.get(piece.upper(), ("", ""))
        if part:
            if part in found or (part == "short" and "year" in found):
                raise QueryError(
                    say("The form “{form}” names the {part} twice.", form=form[:60], part=part),
                    hint=say("Name each part once."),
                )
            found[part] = len(found) + 1
            pattern += expression
        else:
            pattern += "".join(_escaped(character) for character in piece.strip('"'))
    return _with_century(form, pattern + "$", found)


def _escaped(character: str) -> str:
    if character.isspace():
        return r"\s+"
    return character if character.isalnum() else f"\\{character}"


def _with_century(form: str, pattern: str, found: dict[str, int]) -> tuple[Reading, ...]:
    if "year" in found:
        return ((pattern, _iso(found, f"\\{found['year']}")),)
    if "short" in found:
        return tuple(
            (_with_group(pattern, found["short"], digits), _iso(found, f"{century}\\{found['short']}"))
            for digits, century in _CENTURY
        )
    raise QueryError(
        say("The form “{form}” names no year.", form=form[:60]),
        hint=say("Write it like DD.MM.YYYY or YYYY-MM-DD HH24:MI."),
    )


def _with_group(pattern: str, group: int, expression: str) -> str:
    """`pattern` with another expression in place of its group of that number, two digits."""
    start = [match.start() for match in re.finditer(r"(?<!\\)\(", pattern)][group - 1]
    return pattern[:start] + expression + pattern[start + len(r"(\d{2})") :]


def _iso(found: dict[str, int], year: str) -> str:
    def part(name: str, otherwise: str) -> str:
        return f"\\{found[name]}" if name in found else otherwise

    text = f"{year}-{part('month', '01')}-{part('day', '01')}"
    if "hour" in found:
        text += f" {part('hour', '00')}:{part('minute', '00')}:{part('second', '00')}"
        text += f".\\{found['fraction']}" if "fraction" in found else ""
        text += f" \\{found['half']}" if "half" in found else ""
    return text + (f"\\{found['offset']}" if "offset" in found else "")


def iso(cell: sql.Composable, form: str, bind: Bind) -> sql.Composable:
    """The cell as ISO; NULL when it does not have the form."""
    branches = [
        sql.SQL("WHEN {cell} ~ {pattern} THEN btrim(regexp_replace({cell}, {pattern}, {replacement}))").format(
            cell=cell, pattern=bind(pattern, "text"), replacement=bind(replacement, "text")
        )
        for pattern, replacement in readings(form)
    ]
    return sql.SQL("CASE {} END").format(sql.SQL(" ").join(branches))


def _is_date(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("coalesce(pg_input_is_valid({}, 'timestamp'), false)").format(iso(cell, params["format"], bind))


def _date(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("to_char(({})::timestamp, 'YYYY-MM-DD')").format(iso(cell, params["format"], bind))


def _instant(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    """The instant in UTC; without an offset and a zone the local time, read in the profile's zone later."""
    local = sql.SQL("d.t::timestamp")
    if params["timezone"]:
        aware = sql.SQL("{} AT TIME ZONE {} AT TIME ZONE 'UTC'").format(local, bind(params["timezone"], "text"))
        otherwise = sql.SQL("to_char({}, {})").format(aware, sql.SQL(_UTC))
    else:
        otherwise = sql.SQL("to_char({}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')").format(local)
    return sql.SQL(
        "(SELECT CASE WHEN d.t ~ '(Z|[+-]\\d\\d(:?\\d\\d)?)$' AND d.t ~ ':' "
        "THEN to_char(d.t::timestamptz AT TIME ZONE 'UTC', {utc}) ELSE {otherwise} END FROM (SELECT {iso} AS t OFFSET 0) d)"
    ).format(utc=sql.SQL(_UTC), otherwise=otherwise, iso=iso(cell, params["format"], bind))


_UTC = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''


def _is_instant(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL(
        "coalesce(pg_input_is_valid({0}, 'timestamp') AND pg_input_is_valid({0}, 'timestamptz'), false)"
    ).format(iso(cell, params["format"], bind))


def _formatted(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("to_char(({})::timestamp, {})").format(iso(cell, "iso", bind), bind(params["pattern"], "text"))


def _is_iso(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return _is_date(cell, {"format": "iso"}, bind)


def format_fault(form: str) -> str:
    """What is wrong with a form to read dates by; "" when nothing is."""
    try:
        readings(form)
    except QueryError as error:
        return say("is wrong: {error}", error=str(error.message).rstrip("."))
    return ""


def pattern_fault(pattern: str) -> str:
    """What is wrong with a pattern to write dates by; "" when nothing is."""
    rest = re.sub(r"YYYY|MM|DD|HH24|MI|SS", "", pattern)
    return "" if pattern and not re.search(r'[A-Za-z"\\]', rest) else say("is made of YYYY, MM, DD, HH24, MI and SS")


def zone_fault(zone: str) -> str:
    return "" if not zone or zone in available_timezones() else say("is a time zone such as Europe/Berlin")


_FORM = Parameter(
    "format", "date_format", "iso", say("iso, auto, or a form such as DD.MM.YYYY or MM/DD/YYYY HH12:MI AM.")
)

KINDS = (
    Kind("date", say("Read a date"), ("31.12.2024", "2024-12-31"), _date, (_FORM,), (("format", "DD.MM.YYYY"),),
         good=_is_date, code="bad_date", message=say("is not a date of this form")),
    Kind("datetime", say("Read a date and time"), ("12/31/2024 11:30 PM", "2024-12-31T22:30:00.000000Z"), _instant,
         (_FORM, Parameter("timezone", "zone", "", say("Zone of times without one; empty: the profile's."))),
         (("format", "MM/DD/YYYY HH12:MI AM"), ("timezone", "Europe/Berlin")), good=_is_instant, code="bad_date", message=say("is not a date of this form")),
    Kind("format_date", say("Write a date"), ("2024-12-31", "31.12.2024"), _formatted,
         (Parameter("pattern", help=say("Made of YYYY, MM, DD, HH24, MI and SS."), aliases=("format",)),),
         (("pattern", "DD.MM.YYYY"),), good=_is_iso, code="bad_date", message=say("is not a date of this form")),
)  # fmt: skip
