"""Tables and files of a small shop, to try file imports and exports on (F-144)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from psycopg import sql

TABLES = ("customers", "products", "orders")  # parents first
GRANTED = ("users", *TABLES)
IMPORTS = {"max_file_size_mb": 50, "max_rows_per_import": 50_000, "allowed_formats": ["csv", "json", "excel", "xml"]}
EXPORTS = {"max_rows_per_export": 200_000, "allowed_formats": ["csv", "json", "excel", "xml"]}
DDL = """
CREATE TABLE IF NOT EXISTS customers (id serial PRIMARY KEY, name varchar(255) NOT NULL, email varchar(255) NOT NULL
    UNIQUE, country char(2), since date);
CREATE TABLE IF NOT EXISTS products (id serial PRIMARY KEY, sku varchar(40) NOT NULL UNIQUE, name varchar(255) NOT NULL,
    price numeric(10, 2) NOT NULL CHECK (price >= 0), stock integer NOT NULL DEFAULT 0, active boolean NOT NULL
    DEFAULT true);
CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, number varchar(20) NOT NULL UNIQUE, customer_id integer NOT
    NULL REFERENCES customers (id), product_id integer NOT NULL REFERENCES products (id), quantity integer NOT NULL
    CHECK (quantity > 0), ordered_at timestamptz NOT NULL);
COMMENT ON TABLE customers IS 'Demo: who buys';
COMMENT ON TABLE products IS 'Demo: what is sold';
COMMENT ON TABLE orders IS 'Demo: what was sold to whom';
INSERT INTO customers (name, email, country, since)
    SELECT 'Customer ' || i, 'customer' || i || '@shop.example', (ARRAY['DE', 'FR', 'GB', 'US'])[1 + i % 4],
    date '2024-01-01' + i FROM generate_series(1, 200) i ON CONFLICT DO NOTHING;
INSERT INTO products (sku, name, price, stock, active)
    SELECT 'SKU-' || lpad(i::text, 4, '0'), 'Product ' || i, 5 + i * 0.35, i % 40, i % 9 > 0
    FROM generate_series(1, 100) i ON CONFLICT DO NOTHING;
INSERT INTO orders (number, customer_id, product_id, quantity, ordered_at)
    SELECT 'A-' || lpad(i::text, 5, '0'), c.id, p.id, 1 + i % 5, timestamptz '2025-01-01 08:00+00' + i * interval '3 hours'
    FROM generate_series(1, 500) i JOIN customers c ON c.email = 'customer' || (1 + i % 200) || '@shop.example'
    JOIN products p ON p.sku = 'SKU-' || lpad((1 + i % 100)::text, 4, '0') ON CONFLICT DO NOTHING;
"""
MARK = "Demo: "


class NotOurs(Exception):
    """A table of that name is there and was not made here."""


@transaction.atomic
def make_tables() -> dict[str, int]:
    """The tables with their rows, as often as asked; returns rows by table. Raises NotOurs before anything is written."""
    _require_ours()
    with connection.cursor() as cursor:
        cursor.execute(DDL)
        found = {}
        for name in TABLES:
            cursor.execute(_count(name))
            found[name] = cursor.fetchone()[0]
    return found


@transaction.atomic
def drop_tables() -> None:
    """Take the tables away. Raises NotOurs."""
    _require_ours()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS orders, products, customers")


def write_files(folder: Path) -> list[Path]:
    """Files to import: new products and orders, people, and customers as JSON. Existing ones are written anew."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "users.csv": (("name", "email", "timezone"), _people()),
        "products.csv": (("sku", "name", "price", "stock", "active"), _products()),
        "orders.csv": (("number", "customer_id", "product_id", "quantity", "ordered_at"), _orders()),
    }
    for name, (columns, rows) in tables.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
    customers = [
        {"name": f"New customer {i}", "email": f"new{i}@shop.example", "country": "AT", "since": f"2025-06-{i:02}"}
        for i in range(1, 21)
    ]
    (folder / "customers.json").write_text(json.dumps({"customers": customers}, indent=2), encoding="utf-8")
    return [folder / name for name in FILES]


FILES = ("users.csv", "products.csv", "orders.csv", "customers.json")


def remove_files(folder: Path) -> None:
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def _people() -> Iterator[tuple[Any, ...]]:
    for i in range(1, 26):
        yield f"Person {i}", f"person{i}@shop.example", "Europe/Berlin"


def _products() -> Iterator[tuple[Any, ...]]:
    for i in range(90, 131):  # the first eleven are here already
        yield f"SKU-{i:04}", f"Product {i}", f"{5 + i * 0.35:.2f}", i % 40, "true" if i % 9 else "false"


def _orders() -> Iterator[tuple[Any, ...]]:
    for i in range(501, 601):
        yield f"A-{i:05}", 1 + i % 200, 1 + i % 100, 1 + i % 5, f"2025-09-{1 + i % 28:02}T08:00:00Z"


def _count(name: str) -> sql.Composed:
    return sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))


def _require_ours() -> None:
    with connection.cursor() as cursor:
        for name in TABLES:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL, obj_description(to_regclass(%s))", [name, name])
            exists, comment = cursor.fetchone()
            if exists and not str(comment or "").startswith(MARK):
                raise NotOurs(f"There is a table “{name}” that is not the demo's. Rename it, or try this elsewhere.")
