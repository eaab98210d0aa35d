"""Reads a pasted SELECT into the parts of the builder (Q32); what does not fit is listed with the reason.

sqlglot only says what kind of statement it is; its output is never used. The text is cut at the keywords between
its clauses, and every expression is read by our own language from the text as it was written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from importer.errors import ExpressionError
from importer.sources.schema import SourceSchema
from servicevault.wording import say

from . import expressions, nodes
from .node_filters import filter_items
from .problems import nearest
from .rendering import quote_name, render
from .sql_tokens import Token, dotted, name_of, split, split_commas, tokens_of

MAX_CHARACTERS = 64 * 1024
_JOIN_WORDS = ("LEFT", "RIGHT", "FULL", "INNER", "OUTER", "CROSS", "NATURAL", "LATERAL")
_CLAUSES = ("SELECT", "FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR")
_NOT_READ = {
    "WINDOW": say("Windows are not part of the language."),
    "LIMIT": say("How many rows are read is said when the import starts."),
    "OFFSET": say("How many rows are read is said when the import starts."),
    "FETCH": say("How many rows are read is said when the import starts."),
    "FOR": say("Rows of the source are never locked."),
}


@dataclass(frozen=True)
class Unsupported:
    """A piece of the statement that the builder cannot take over."""

    text: str
    reason: str
    position: int = 0  # 0-based in the text


@dataclass
class ParsedSelect:
    """`query` is the body of a query without key and target type; empty when nothing could be read."""

    query: dict[str, Any] = field(default_factory=dict)
    unsupported: list[Unsupported] = field(default_factory=list)


def parse_select(text: str, schema: SourceSchema | None = None) -> ParsedSelect:
    """The parts of the SELECT in `text`. Never raises for any text.

    With `schema` tables are looked up and stars become columns.
    """
    found = ParsedSelect()
    reason = _refusal(text)
    if reason:
        found.unsupported.append(Unsupported(text.strip()[:80], reason))
        return found
    _Reader(text, schema, found).read()
    return found


def _refusal(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        return say("The text is longer than {max_characters} KiB.", max_characters=MAX_CHARACTERS // 1024)
    try:
        trees = [tree for tree in sqlglot.parse(text, read="postgres") if tree is not None]
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        return say("This is not an SQL statement that could be read.")
    if len(trees) != 1:
        return say("One statement is expected.") if trees else say("There is no statement.")
    tree = trees[0]
    if isinstance(tree, exp.SetOperation):
        return say("{tree} of several SELECTs: make a query of each.", tree=type(tree).__name__.upper())
    if not isinstance(tree, exp.Select):
        return say("Only a SELECT can become a query.")
    if tree.args.get("with") or tree.args.get("with_"):
        return say("WITH is not part of the builder: join its tables, or keep the statement as SQL.")
    if tree.find(exp.Into, exp.DML) is not None:
        return say("A query only reads; this statement writes.")
    return "" if tree.args.get("from") or tree.args.get("from_") else say("The statement reads no table.")


class _Reader:
    def __init__(self, text: str, schema: SourceSchema | None, found: ParsedSelect) -> None:
        self.text = text
        self.schema = schema
        self.found = found
        self.tables: list[tuple[str, str, str]] = []  # (schema, name, alias)
        self.select: list[tuple[str, nodes.Node]] = []  # (target, source), for GROUP BY 1
        self.tokens = list(tokens_of(text))

    def read(self) -> None:
        clauses = dict(self._clauses())
        self._from(clauses.get("FROM", []))
        distinct = self._select(clauses.get("SELECT", []))
        for name, member in (("WHERE", "filters"), ("HAVING", "having")):
            node = self._node(clauses.get(name, []))
            if node is not None:
                self.found.query[member] = filter_items(node)
        self._group_by(clauses.get("GROUP", []))
        self._order_by(clauses.get("ORDER", []), distinct)
        for name, reason in _NOT_READ.items():
            if name in clauses:
                self._unsupported(clauses[name], reason, before=name)

    def _clauses(self) -> Iterator[tuple[str, list[Token]]]:
        """The words after each keyword of the statement itself, not of what is in parentheses."""
        starts = [place for place, token in enumerate(self.tokens) if self._opens_clause(place, token)]
        for place, after in zip(starts, [*starts[1:], len(self.tokens)], strict=True):
            piece = self.tokens[place + 1 : after]
            if self.tokens[place].word in {"GROUP", "ORDER"}:
                piece = piece[1:]
            yield self.tokens[place].word, [token for token in piece if token.text != ";"]

    def _opens_clause(self, place: int, token: Token) -> bool:
        if token.depth or token.word not in _CLAUSES:
            return False
        before = self.tokens[place - 1] if place else None
        after = self.tokens[place + 1].word if place + 1 < len(self.tokens) else ""
        if before is not None and (before.text == "." or before.word == "AS"):
            return False
        if token.word == "FROM":
            return before is None or before.word != "DISTINCT" or self.tokens[place - 2].word not in {"IS", "NOT"}
        return token.word not in {"GROUP", "ORDER"} or after == "BY"

    # -- FROM

    def _from(self, tokens: list[Token]) -> None:
        pieces = split(tokens, lambda place: _starts_join(tokens, place))
        base, *joins = pieces
        for piece in list(split_commas(base))[1:]:
            self._unsupported(piece, say("Tables after a comma need a join with a condition."))
        self._base(next(iter(split_commas(base)), []))
        self.found.query["joins"] = [read for piece in joins if (read := self._join(piece)) is not None]

    def _base(self, tokens: list[Token]) -> None:
        table = self._table(tokens)
        if table is not None:
            self.found.query["base_table"] = table

    def _table(self, tokens: list[Token]) -> dict[str, str] | None:
        names, rest = dotted(tokens)
        if not names or len(names) > 2:
            self._unsupported(tokens, say("A table is expected; a SELECT in its place is not part of the builder."))
            return None
        rest = rest[1:] if rest and rest[0].word == "AS" else rest
        if len(rest) > 1 or (rest and rest[0].kind not in {"word", "quoted"}):
            self._unsupported(tokens, say("This table is written in a way the builder does not know."))
            return None
        name, schema = names[-1], names[0] if len(names) == 2 else ""
        alias = name_of(rest[0]) if rest else name
        if self.schema is not None and not self._columns(schema, name):
            closest = nearest(name, self.schema.names())
            hint = say("Closest: {closest}.", closest=closest) if closest else ""
            self._unsupported(tokens, f"{say('There is no table “{name}”.', name=name)} {hint}".strip())
        self.tables.append((schema, name, alias))
        return {"schema": schema, "table": name, "alias": alias}

    def _join(self, tokens: list[Token]) -> dict[str, Any] | None:
        join = next(place for place, token in enumerate(tokens) if token.word == "JOIN")
        kind = " ".join(token.word for token in tokens[:join]) or "INNER"
        rest = tokens[join + 1 :]
        if "CROSS" in kind or "NATURAL" in kind or (rest and rest[0].word == "LATERAL"):
            self._unsupported(
                tokens, say("A join needs a table and a condition; CROSS, NATURAL and LATERAL have none.")
            )
            return None
        on = next(
            (place for place, token in enumerate(rest) if not token.depth and token.word in {"ON", "USING"}), None
        )
        if on is None:
            self._unsupported(tokens, say("The join has no condition."))
            return None
        table = self._table(rest[:on])
        if table is None:
            return None
        condition = self._using(rest[on + 1 :], table) if rest[on].word == "USING" else self._node(rest[on + 1 :])
        if condition is None:
            self.tables.pop()
            return None
        return {"type": kind.lower(), **table, "on": render(condition)}

    def _using(self, tokens: list[Token], table: dict[str, str]) -> nodes.Node | None:
        names = [name_of(token) for token in tokens if token.kind in {"word", "quoted"}]
        earlier = self.tables[:-1]
        pairs: list[nodes.Node] = []
        for name in names:
            owner = next(
                (alias for schema, table, alias in earlier if name in self._columns(schema, table)), earlier[0][2]
            )
            pairs.append(nodes.Binary("=", nodes.Column(name, owner), nodes.Column(name, table["alias"])))
        return nodes.Logical("and", tuple(pairs)) if len(pairs) > 1 else pairs[0] if pairs else None

    def _columns(self, schema: str, name: str) -> list[str]:
        if self.schema is None:
            return []
        table = (None if schema else self.schema.view(name)) or self.schema.table(name, schema)
        return [column.name for column in table.columns] if table else []

    # -- SELECT

    def _select(self, tokens: list[Token]) -> list[str]:
        """Fill `fields`; returns the columns of DISTINCT ON."""
        distinct: list[str] = []
        if tokens and tokens[0].word == "DISTINCT":
            head, tokens = tokens[:1], tokens[1:]
            if tokens and tokens[0].word == "ON":
                close = next(place for place, token in enumerate(tokens) if token.text == ")" and not token.depth)
                listed = [self._node(piece) for piece in split_commas(tokens[2:close], depth=1)]
                distinct, tokens = [render(node) for node in listed if node is not None], tokens[close + 1 :]
            else:
                self._unsupported(head, say("DISTINCT: group by the key, or use one row per key (distinct_on)."))
        if tokens and tokens[0].word == "ALL":
            tokens = tokens[1:]
        for piece in split_commas(tokens):
            self._field(piece)
        targets = [target for target, _ in self.select]
        for target in sorted({name for name in targets if targets.count(name) > 1}):
            self.found.unsupported.append(
                Unsupported(target, say("Two columns have this name; the later is left out."))
            )
        kept = dict(reversed(self.select))
        self.found.query["fields"] = [{"source": render(kept[name]), "target": name} for name in dict.fromkeys(targets)]
        return distinct

    def _field(self, tokens: list[Token]) -> None:
        if tokens and tokens[-1].text == "*" and (len(tokens) == 1 or tokens[-2].text == "."):
            self._star(tokens)
            return
        body, alias = tokens, ""
        if len(tokens) > 2 and tokens[-2].word == "AS":
            body, alias = tokens[:-2], name_of(tokens[-1])
        elif len(tokens) > 1 and _is_bare_alias(tokens):
            body, alias = tokens[:-1], name_of(tokens[-1])
        node = self._node(body)
        if node is None:
            return
        if not alias and not isinstance(node, nodes.Column):
            self._unsupported(body, say("The value has no name: write AS and the target field."))
            return
        self.select.append((alias or node.name if isinstance(node, nodes.Column) else alias, node))

    def _star(self, tokens: list[Token]) -> None:
        wanted = name_of(tokens[0]) if len(tokens) > 1 else ""
        listed = [
            nodes.Column(column, alias)
            for schema, name, alias in self.tables
            if wanted in {"", alias, name}
            for column in self._columns(schema, name)
        ]
        if not listed:
            self._unsupported(tokens, say("Name the columns: which a star means is not known here."))
        known = dict(self.select)
        for node in listed:
            known.setdefault(node.name, node)
        self.select += [(name, node) for name, node in known.items() if name not in dict(self.select)]

    # -- the rest

    def _group_by(self, tokens: list[Token]) -> None:
        found = []
        for piece in split_commas(tokens):
            node = self._node(piece)
            if isinstance(node, nodes.Number) and node.digits.isdigit() and 0 < int(node.digits) <= len(self.select):
                node = self.select[int(node.digits) - 1][1]
            elif isinstance(node, nodes.Column) and not node.table:
                # As PostgreSQL does: a column of a table comes before a name of the list.
                is_column = any(node.name in self._columns(schema, name) for schema, name, _ in self.tables)
                node = node if is_column else dict(self.select).get(node.name, node)
            if node is not None:
                found.append(render(node))
        if found:
            self.found.query["group_by"] = found

    def _order_by(self, tokens: list[Token], distinct: list[str]) -> None:
        if distinct:
            ordered = [self._slice(piece) for piece in split_commas(tokens)]
            # The first ones only repeat the columns that make a row distinct.
            self.found.query["distinct_on"] = {"columns": distinct, "order_by": ordered[len(distinct) :]}
        elif tokens:
            self._unsupported(tokens, say("Rows are read in the order of their key."), before="ORDER BY")

    def _node(self, tokens: Sequence[Token]) -> nodes.Node | None:
        if not tokens:
            return None
        try:
            return expressions.parse(self._slice(tokens))
        except ExpressionError as error:
            reason = f"{error.message} {error.hint}".strip()
            self.found.unsupported.append(
                Unsupported(self._slice(tokens)[:200], reason, tokens[0].start + max(0, error.position))
            )
            return None

    def _slice(self, tokens: Sequence[Token]) -> str:
        """The text of the tokens as it was written, comments left out."""
        pieces = [tokens[0].text]
        for before, token in itertools.pairwise(tokens):
            pieces.append((" " if token.start > before.end else "") + token.text)
        return "".join(pieces)

    def _unsupported(self, tokens: Sequence[Token], reason: str, *, before: str = "") -> None:
        text = f"{before} {self._slice(tokens) if tokens else ''}".strip()
        self.found.unsupported.append(Unsupported(text[:200], reason, tokens[0].start if tokens else 0))


def _starts_join(tokens: Sequence[Token], place: int) -> bool:
    """Whether the words of a join begin here; LEFT(x, 1) is none."""
    if tokens[place].depth or tokens[place].word not in {*_JOIN_WORDS, "JOIN"} or tokens[place].word == "LATERAL":
        return False
    if place and tokens[place - 1].word in _JOIN_WORDS:
        return False
    words = [token.word for token in tokens[place : place + 4]]
    return "JOIN" in words and all(word in _JOIN_WORDS for word in words[: words.index("JOIN")])


def _is_bare_alias(tokens: Sequence[Token]) -> bool:
    """Whether the last word names the value before it: `c.id number`, but not `END`, NULL or `x IS NULL`."""
    last, before = tokens[-1], tokens[-2]
    if last.kind == "quoted":
        return before.text != "."
    if last.kind != "word" or last.depth or last.word in {"END", "NULL", "TRUE", "FALSE"}:
        return False
    plain = quote_name(last.text.lower()) == last.text.lower()
    return plain and (
        before.kind in {"quoted", "text", "number"}
        or before.text == ")"
        or (before.kind == "word" and before.word not in _OPERATORS)
    )


_OPERATORS = {
    "AND",
    "OR",
    "NOT",
    "IS",
    "IN",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "ZONE",
    "FROM",
    "THEN",
    "ELSE",
    "WHEN",
    "CASE",
    "AS",
}
