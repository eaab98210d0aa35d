"""Queries written as SQL (Q24): one SELECT, functions of a list, no system tables, named parameters bound.

The text is sent as it was written, so two readers must agree that it is harmless: our own scan of the tokens,
which knows nothing but PostgreSQL's lexical rules and refuses what it cannot read, and sqlglot's tree. Writing
such a query needs a permission of its own, and the session is read-only besides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from servicevault.wording import say

from .functions import FUNCTIONS
from .problems import Problem, nearest

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f\v]+)
  | (?P<comment>--[^\r\n]*)
  | (?P<block>/\*)
  | (?P<escape>[uU]&["'])
  | (?P<prefixed>[eEbBxXnN]')
  | (?P<text>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<dollar>\$)
  | (?P<name>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)
  | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<cast>::)
  | (?P<parameter>:[A-Za-z_][A-Za-z0-9_]*)
  | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
  | (?P<mark>[(),.\[\]]|:(?=[ ]*\]))
    """,
    re.VERBOSE,
)
# Beyond the language's own functions: no side effects, no access to files, server or catalogue.
_MORE_FUNCTIONS = frozenset({
    "abs", "array_agg", "array_length", "array_position", "array_remove", "avg", "bit_length", "bool_and", "bool_or",
    "ceiling", "char_length", "character_length", "chr", "ascii", "date", "dense_rank", "div", "every", "exp",
    "first_value", "json_agg", "json_array_length", "json_build_array", "json_build_object", "json_extract_path",
    "json_extract_path_text", "json_object_agg", "json_typeof", "jsonb_agg", "jsonb_array_length",
    "jsonb_build_array", "jsonb_build_object", "jsonb_extract_path", "jsonb_extract_path_text", "jsonb_object_agg",
    "jsonb_typeof", "json_array_elements", "json_array_elements_text", "jsonb_array_elements",
    "jsonb_array_elements_text", "json_each_text", "jsonb_each_text", "lag", "last_value", "lead", "ln", "log",
    "make_interval", "make_timestamp", "make_timestamptz", "nth_value", "ntile", "num_nonnulls", "num_nulls",
    "octet_length", "overlay", "power", "quote_ident", "rank", "regexp_match", "row_number", "sqrt",
    "string_to_array", "substr", "timezone", "to_json", "to_jsonb", "to_number", "translate", "unnest",
    "justify_days", "justify_hours", "justify_interval", "mode", "percentile_cont", "percentile_disc",
    "starts_with", "encode", "decode", "min", "max", "sum", "count", "string_agg", "extract", "cast", "trim",
})  # fmt: skip
ALLOWED_FUNCTIONS = frozenset(name.lower() for name in FUNCTIONS) | _MORE_FUNCTIONS
# Words that may stand before a parenthesis without being a function's name.
_BEFORE_PARENTHESIS = frozenset({
    "and", "or", "not", "in", "any", "all", "some", "exists", "as", "on", "using", "over", "filter", "values", "when",
    "then", "else", "case", "from", "where", "select", "distinct", "by", "having", "union", "except", "intersect",
    "array", "row", "interval", "lateral", "between", "like", "ilike", "is", "join", "with", "limit", "offset", "within",
    "group", "materialized", "partition", "order", "sets", "rollup", "cube", "varchar", "numeric", "decimal", "char",
    "character", "varying", "timestamp", "time", "timestamptz", "escape", "to", "return", "end", "zone",
})  # fmt: skip
_FORBIDDEN_WORDS = frozenset({
    "into", "insert", "update", "delete", "merge", "truncate", "drop", "alter", "create", "grant", "revoke", "copy",
    "call", "do", "execute", "prepare", "deallocate", "declare", "fetch", "listen", "notify", "lock", "set", "reset",
    "vacuum", "analyze", "explain", "begin", "commit", "rollback", "savepoint", "returning", "tablesample", "operator",
    "uescape", "xmlelement", "xmlforest", "xmlparse", "xmlserialize", "xmltable", "json_table", "variadic",
    "current_user", "session_user", "current_role", "current_catalog", "current_schema", "user", "system_user",
    "recursive",
})  # fmt: skip
# Types whose input looks into the catalogue.
_REG_TYPES = frozenset({
    "regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator", "regproc",
    "regprocedure", "regrole", "regtype",
})  # fmt: skip
_SYSTEM_SCHEMAS = re.compile(r"(pg_[a-z0-9_]*|information_schema)", re.IGNORECASE)
_HIDDEN_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"})


# sqlglot lets other errors than its own out for some texts; a text it stumbles over is not sent.
_UNREADABLE = (SqlglotError, RecursionError, ValueError, AttributeError, TypeError, LookupError)


@dataclass(frozen=True)
class RawQuery:
    """A checked SQL text in pieces; `problems` is empty when it may be sent."""

    pieces: tuple[tuple[str, str], ...]  # ("text", SQL as written) or ("parameter", its name)
    columns: tuple[str, ...] = ()  # output names; empty when they cannot be told without the source
    problems: tuple[Problem, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names the text uses, each once, in their order."""
        return tuple(dict.fromkeys(part for kind, part in self.pieces if kind == "parameter"))

    def place_after(self, sent: str) -> int:
        """The 0-based place in the text as it was written behind its beginning `sent`, where parameters are $1, $2."""
        place = 0
        for kind, part in self.pieces:
            if kind == "text":
                taken = min(len(part), len(sent))
                place, sent = place + taken, sent[taken:]
                if taken < len(part):
                    return place
            elif number := re.match(r"\$[0-9]+", sent):
                place, sent = place + len(part) + 1, sent[number.end() :]
            else:
                return place
        return place


@dataclass(frozen=True)
class _Token:
    kind: str
    value: str
    position: int

    @property
    def word(self) -> str:
        """The folded name of an unquoted or quoted identifier, else ""."""
        if self.kind == "name":
            return self.value.lower()
        return self.value[1:-1].replace('""', '"') if self.kind == "quoted" else ""


def read_raw(text: str, params: Mapping[str, object]) -> RawQuery:
    """Check that `text` is one harmless SELECT whose `:name` parameters are all in `params`.

    Never raises for any text.
    """
    problems: list[Problem] = []
    tokens = _scan(text, problems)
    if not problems:
        _check_words(tokens, problems)
        _check_parameters(tokens, params, problems)
    columns: tuple[str, ...] = ()
    pieces = _pieces(text, tokens)
    if not problems:
        # sqlglot reads :name only in some places; any value will do to judge the rest.
        columns = _check_tree("".join("NULL" if kind == "parameter" else part for kind, part in pieces), problems)
    return RawQuery(pieces, columns, tuple(problems))


def _pieces(text: str, tokens: list[_Token]) -> tuple[tuple[str, str], ...]:
    """`text` cut at its parameters."""
    pieces: list[tuple[str, str]] = []
    end = 0
    for token in tokens:
        if token.kind == "parameter":
            pieces += [("text", text[end : token.position]), ("parameter", token.value[1:])]
            end = token.position + len(token.value)
    return (*pieces, ("text", text[end:]))


def view_fault(text: str) -> str:
    """What keeps the text of a pack's view from being placed in a WITH clause; "" when it is one SELECT.

    A view comes from those who may install code, so its functions are not judged.
    """
    try:
        trees = sqlglot.parse(text, read="postgres")
    except _UNREADABLE:
        return say("Its SQL could not be read.")
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Query) or tree.find(exp.DML, exp.Into, exp.Lock, exp.Command) not in (None, tree):
        return say("It must be exactly one SELECT.")
    return ""


def _problem(message: str, position: int, hint: str = "") -> Problem:
    return Problem("sql", message, hint, "sql_rejected", position)


def _scan(text: str, problems: list[Problem]) -> list[_Token]:
    """The tokens of `text` without spaces; stops at the first thing that may not be there."""
    refused = {
        "comment": say("Comments are not allowed."),
        "block": say("Comments are not allowed."),
        "escape": say('Escapes of the form U&"..." are not allowed.'),
        "prefixed": say("Texts of the form E'...', B'...', X'...' are not allowed."),
        "dollar": say("Dollar quotes and $ are not allowed."),
    }
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        kind = match.lastgroup if match else None
        if match is None or kind is None:
            shown = (
                say("Only one statement is allowed.")
                if text[position] == ";"
                else say("This character is not allowed.")
            )
            problems.append(_problem(shown, position))
            return tokens
        value = match.group()
        hidden = "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value)
        # With standard_conforming_strings off a backslash before a quote would not end the text where we think.
        backslash = kind == "text" and "\\" in value
        comment = kind == "operator" and ("--" in value or "/*" in value)
        if kind in refused or hidden or backslash or comment:
            message = refused.get(kind, say("This character is not allowed."))
            problems.append(
                _problem(say("Bind texts with a backslash as a parameter.") if backslash else message, position)
            )
            return tokens
        if kind != "space":
            tokens.append(_Token(kind, value, position))
        position = match.end()
    return tokens


def _check_words(tokens: list[_Token], problems: list[Problem]) -> None:
    if not tokens or tokens[0].word not in ("select", "with") or tokens[0].kind != "name":
        problems.append(_problem(say("The text must be one SELECT, or WITH ... SELECT."), 0))
        return
    names = _cte_names(tokens)
    depth = 0
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        depth += (token.value == "(") - (token.value == ")")
        if depth < 0:
            problems.append(_problem(say("A parenthesis is closed that was not opened."), token.position))
            return
        if not token.word:
            continue
        dotted = before is not None and before.value == "."
        if token.kind == "name" and token.word in _FORBIDDEN_WORDS and not dotted:
            problems.append(_problem(say("{token} is not allowed.", token=token.value.upper()), token.position))
        if token.word == "for" and after and after.word in ("update", "share", "no", "key"):
            problems.append(_problem(say("FOR UPDATE and FOR SHARE are not allowed."), token.position))
        if _SYSTEM_SCHEMAS.fullmatch(token.word):
            problems.append(
                _problem(say("System objects such as {token} are not allowed.", token=token.value[:60]), token.position)
            )
        if token.word.lower() in _HIDDEN_COLUMNS and dotted:
            problems.append(_problem(say("The system column {word} is not allowed.", word=token.word), token.position))
        if token.word in _REG_TYPES:
            problems.append(_problem(say("The type {word} is not allowed.", word=token.word), token.position))
        if after and after.value == "(":
            _check_call(token, dotted=dotted, ctes=names, problems=problems)
    if depth:
        problems.append(_problem(say("A parenthesis is not closed."), tokens[-1].position))


def _cte_names(tokens: list[_Token]) -> set[str]:
    """Names that stand before a column list of WITH or of an alias: `AS name (` is no call."""
    found = set()
    for index, token in enumerate(tokens):
        if token.word and token.word not in ALLOWED_FUNCTIONS and _closes_into_as(tokens, index + 1):
            found.add(token.word)
    return found


def _closes_into_as(tokens: list[_Token], index: int) -> bool:
    """Whether the parenthesis at `index` is followed by AS and another: WITH name (columns) AS (."""
    if index >= len(tokens) or tokens[index].value != "(":
        return False
    while index < len(tokens) and tokens[index].value != ")":
        if tokens[index].value != "(" and tokens[index].value != "," and not tokens[index].word:
            return False
        index += 1
    following = [token.word for token in tokens[index + 1 : index + 3]]
    return following[:1] == ["as"] and index + 2 < len(tokens) and tokens[index + 2].value == "("


def _check_call(token: _Token, *, dotted: bool, ctes: set[str], problems: list[Problem]) -> None:
    name = token.word
    if not dotted and token.kind == "name" and name in _BEFORE_PARENTHESIS:
        return
    if not dotted and name in ctes:
        return
    if dotted or token.kind == "quoted" or name not in ALLOWED_FUNCTIONS:
        closest = nearest(name, ALLOWED_FUNCTIONS)
        hint = say("Did you mean {closest}?", closest=closest) if closest and name not in ALLOWED_FUNCTIONS else ""
        problems.append(
            _problem(say("The function {token} is not allowed.", token=token.value[:60]), token.position, hint)
        )


def _check_parameters(tokens: list[_Token], params: Mapping[str, object], problems: list[Problem]) -> None:
    for index, token in enumerate(tokens):
        if token.kind != "parameter":
            continue
        if index and tokens[index - 1].value == "[":
            problems.append(_problem(say("Write a slice with spaces around the colon."), token.position))
        elif token.value[1:] not in params:
            problems.append(_problem(say("The parameter {token} has no value.", token=token.value), token.position))


def _check_tree(text: str, problems: list[Problem]) -> tuple[str, ...]:
    """The output names, "" ones refused; sqlglot must see one query that reads only."""
    try:
        trees = sqlglot.parse(text, read="postgres")
    except _UNREADABLE:
        problems.append(_problem(say("The SQL could not be read."), 0, say("Check its syntax.")))
        return ()
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Query):
        problems.append(_problem(say("The text must be one SELECT, or WITH ... SELECT."), 0))
        return ()
    forbidden = (exp.Into, exp.DML, exp.DDL, exp.Command, exp.Lock)
    if any(isinstance(node, forbidden) and not isinstance(node, exp.Query) for node in tree.walk()):
        problems.append(_problem(say("Only reading is allowed."), 0))
        return ()
    if not tree.selects:
        problems.append(_problem(say("The SELECT has no columns."), 0))
    names = tuple(tree.named_selects)
    if "*" in names or "" in names or len(set(names)) != len(names) or tree.find(exp.Star, bfs=True) in tree.selects:
        return ()
    return names
