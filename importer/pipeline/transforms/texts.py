"""Texts: trimming, cutting, cases, HTML."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Sequence

import nh3
from psycopg import sql

from importer.errors import QueryError
from importer.pipeline.binding import Bind
from importer.pipeline.transforms.kinds import Kind, Parameter, Params, as_text, cell_only, wrap
from servicevault import catalog
from servicevault.wording import say

# PostgreSQL's engine decides by automaton, not by backtracking, once back-references are refused (`pattern_fault`);
# what is left grows with the text, so the text has an end.
SEARCHED_CHARACTERS = 5_000

_COMPARED = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FOUND_IN = {"contains": "%{}%", "starts_with": "{}%", "ends_with": "%{}"}
CASE_OPERATORS = (*_COMPARED, *_FOUND_IN, "in", "not_in", "is_null", "is_not_null")

_BLOCKS = {
    "p",
    "div",
    "br",
    "li",
    "ul",
    "ol",
    "tr",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "pre",
    "hr",
}
_BREAK = re.compile(r"<br ?/?>|<hr ?/?>|</(?:p|div|li|tr|h[1-6]|blockquote|pre|ul|ol|table)>", re.IGNORECASE)
_ITEM = re.compile(r"<li[^>]*>")
_TAG = re.compile(r"<[^>]*>")


def html_to_text(text: str, params: Params) -> str:
    """The words a reader of the HTML would see, a line for each block; scripts and styles are gone.

    nh3 parses as browsers do, so what it leaves is well formed and its tags can be cut by pattern.
    """
    if "<" not in text and "&" not in text:
        return text
    # Line breaks of HTML are blanks, except in <pre>, which is rare in mail and not worth a parser.
    clean = nh3.clean(" ".join(text.split()), tags=_BLOCKS, attributes={}, strip_comments=True)
    lines = html.unescape(_TAG.sub("", _ITEM.sub("- ", _BREAK.sub("\n", clean)))).replace("\xa0", " ").split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in lines)).strip()


def uuid_from_id(text: str, params: Params) -> str | None:
    """The same UUID for the same id, always (RFC 9562 version 5)."""
    stripped = text.strip()
    return str(uuid.uuid5(_namespace(params["namespace"]), stripped)) if stripped else None


def _namespace(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_URL, text)


def _null_if(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    values = [as_text(value) for value in params["values"]]
    return sql.SQL("CASE WHEN {cell} = ANY({values}) THEN NULL ELSE {cell} END").format(
        cell=cell, values=bind(values, "text[]")
    )


def _case_when(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    branches = [
        sql.SQL("WHEN {} THEN {}").format(_condition(cell, case["when"], bind), bind(as_text(case["then"]), "text"))
        for case in params["cases"]
    ]
    return sql.SQL("CASE {} ELSE {} END").format(sql.SQL(" ").join(branches), bind(as_text(params["else"]), "text"))


def _condition(cell: sql.Composable, when: Params, bind: Bind) -> sql.Composable:
    operator, value = str(when.get("operator", "=")).lower(), when.get("value")
    if operator not in CASE_OPERATORS:
        raise QueryError(
            say("case_when does not know the operator “{operator}”.", operator=operator),
            hint=say("Use {case_operators}.", case_operators=", ".join(CASE_OPERATORS)),
        )
    if operator in {"is_null", "is_not_null"}:
        return sql.SQL("{} IS {} NULL").format(cell, sql.SQL("NOT" if operator == "is_not_null" else ""))
    if operator in {"in", "not_in"}:
        listed = [as_text(item) for item in (value if isinstance(value, list | tuple) else [value])]
        found = sql.SQL("{} = ANY({})").format(cell, bind(listed, "text[]"))
        return sql.SQL("NOT {}").format(found) if operator == "not_in" else found
    if operator in _FOUND_IN:
        escaped = re.sub(r"([\\%_])", r"\\\1", as_text(value) or "")
        return sql.SQL("{} LIKE {}").format(cell, bind(_FOUND_IN[operator].format(escaped), "text"))
    symbol = sql.SQL(_COMPARED[operator])
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = sql.SQL("CASE WHEN pg_input_is_valid({0}, 'numeric') THEN {0}::numeric END").format(cell)
        return sql.SQL("({}) {} {}").format(number, symbol, bind(value, "numeric"))
    return sql.SQL("{} {} {}").format(cell, symbol, bind(as_text(value), "text"))


def _static(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return bind(as_text(params["value"]), "text")


def _default(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("CASE WHEN btrim({0}) <> '' THEN {0} ELSE {1} END").format(
        cell, bind(as_text(params["value"]), "text")
    )


def _split(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    part = params["part"] or 1  # split_part refuses 0
    return sql.SQL("split_part({}, {}, {})").format(cell, bind(params["separator"], "text"), bind(part, "integer"))


def _pad_left(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    """lpad() would cut what is longer."""
    return sql.SQL("CASE WHEN char_length({0}) >= {1} THEN {0} ELSE lpad({0}, {1}, {2}) END").format(
        cell, bind(params["length"], "integer"), bind(params["fill"], "text")
    )


def _lookup(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    lookup = catalog.lookup(params["table"])
    for column, known in ((params["key"], lookup.keys), (params["value"], lookup.values)):
        if column not in known:
            raise QueryError(
                say("“{lookup}” cannot be looked up by “{column}”.", lookup=lookup.name, column=column),
                hint=say("Use {known}.", known=", ".join(known)),
            )
    return sql.SQL("(SELECT l.{value}::text FROM {table} l WHERE lower(l.{key}::text) = lower({cell}) ORDER BY l.id LIMIT 1)").format(
        value=sql.Identifier(params["value"]), table=sql.Identifier(lookup.table), key=sql.Identifier(params["key"]), cell=cell
    )  # fmt: skip


def _is_found(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    return sql.SQL("{} IS NOT NULL").format(_lookup(cell, params, bind))


def _lookup_tables() -> Sequence[str]:
    return [lookup.name for lookup in catalog.lookups()]


_LENGTH = Parameter("length", "integer", help=say("Characters."), aliases=("n",))

KINDS = (
    Kind("trim", say("Trim blanks"), ("  Ann ", "Ann"), wrap("btrim({cell}, E' \\t\\r\\n')")),
    Kind("upper", say("Upper case"), ("ann", "ANN"), wrap("upper({cell})")),
    Kind("lower", say("Lower case"), ("Ann", "ann"), wrap("lower({cell})")),
    Kind("title", say("Title case"), ("ann LEE", "Ann Lee"), wrap("initcap({cell})")),
    Kind("truncate", say("Cut to a length"), ("Hello", "Hel"), wrap("left({cell}, {length})"), (_LENGTH,), (("length", 3),)),
    Kind("default", say("Default when empty"), ("", "n/a"), _default, (Parameter("value", "value", aliases=("v",)),),
         (("value", "n/a"),)),
    Kind("static", say("Always this value"), ("x", "fixed"), _static, (Parameter("value", "value", aliases=("v",)),),
         (("value", "fixed"),)),
    Kind("null_if", say("Empty when one of"), ("-", ""), _null_if, (Parameter("values", "list", aliases=("list",)),),
         (("values", ["-", "n/a"]),)),
    Kind("replace", say("Replace text"), ("a-b", "a b"), wrap("replace({cell}, {old}, {new})"),
         (Parameter("old", aliases=("a", "from")), Parameter("new", default="", aliases=("b", "to"))),
         (("old", "-"), ("new", " "))),
    Kind("regex_extract", say("Part that fits a pattern"), ("Order #4711", "4711"),
         wrap(f"substring(left({{cell}}, {SEARCHED_CHARACTERS}) from {{pattern}})"),
         (Parameter("pattern", "pattern", help=say("The first group, else the whole match; the first "
                    "{searched_characters:,} characters are searched.", searched_characters=SEARCHED_CHARACTERS), aliases=("p",)),), (("pattern", r"#(\d+)"),)),
    Kind("split", say("Part between separators"), ("a@b", "b"), _split,
         (Parameter("separator", aliases=("sep",)),
          Parameter("part", "integer", help=say("1 is the first, -1 the last."), aliases=("n",))),
         (("separator", "@"), ("part", 2))),
    Kind("pad_left", say("Pad on the left"), ("7", "007"), _pad_left,
         (_LENGTH, Parameter("fill", default="0", aliases=("c",))), (("length", 3),)),
    Kind("case_when", say("Cases"), ("1", "open"), _case_when,
         (Parameter("cases", "cases", help=say("The first that fits.")), Parameter("else", "value", None)),
         (("cases", [{"when": {"operator": "=", "value": 1}, "then": "open"}]),)),
    Kind("lookup", say("Look up here"), ("Standard", "90.00"), _lookup,
         (Parameter("table", "choice", choices=_lookup_tables), Parameter("key"), Parameter("value")),
         (("table", "billing_rates"), ("key", "name"), ("value", "rate")), good=_is_found, warns=True,
         code="nothing_found", message=say("was not found; left empty")),
    Kind("text_to_html", say("Text to HTML"), ("a < b", "a &lt; b"), wrap(
        "replace(replace(replace(replace(replace(replace({cell}, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), "
        "'\"', '&quot;'), E'\\r\\n', E'\\n'), E'\\n', '<br>')")),
    Kind("html_to_text", say("HTML to text"), ("<p>Hi <b>Ann</b></p>", "Hi Ann"), cell_only, early=html_to_text),
    Kind("uuid_from_id", say("UUID of an id"), ("42", "6cef5458-ccde-5227-9406-3180d7d945a0"), cell_only,
         (Parameter("namespace", help=say("A UUID or any text: equal ids of one namespace give equal UUIDs.")),),
         (("namespace", "old-desk"),), early=uuid_from_id),
)  # fmt: skip
