"""A compiled query and the statements made around it; all share one inner statement (Q14, Q17)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql
from psycopg.sql import Composable

from importer.errors import QueryError
from servicevault.wording import say

from .composing import binary, call, cast, fragment, identifier, operator
from .raw import RawQuery

MAX_ROW_BYTES = 16 * 1024 * 1024  # a row whose JSON is longer is reported, not carried

Statement = tuple[sql.Composed, Mapping[str, Any]]

# Types a range of keys can be bound as: format_type() name to name in pg_catalog.
KEY_TYPES = {
    "smallint": "int2", "integer": "int4", "bigint": "int8", "numeric": "numeric", "uuid": "uuid", "text": "text",
    "character varying": "text",
}  # fmt: skip


@dataclass(frozen=True)
class KeyColumn:
    """The column that identifies each row, on which a query can be cut into ranges."""

    sql_alias: str  # of the relation in the query
    name: str
    type: str  # a key of KEY_TYPES
    relation: Composable  # what boundaries are read from: a table, or a view's own name
    relation_column: str  # the key's name there
    nullable: bool = False  # a view's key may be: its NULLs go into the first range

    @property
    def sql_type(self) -> str:
        return KEY_TYPES[self.type]

    def ordered(self, column: Composable) -> Composable:
        """`column` in the order of ranges: texts by bytes, whatever the source's collation."""
        return sql.SQL('({}::pg_catalog.text COLLATE pg_catalog."C")').format(column) if self.is_text else column

    def bound(self, name: str) -> Composable:
        placeholder = cast(sql.Placeholder(name), self.sql_type)
        return sql.SQL('({} COLLATE pg_catalog."C")').format(placeholder) if self.is_text else placeholder

    @property
    def is_text(self) -> bool:
        return self.sql_type == "text"


@dataclass(frozen=True)
class Parts:
    """A SELECT in the pieces between which a range can be put."""

    views: Composable  # "WITH ... " or nothing
    head: Composable  # SELECT ... FROM ... JOIN ...
    conditions: tuple[Composable, ...]
    tail: Composable  # GROUP BY, HAVING, ORDER BY, LIMIT

    def statement(self, *, extra: tuple[Composable, ...] = (), order: Composable | None = None) -> sql.Composed:
        found = [self.views, self.head]
        if self.conditions or extra:
            found += [sql.SQL(" WHERE "), sql.SQL(" AND ").join((*self.conditions, *extra))]
        found.append(self.tail)
        if order is not None:
            found += [sql.SQL(" ORDER BY "), order]
        return sql.Composed(found)


@dataclass(frozen=True)
class CompiledQuery:
    """SQL with named placeholders and their values. Always pass `params`, even when it is empty: % is written %%.

    Send each statement by itself through the extended protocol (a server-side cursor or prepare=True).
    """

    parts: Parts
    params: Mapping[str, Any]
    columns: tuple[str, ...]  # output names in order; empty for a raw query before it is described
    identifier: str  # output column with the external id
    key: KeyColumn | None = None
    members: tuple[tuple[str, Composable], ...] = ()  # (path in the spec, its SQL): whose fault an error is
    raw: RawQuery | None = None  # the text a person wrote, which is the member "sql"

    @property
    def sql(self) -> sql.Composed:
        return self.parts.statement()

    @property
    def text(self) -> str:
        """The SQL with its placeholders, for people and for comparing."""
        return self.sql.as_string(None)

    @property
    def sql_hash(self) -> str:
        """SHA-256 of the SQL and its values."""
        values = json.dumps([self.text, dict(self.params)], default=str, sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()

    def member_at(self, position: int) -> str:
        """The path of the member whose SQL holds the 1-based `position` of the text that psycopg sends, or ""."""
        return self._sent_before(position)[0]

    def place_in_raw(self, position: int) -> int | None:
        """Where in the text a person wrote that position lies, 0-based; None when it lies elsewhere."""
        path, before = self._sent_before(position)
        return self.raw.place_after(before) if self.raw is not None and path == "sql" else None

    def _sent_before(self, position: int) -> tuple[str, str]:
        """The member at a position of the sent text, and what was sent of it before that position."""
        numbers: dict[str, int] = {}

        def sent(text: str) -> str:
            def one(match: re.Match[str]) -> str:
                return f"${numbers.setdefault(match[1], len(numbers) + 1)}" if match[1] else "%"

            return re.sub(r"%\((\w+)\)s|%%", one, text)

        whole = sent(self.text)
        for path, composed in self.members:
            piece = sent(composed.as_string(None))
            start = whole.find(piece)
            while start >= 0:
                if start < position <= start + len(piece):
                    return path, whole[start : position - 1]
                start = whole.find(piece, start + 1)
        return "", ""

    def count(self) -> Statement:
        return sql.SQL("SELECT pg_catalog.count(*) FROM ({}) AS q").format(self.sql), self.params

    def sample(self, limit: int, order: tuple[str, str] | None = None) -> Statement:
        """At most `limit` rows, whatever the text of the query holds; `order` is an output column with asc or desc."""
        ordered: Composable = sql.SQL("")
        if order is not None:
            if order[0] not in self.columns:
                raise QueryError(
                    say("The query has no column `{order}` to order by.", order=order[0]),
                    hint=say("Order by a field that is mapped."),
                    where="order_by",
                )
            way = sql.SQL("DESC NULLS LAST" if order[1] == "desc" else "ASC")
            ordered = sql.SQL(" ORDER BY q.{} {}").format(identifier(order[0]), way)
        composed = sql.SQL("SELECT * FROM ({}) AS q{} LIMIT {}").format(
            self.sql, ordered, cast(sql.Placeholder("sample"), "int8")
        )
        return composed, {**self.params, "sample": limit}

    def widest(self, rows: int) -> Statement:
        """Bytes of the largest of the first `rows` rows as JSON text; NULL when there is none."""
        return self._sizes("max", rows)

    def mean(self, rows: int) -> Statement:
        """Mean bytes of the first `rows` rows as JSON text; NULL when there is none."""
        return self._sizes("avg", rows)

    def _sizes(self, aggregate: str, rows: int) -> Statement:
        composed = sql.SQL("SELECT {}(pg_catalog.octet_length({}::pg_catalog.text)) FROM ({} LIMIT {}) AS q").format(
            identifier("pg_catalog", aggregate),
            call("row_to_json", sql.SQL("q")),
            sql.SQL("SELECT * FROM ({}) AS i").format(self.sql),
            cast(sql.Placeholder("sample"), "int8"),
        )
        return composed, {**self.params, "sample": rows}

    def distinct(self, value: str, key: str, *, rows: int, most: int) -> Statement:
        """(value as text, how often, a key, rows looked at) of the first `rows` rows, the commonest `most` values."""
        composed = sql.SQL(
            "SELECT i.v, pg_catalog.count(*) AS n, pg_catalog.min(i.k), "
            "pg_catalog.sum(pg_catalog.count(*)) OVER ()::pg_catalog.int8 FROM "
            "(SELECT q.{value}::pg_catalog.text AS v, q.{key}::pg_catalog.text AS k FROM ({inner}) AS q LIMIT {rows}) AS i "
            "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {most}"
        ).format(
            value=identifier(value),
            key=identifier(key),
            inner=self.sql,
            rows=cast(sql.Placeholder("distinct_rows"), "int8"),
            most=cast(sql.Placeholder("distinct_most"), "int8"),
        )
        return composed, {**self.params, "distinct_rows": rows, "distinct_most": most}

    def explain(self) -> Statement:
        """The planner's estimate as JSON; runs nothing."""
        return sql.SQL("EXPLAIN (FORMAT JSON) {}").format(self.sql), self.params

    def described(self, columns: tuple[str, ...]) -> CompiledQuery:
        """This query with the output names the source reported."""
        return replace(self, columns=columns)

    def rows(self, lo: str | None = None, hi: str | None = None, *, max_row_bytes: int = MAX_ROW_BYTES) -> Statement:
        """Rows as (key, row): the external id as text, and the row as one JSON text, NULL when it is too long.

        With `key` only rows with lo < key <= hi, in key order; without bounds, all. Leave the last range open
        (hi=None): rows may have come since the bounds were read.

        Raises QueryError for a range without a key, and for a query without its identifier.
        """
        if self.columns and self.identifier not in self.columns:
            raise QueryError(
                say("The query has no column `{identifier}` to recognise its rows by.", identifier=self.identifier),
                hint=say("Map a field to it."),
                code="missing_external_id",
            )
        if self.key is None and (lo is not None or hi is not None):
            raise QueryError(say("This query cannot be cut into ranges: its rows have no single unique key."))
        conditions, params = self._range(lo, hi)
        order = None
        if self.key is not None:
            order = self.key.ordered(identifier(self.key.sql_alias, self.key.name))
        inner = self.parts.statement(extra=conditions, order=order)
        text = sql.Identifier("r", "row")
        composed = sql.SQL(
            "SELECT r.key, CASE WHEN {fits} THEN {text} END AS row FROM ("
            "SELECT q.{identifier}::pg_catalog.text AS key, {json}::pg_catalog.text AS row FROM ({inner}) AS q"
            # The fence keeps the planner from building the JSON twice.
            " OFFSET 0) AS r"
        ).format(
            fits=binary(call("octet_length", text), "<=", fragment(str(int(max_row_bytes)))),
            text=text,
            identifier=identifier(self.identifier),
            json=call("row_to_json", sql.SQL("q")),
            inner=inner,
        )
        return composed, params

    def first_rows(self, limit: int, *, max_row_bytes: int = MAX_ROW_BYTES) -> Statement:
        """The first `limit` of `rows()`."""
        inner, params = self.rows(max_row_bytes=max_row_bytes)
        composed = sql.SQL("SELECT * FROM ({}) AS f LIMIT {}").format(inner, cast(sql.Placeholder("first"), "int8"))
        return composed, {**params, "first": limit}

    def filled_and_distinct(self, columns: Sequence[str], *, rows: int) -> Statement:
        """Of the first `rows` rows their number; then for each column how many have a value, and how many differ."""
        counts = [
            sql.SQL(
                "pg_catalog.count(q.{0}), pg_catalog.count(DISTINCT pg_catalog.lower(q.{0}::pg_catalog.text))"
            ).format(sql.Identifier(name))
            for name in columns
        ]
        composed = sql.SQL("SELECT pg_catalog.count(*), {} FROM (SELECT * FROM ({}) AS i LIMIT {}) AS q").format(
            sql.SQL(", ").join(counts), self.sql, cast(sql.Placeholder("most"), "int8")
        )
        return composed, {**self.params, "most": rows}

    def _range(self, lo: str | None, hi: str | None) -> tuple[tuple[Composable, ...], Mapping[str, Any]]:
        if self.key is None:
            return (), self.params
        params = dict(self.params)
        column = identifier(self.key.sql_alias, self.key.name)
        conditions: list[Composable] = []
        if lo is not None:
            params["lo"] = lo
            conditions.append(binary(self.key.ordered(column), ">", self.key.bound("lo")))
        if hi is not None:
            params["hi"] = hi
            below: Composable = binary(self.key.ordered(column), "<=", self.key.bound("hi"))
            if lo is None and self.key.nullable:
                below = sql.SQL("({} OR {} IS NULL)").format(below, column)
            conditions.append(below)
        return tuple(conditions), params

    def boundaries(self, chunk_rows: int) -> Statement:
        """The upper bound, as text, of each range of `chunk_rows` keys, in order; filters are not applied.

        Raises QueryError when the query has no key.
        """
        if self.key is None:
            raise QueryError(say("This query cannot be cut into ranges: its rows have no single unique key."))
        number = binary(
            sql.SQL("(pg_catalog.row_number() OVER (ORDER BY {}))").format(self._boundary_key),
            "-",
            sql.SQL("1"),
        )
        bucket = sql.SQL("({}{}{})").format(number, operator("/"), cast(sql.Placeholder("chunk"), "int8"))
        largest = "(pg_catalog.array_agg(x.k ORDER BY x.k))[pg_catalog.count(*)::pg_catalog.int4]"
        composed = sql.SQL(
            "{views}SELECT {largest}::pg_catalog.text AS bound FROM (SELECT {key} AS k, {bucket} AS b FROM {relation} AS b0"
            " WHERE {plain} IS NOT NULL) AS x GROUP BY x.b ORDER BY x.b"
        ).format(
            views=self.parts.views,
            largest=fragment(largest if self.key.sql_type == "uuid" else "pg_catalog.max(x.k)"),
            key=self._boundary_key,
            bucket=bucket,
            relation=self.key.relation,
            plain=identifier("b0", self.key.relation_column),
        )
        return composed, {"chunk": max(1, int(chunk_rows))}

    def middle(self, lo: str | None, hi: str | None) -> Statement:
        """(the key in the middle as text, the number of keys) of a range, without the rows themselves being made."""
        assert self.key is not None
        conditions: list[Composable] = [sql.SQL("b0.{} IS NOT NULL").format(identifier(self.key.relation_column))]
        params = {name: bound for name, bound in (("lo", lo), ("hi", hi)) if bound is not None}
        for name, sign in (("lo", ">"), ("hi", "<=")):
            if name in params:
                conditions.append(binary(self._boundary_key, sign, self.key.bound(name)))
        composed = sql.SQL(
            "{views}SELECT (pg_catalog.percentile_disc(0.5) WITHIN GROUP (ORDER BY {key}))::pg_catalog.text, "
            "pg_catalog.count(*) FROM {relation} AS b0 WHERE {conditions}"
        ).format(
            views=self.parts.views,
            key=self._boundary_key,
            relation=self.key.relation,
            conditions=sql.SQL(" AND ").join(conditions),
        )
        return composed, params

    @property
    def _boundary_key(self) -> Composable:
        assert self.key is not None
        return self.key.ordered(identifier("b0", self.key.relation_column))
