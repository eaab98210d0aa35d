"""What PostgreSQL writes is byte for byte what our own writers write; everything is read back as it was."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
import yaml
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from exporter import copying, writing
from exporter.planning import Plan, planned
from exporter.wanted import Wanted
from tests.exporter.conftest import run
from tests.thoroughness import rounds

SHOWN = "id name price sold ratio weight active made_on made_at seen opens size facts raw code picture land sku".split()
JSON_SHOWN = [name for name in SHOWN if name != "raw"]
TEXT = st.text(
    st.one_of(
        st.sampled_from("=+-@'\"\t\r\n ,;|\\.# \x1c\x85\xa0\u2003\u3000é中😀"),
        st.characters(codec="utf-8", exclude_characters="\x00"),
    ),
    max_size=12,
)
ROW = st.fixed_dictionaries(
    {
        "name": st.none() | TEXT | st.sampled_from(["", "-5", "'-5", "  =x", "'\u2003'", "+1e5", "\\.", "-٣"]),
        "sku": st.none() | st.text(st.sampled_from("a,'\" =-\\"), max_size=6),
        "price": st.none() | st.decimals(-9999999999, 9999999999, places=2) | st.just(Decimal("NaN")),
        "sold": st.none() | st.integers(-(2**63), 2**63 - 1),
        "ratio": st.none() | st.floats(),
        "weight": st.none() | st.floats(width=32),
        "active": st.none() | st.booleans(),
        "made_on": st.none() | st.dates() | st.sampled_from(["infinity", "-infinity", "0044-03-15 BC", "12024-01-01"]),
        "made_at": st.none() | st.datetimes(timezones=st.just(UTC)) | st.sampled_from(["-infinity", "0044-03-15 00:00+00 BC"]),
        "seen": st.none() | st.datetimes() | st.just("infinity"),
        "opens": st.none() | st.times() | st.just("24:00"),
        "size": st.none() | st.sampled_from(["S", "=L"]),
        "facts": st.none() | st.sampled_from(['{"a": [1.50, "\\\\", null]}', '"=x"', "-5", '{"é": "\\u0001"}', "[]", "1e30"]),
        "raw": st.none() | st.sampled_from(['{"a":1}', " -5", '"x"']),
        "picture": st.none() | st.binary(max_size=3),
        "land": st.none() | st.sampled_from(["DE", "", "="]),
    }
)  # fmt: skip
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "delimiter": st.sampled_from([",", ";", "\t", "|"]),
        "quote_char": st.sampled_from(['"', "'"]),
        "line_ending": st.sampled_from(["crlf", "lf"]),
        "include_headers": st.booleans(),
        "formula_guard": st.booleans(),
        "date_format": st.sampled_from(["iso", "us", "eu", "DD.MM.YYYY", "YYYY/MM/DD HH:mm"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig"]),
    },
)


@pytest.fixture
def plan(goods: str, root: Any) -> Any:
    def make(format_name: str, columns: list[str], **options: Any) -> Plan:
        wanted = Wanted(goods, format_name, columns, export_options=options)
        return planned(wanted, root)

    return make


def by_postgres(plan: Plan) -> bytes | None:
    lines = copying.lines(plan.selection, plan.format.name, plan.options)
    if lines is None:
        return None
    return b"".join(lines.pieces(connection.connection, lambda rows: None))


def by_us(plan: Plan) -> bytes:
    target = io.BytesIO()
    with writing._rows(plan, connection.connection, lambda rows: None) as rows:
        writing.write(target, plan.format.name, plan.selection.columns, rows, plan.options)
    return target.getvalue()


def insert(rows: list[dict[str, Any]]) -> None:
    run("DELETE FROM goods", "SET bytea_output = 'hex'")
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(
                f"INSERT INTO goods ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values())
            )


@pytest.mark.req("F-110", "F-111", "F-165", "F-174")
@settings(max_examples=rounds(100, 25), deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROW, max_size=3, unique_by=lambda row: row["sku"]), options=OPTIONS)
def test_postgresql_writes_the_bytes_we_write(plan: Any, rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
    with transaction.atomic():
        insert(rows)
        if options.get("date_format", "iso") == "iso" or not any(map(has_odd_date, rows)):
            table = plan("csv", SHOWN, **options)
            assert by_postgres(table) == by_us(table)
        for format_name in ("json", "jsonl"):
            records = plan(format_name, JSON_SHOWN)
            assert by_postgres(records) == by_us(records)
        transaction.set_rollback(True)


def has_odd_date(row: dict[str, Any]) -> bool:
    """Whether a date has no place in the patterns: infinite, before Christ, after 9999."""
    return any(isinstance(row[name], str) for name in ("made_on", "made_at", "seen"))


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (["id"], {}),
        (["id", "tags"], {}),
        (["id", "name"], {"null_value": "NULL"}),
        (["id", "name"], {"encoding": "utf-16"}),
        (["id", "price"], {"decimal_separator": ","}),
        (["id", "made_at"], {"timezone": "Europe/Berlin"}),
        (["id", "made_at"], {"date_format": "timestamp"}),
    ],
)
def test_it_leaves_to_us_what_postgresql_writes_otherwise(
    plan: Any, columns: list[str], options: dict[str, Any]
) -> None:
    assert by_postgres(plan("csv", columns, **options)) is None
    assert by_us(plan("csv", columns, **options))


EVERYTHING = [*SHOWN, "stock", "tags", "span"]


@pytest.mark.req("F-110", "F-165")
@pytest.mark.parametrize("format_name", ["csv", "json", "jsonl", "xlsx", "xml", "yaml"])
def test_independent_programs_read_every_type(plan: Any, format_name: str) -> None:
    found = plan(format_name, EVERYTHING)
    data = by_postgres(found) or by_us(found)
    rows = _read(format_name, data)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, name, price, sold, made_on, active, tags, facts, code::text, span::text FROM goods ORDER BY id"
        )
        wanted = cursor.fetchall()
    assert len(rows) == len(wanted) == 12
    for row, (pk, name, price, sold, made_on, active, tags, _, code, span) in zip(rows, wanted, strict=True):
        assert int(row["id"]) == pk
        guarded = f"'{name}" if format_name == "csv" and (name or "").startswith("=") else name
        missing = "" if format_name in {"csv"} else None
        assert (row["name"] or missing) == (guarded or missing)
        assert Decimal(str(row["price"])) == price
        assert int(row["sold"]) == sold
        assert str(row["made_on"])[:10] == made_on.isoformat()
        assert str(row["active"]).lower() == str(active).lower()
        assert (row["tags"] if isinstance(row["tags"], list) else json.loads(row["tags"])) == tags
        assert str(row["code"]) == code
        assert row["span"] == span


def _read(format_name: str, data: bytes) -> list[dict[str, Any]]:
    match format_name:
        case "csv":
            return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
        case "json":
            return json.loads(data)
        case "jsonl":
            return [json.loads(line) for line in data.decode().split("\n") if line]
        case "xlsx":
            head, *rows = openpyxl.load_workbook(io.BytesIO(data), read_only=True).active.iter_rows(values_only=True)
            return [dict(zip(head, row, strict=True)) for row in rows]
        case "xml":
            return [{cell.tag: cell.text for cell in row} for row in etree.fromstring(data)]
        case _:
            return yaml.safe_load(data)
