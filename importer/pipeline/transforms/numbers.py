"""Numbers, durations, truths."""

from __future__ import annotations

from psycopg import sql

from importer.pipeline.binding import Bind
from importer.pipeline.transforms.kinds import Kind, Parameter, Params, wrap
from servicevault.wording import say

_SEPARATORS = (
    Parameter("decimal", default=".", help=say("Between whole part and fraction.")),
    Parameter("thousands", default="", help=say("Between groups of three digits; nothing when empty.")),
)
TRUE, FALSE = "('true','t','yes','y','on','1')", "('false','f','no','n','off','0')"


def minutes(text: sql.Composable) -> sql.Composable:
    """Whole minutes of a number, of "1:30" or "1:30:00", or of "1h 30m", "90m", "1.5h" (E20); NULL for the rest."""
    return sql.SQL(
        "CASE WHEN pg_input_is_valid({0}, 'numeric') AND abs({0}::numeric) < 1e9 THEN round({0}::numeric)::integer "
        "WHEN {0} ~ '^\\d{{1,6}}:[0-5]\\d$' THEN split_part({0}, ':', 1)::integer * 60 + split_part({0}, ':', 2)::integer "
        "WHEN {0} ~ '^\\d{{1,6}}:[0-5]\\d:[0-5]\\d(\\.\\d+)?$' THEN split_part({0}, ':', 1)::integer * 60 + "
        "split_part({0}, ':', 2)::integer + round(split_part({0}, ':', 3)::numeric / 60)::integer "
        "WHEN {0} ~* '^(\\d{{1,6}}(\\.\\d+)?\\s*h)?\\s*(\\d{{1,6}}(\\.\\d+)?\\s*m)?$' THEN round("
        "coalesce(substring({0} from '(?i)([\\d.]+)\\s*h')::numeric, 0) * 60 + "
        "coalesce(substring({0} from '(?i)([\\d.]+)\\s*m')::numeric, 0))::integer END"
    ).format(text)


def boolean(text: sql.Composable) -> sql.Composable:
    """The truth a word means; NULL for any other word."""
    return sql.SQL("CASE WHEN lower({0}) IN {1} THEN true WHEN lower({0}) IN {2} THEN false END").format(
        text, sql.SQL(TRUE), sql.SQL(FALSE)
    )


def _plain(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    """The number as PostgreSQL writes it."""
    plain = cell
    if params["thousands"]:
        plain = sql.SQL("replace({}, {}, '')").format(plain, bind(params["thousands"], "text"))
    if params["decimal"] != ".":
        plain = sql.SQL("replace({}, {}, '.')").format(plain, bind(params["decimal"], "text"))
    return plain


def _is_written_so(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    point, group = _literal(params["decimal"]), _literal(params["thousands"])
    fraction = f"({point}\\d{{1,255}})?" if point else ""
    whole = "\\d{1,255}" + (f"|\\d{{1,3}}({group}\\d{{3}})+" if group else "")
    start = f"|{point}\\d{{1,255}}" if point else ""
    pattern = f"^[+-]?(({whole}){fraction}{start})([eE][+-]?\\d{{1,3}})?$"
    return sql.SQL("{} ~ {}").format(cell, bind(pattern, "text"))


def _literal(separator: str) -> str:
    return "".join(f"\\{character}" if not character.isalnum() else character for character in separator)


def _number(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("({})::numeric::text").format(_plain(cell, params, bind))


def _integer(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("trim_scale(({})::numeric)::text").format(_plain(cell, params, bind))


def _is_whole(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("CASE WHEN {} THEN scale(trim_scale(({})::numeric)) = 0 ELSE false END").format(
        _is_written_so(cell, params, bind), _plain(cell, params, bind)
    )


def _is_numeric(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("({0} ~ '[0-9]' AND pg_input_is_valid({0}, 'numeric'))").format(cell)


def _is_duration(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("{} IS NOT NULL").format(minutes(cell))


def _duration(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("({})::text").format(minutes(cell))


def _is_boolean(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("{} IS NOT NULL").format(boolean(cell))


def _boolean(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("({})::text").format(boolean(cell))


KINDS = (
    Kind("number", say("Read a number"), ("1.234,50", "1234.50"), _number, _SEPARATORS,
         (("decimal", ","), ("thousands", ".")), good=_is_written_so, code="not_a_number", message=say("is not a number")),
    Kind("integer", say("Read a whole number"), ("1,200", "1200"), _integer, _SEPARATORS, (("thousands", ","),),
         good=_is_whole, code="not_a_number", message=say("is not a whole number")),
    Kind("round", say("Round"), ("2.5", "3"), wrap("round({cell}::numeric, {digits})::text"),
         (Parameter("digits", "integer", 0, say("Digits behind the point."), ("n",)),), good=_is_numeric, code="not_a_number", message=say("is not a number")),
    Kind("floor", say("Round down"), ("2.9", "2"), wrap("floor({cell}::numeric)::text"), good=_is_numeric, code="not_a_number", message=say("is not a number")),
    Kind("ceil", say("Round up"), ("2.1", "3"), wrap("ceil({cell}::numeric)::text"), good=_is_numeric, code="not_a_number", message=say("is not a number")),
    Kind("seconds_to_minutes", say("Seconds to minutes"), ("90", "2"), wrap("round({cell}::numeric / 60)::text"),
         good=_is_numeric, code="not_a_number", message=say("is not a number")),
    Kind("hours_to_minutes", say("Hours to minutes"), ("1.5", "90"), wrap("round({cell}::numeric * 60)::text"),
         good=_is_numeric, code="not_a_number", message=say("is not a number")),
    Kind("duration", say("Read a duration as minutes"), ("1h 30m", "90"), _duration, good=_is_duration,
         code="bad_duration", message=say("is not a duration such as 90, 1:30 or 1h 30m")),
    Kind("boolean", say("Read yes or no"), ("Yes", "true"), _boolean, good=_is_boolean, code="not_a_boolean",
         message=say("is neither yes nor no")),
)  # fmt: skip
