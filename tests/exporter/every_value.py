"""Rows made of a table's columns: for every type the values that a file could lose, within the table's own rules."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from servicevault.tables import Column, Table

ROWS = 14
TEXTS = (
    "plain", "", "  blanks  ", "=1+1", "+49 30", "-5", "@home", "'=1", "'quoted'", 'say "x", y;z|t\tu', "one\ntwo\r\nthree\n",
    "NULL", "NaN", "00123", "NO", "2024-01-01", "שלום עולם", "👩‍👩‍👧 𐍈", "e\u0301 \u200f\u00a0", "[]", '{"a": 1}', "\\N \\x41",
    "<a>&amp;</a>", "- a: b # c", "_x0041_", "~", "true", "1e5",
)  # fmt: skip
VALUES: dict[str, tuple[str, ...]] = {
    "bool": ("true", "false"),
    "int2": ("0", "-32768", "32767"),
    "int4": ("0", "-2147483648", "2147483647"),
    "int8": ("0", "-9223372036854775808", "9223372036854775807", "9007199254740993"),
    "oid": ("0", "4294967295"),
    "numeric": ("0", "-1.50", "12345678.90", "NaN", "0.01", "Infinity", "-Infinity", "1e40", "0.00000000000000000000001", "12345678901234567890.12345"),
    "float4": ("0", "-0", "1.5", "3.4e38", "1e-45", "NaN", "Infinity", "-Infinity"),
    "float8": ("0", "-0", "0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"),
    "money": ("-1.50", "92233720368547758.07"),
    "date": ("2024-02-29", "0001-01-01", "9999-12-31", "0044-03-15 BC", "12024-01-01", "infinity", "-infinity"),
    "timestamp": ("2024-02-29 23:59:59.999999", "2024-01-01", "0044-03-15 12:00 BC", "12024-01-01 00:00", "infinity", "-infinity"),
    "timestamptz": ("2024-03-31 02:30:00.5+02", "1883-01-01 00:00+00:53:28", "0044-03-15 12:00+00 BC", "12024-01-01 00:00+00", "infinity", "-infinity"),
    "time": ("00:00", "23:59:59.999999", "24:00"),
    "timetz": ("12:30+02", "23:59:59.5-11:30"),
    "interval": ("1 year 2 mons -3 days 04:05:06.789", "-1 day", "0", "infinity"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "0190163d-8694-739b-aea5-966c26f8ad91"),
    "json": ('{"b": 1, "a": 1.50, "b": 2}', "null", '"=x"', "[1, [2, null], {}]", '  {"é": "\\u00e9 \\n"}', "1e400", "true", "-5"),
    "jsonb": ('{"a": {"b": [1.50, null, "x"]}}', "null", '"=x"', '""', '" "', "[]", "{}", "12345678901234567890.5", "true"),
    "bytea": ("\\x", "\\x00ff", "\\xdeadbeef"),
    "inet": ("10.0.0.1", "10.1.2.3/8", "2001:db8::1/64"),
    "cidr": ("10.0.0.0/8", "2001:db8::/32"),
    "macaddr": ("08:00:2b:01:02:03",),
    "macaddr8": ("08:00:2b:01:02:03:04:05",),
    "bit": ("1",),
    "varbit": ("", "10101"),
    "point": ("(1.5,-2)",), "line": ("{1,2,3}",), "lseg": ("[(0,0),(1,1)]",), "box": ("(1,1),(0,0)",),
    "path": ("[(0,0),(1,1)]", "((0,0),(1,1))"), "polygon": ("((0,0),(1,1),(1,0))",), "circle": ("<(1,1),2>",),
    "tsvector": ("", "'a':1A 'b''c':2"), "tsquery": ("", "'a' & !'b'"),
    "int4range": ("[1,5)", "empty", "(,)"), "numrange": ("(1.5,2]",), "tstzrange": ('["2024-01-01 00:00:00+00",)',),
    "daterange": ("[2024-01-01,2024-02-01)",), "int4multirange": ("{}", "{[1,3),[5,8)}"),
    "pg_lsn": ("16/B374D848",), "jsonpath": ('$."a"[*]?(@ > 1)',),
    "_text": ("{}", '{a,NULL,"NULL","","x \\"y\\" , z",=1}', '{{a,b},{c,NULL}}', '{" x "}', "{👩,שלום}"),
    "_int4": ("{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[2:3]={7,8}"),
    "_numeric": ("{1.50,NaN,NULL}",), "_float8": ("{0.1,Infinity}",), "_bool": ("{t,f,NULL}",),
    "_date": ("{2024-02-29,infinity}",), "_timestamptz": ('{"2024-03-31 02:30:00+00"}',), "_uuid": ("{00000000-0000-0000-0000-000000000000}",),
    "_jsonb": ('{"{\\"a\\": [1]}","\\"x\\"",NULL,"null","1.50"}',), "_json": ('{"{\\"b\\": 1,  \\"a\\": 2}"}',),
    "_bytea": ('{"\\\\x00ff"}',), "_interval": ('{"1 day -02:00:00"}',), "_inet": ("{10.0.0.1/8}",), "_time": ("{24:00:00}",),
}  # fmt: skip


ONLY = {("billing_rates", "is_default"): ("false",)}  # one rate alone may be the default of all


def odd_name(base: str) -> str:
    """A column's name that wants quoting everywhere."""
    return f'"of %{base}, é"'


def pool(connection: psycopg.Connection, table: Table, column: Column) -> list[str]:
    """Texts that the column takes: of its type, its labels, the words of its check constraints; judged by PostgreSQL."""
    if (table.name, column.name) in ONLY:
        return list(ONLY[table.name, column.name])
    words = [word for _, text in table.checks if column.name in text for word in re.findall(r"'([^']+)'::", text)]
    texts = (
        TEXTS
        if column.is_text
        else ("0", "12.50", " x ", "", "=1", *(f"{{{each}}}" for each in ("S", '"=L",NULL', '" wide "')))
    )
    found = [*column.labels, *VALUES.get(column.base, texts), *words]
    if not column.nullable:  # a blank is refused there by name (F-070); no value at all gets the default
        found = [text for text in found if text != "null" and (text.strip() or column.default)]
    return _taken(connection, table, column, list(dict.fromkeys(found)))


def _taken(connection: psycopg.Connection, table: Table, column: Column, texts: list[str]) -> list[str]:
    """Those of the texts that are values of the type and break no check constraint of the column."""
    kind, row = sql.SQL(column.sql_type), sql.Identifier(table.relation)
    checks = [
        sql.SQL("coalesce((SELECT {} FROM (SELECT u.v::{} AS {}) AS {}), true)").format(
            sql.SQL(check.removeprefix("CHECK ")), kind, sql.Identifier(column.name), row
        )
        for (_, check), names in zip(table.checks, table.check_columns, strict=True)
        if names == (column.name,)
    ]
    query = sql.SQL(
        "SELECT u.v FROM unnest({}::text[]) WITH ORDINALITY u(v, n) "
        "WHERE CASE WHEN pg_input_is_valid(u.v, {}) THEN {} ELSE false END ORDER BY u.n"
    ).format(sql.Literal(texts), sql.Literal(column.sql_type), sql.SQL(" AND ").join([sql.SQL("true"), *checks]))
    return [text for (text,) in connection.execute(query)]


def fill(connection: psycopg.Connection, table: Table, rows: int = ROWS) -> None:
    """Put rows into the table: each column walks through its values, from another start than its neighbour."""
    columns = [column for column in table.columns if column.writable and not column.identity]
    single = {key[0] for key in table.unique_keys if len(key) == 1}
    parents = {key.columns[0]: key for key in table.foreign_keys if len(key.columns) == 1}
    pools = {column.name: pool(connection, table, column) for column in columns if column.name not in parents}
    rows = max([rows, *map(len, pools.values())])
    for number in range(rows):
        row: dict[str, Any] = {}
        for place, column in enumerate(columns):
            if column.name in parents:
                row[column.name] = _parent(connection, parents[column.name], number + place, nullable=column.nullable)
            elif column.name.endswith("email"):  # whose names say what they hold (F-073)
                row[column.name] = f"person{number}@xn--mller-kva.example" if number or not column.nullable else None
            elif column.name in single:
                row[column.name] = _distinct(column, number)
            else:
                choices: Sequence[str | None] = [*pools[column.name], *([None] if column.nullable else [])]
                row[column.name] = choices[(number + place) % len(choices)]
        if table.name == "time_entries":  # a rule of ours: an entry belongs to the account of its ticket
            own = connection.execute("SELECT account_id FROM tickets WHERE id = %s", (row["ticket_id"],)).fetchone()
            row["account_id"] = own[0] if own else row["account_id"]
        with contextlib.suppress(psycopg.errors.CheckViolation):  # of several columns: such a row cannot be there
            insert(connection, table, row)


def insert(connection: psycopg.Connection, table: Table, row: dict[str, Any]) -> None:
    """One row of texts, each cast to its column's type."""
    values = (
        sql.SQL("{}::text::{}").format(sql.Literal(None if value is None else str(value)), sql.SQL(table.by_name[name].sql_type))
        for name, value in row.items()
    )  # fmt: skip
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            table.identifier, sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(values)
        )
    )


def _parent(connection: psycopg.Connection, key: Any, number: int, *, nullable: bool) -> Any:
    referred = sql.Identifier(key.referred_columns[0])
    found = connection.execute(sql.SQL("SELECT {0} FROM {1} ORDER BY {0}").format(referred, key.identifier)).fetchall()
    choices = [value for (value,) in found] + ([None] if nullable else [])
    return choices[number % len(choices)]


def _distinct(column: Column, number: int) -> str:
    match column.base:
        case "uuid":
            return f"00000000-0000-4000-8000-{number + 1:012}"
        case base if base.startswith(("int", "numeric", "float")):
            return str(number + 1)
        case _:
            return list(itertools.islice(itertools.cycle(["a {}", "=x{}", "e\u0301-{}", '"{}"']), number + 1))[
                -1
            ].format(number)
