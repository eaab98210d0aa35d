"""Every table that may be exported and imported comes back unchanged, from every format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from exporter.operations import DataExporter
from importer import runner
from importer.models import ImportJob
from importer.operations import files
from servicevault import tables
from servicevault.models import User
from servicevault.tables import Column, Table
from servicevault.tabular.xml_records import element_name
from tests.conftest import person
from tests.exporter.every_value import VALUES, fill, odd_name
from tests.importer.conftest import target  # noqa: F401 - a fixture
from tests.thoroughness import THOROUGH

WAYS = [("csv", "none"), ("json", "gzip"), ("jsonl", "none"), ("xlsx", "none"), ("xml", "none"), ("yaml", "zip")]
DOCUMENTS = {"json", "jsonl", "yaml"}
KEPT = ("root", "service-vault-import")  # people the installation needs meanwhile

# What does not come back letter by letter, and why; docs/files.md says so too. Everything else is compared as it is.
NOT_TO_THE_LETTER = {
    "json in json, jsonl, yaml": "the value is kept, its blanks and repeated names are not: a document has no place for them",
    "JSON's null in json, jsonl, yaml": "becomes NULL: the formats have one null only; csv, xlsx and xml tell the two apart",
    "JSON's null in an array": "becomes NULL for the same reason, in every format",
    "numeric without scale, -0 in xlsx": "Excel keeps the number, not its zeros at the end nor the sign of zero",
    "blank text in a column that must be filled": "refused by name (F-070), so no row here has one",
    "sensitive columns": "never leave (G15): a row made anew has their defaults",
}


@pytest.fixture
def filled(committed_db: None, target: psycopg.Connection, settings: Any, tmp_path: Path) -> Iterator[list[Table]]:  # noqa: F811
    """Every table there is, and one with a column of every type, parents first and with rows."""
    settings.IMPORT_TEMP_DIR, settings.EXPORT_TEMP_DIR = tmp_path / "imports", tmp_path / "exports"
    kinds = ", ".join(f"{odd_name(base)} {base.removeprefix('_')}{'[]' if base[0] == '_' else ''}" for base in VALUES)
    target.execute("DROP TABLE IF EXISTS every_type; DROP TYPE IF EXISTS odd_size; DROP DOMAIN IF EXISTS code, share")
    target.execute(
        "CREATE TYPE odd_size AS ENUM ('S', '=L', ' wide ', ''); CREATE DOMAIN code AS text CHECK (length(value) < 40); "
        "CREATE DOMAIN share AS numeric(5, 2) CHECK (value BETWEEN 0 AND 100);"
        f"CREATE TABLE every_type (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {kinds}, price numeric(12, 2), "
        "letters char(4), short varchar(20), size odd_size, sizes odd_size[], code code, share share, "
        "made bigint GENERATED ALWAYS AS (id * 2) STORED, serial serial, account uuid REFERENCES accounts (id), last text)"
    )
    person(KEPT[0], is_superuser=True)
    found = tables.parents_first(tables.find(listed.name) for listed in tables.listed())
    for table in found:
        target.execute(sql.SQL("CREATE TEMP TABLE {} AS TABLE {}").format(_kept(table), table.identifier))
        fill(target, table)
    yield found
    emptied(target, found)
    for table in found:
        if table.name not in {"users", "every_type"}:
            target.execute(sql.SQL("INSERT INTO {} TABLE {}").format(table.identifier, _kept(table)))
    target.execute("DROP TABLE every_type; DROP TYPE odd_size CASCADE; DROP DOMAIN code, share CASCADE")


def _kept(table: Table) -> sql.Identifier:
    return sql.Identifier(f"kept {table.name}")


def rows(connection: psycopg.Connection, table: Table, *, format_name: str = "csv") -> dict[str, dict[str, Any]]:
    """The rows by their keys, every column as PostgreSQL shows it."""
    shown = [sql.SQL("{} AS {}").format(_shown(each, format_name), sql.Identifier(each.name)) for each in table.columns]
    query = sql.SQL("SELECT {}, {} FROM {}").format(
        sql.Identifier(table.primary_key[0]), sql.SQL(", ").join(shown), table.identifier
    )
    names = [column.name for column in table.columns]
    return {str(key): dict(zip(names, values, strict=True)) for key, *values in connection.execute(query)}


def _shown(column: Column, format_name: str) -> sql.Composable:
    """The column's text, without what NOT_TO_THE_LETTER lists."""
    name = sql.Identifier(column.name)
    if column.base in {"json", "jsonb"} and format_name in DOCUMENTS:
        return sql.SQL("nullif({}::jsonb, 'null')::text").format(name)
    if column.base in {"_json", "_jsonb"}:
        return sql.SQL("ARRAY(SELECT nullif(e::jsonb, 'null') FROM unnest({0}) e)::text || ({0} IS NULL)").format(name)
    if column.base == "numeric" and format_name == "xlsx":
        return sql.SQL("trim_scale({})::text").format(name)
    if column.base in {"float4", "float8"} and format_name == "xlsx":
        return sql.SQL("({} + 0)::text").format(name)
    return sql.SQL("{}::text").format(name)


def emptied(connection: psycopg.Connection, found: list[Table]) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in found:
            condition = sql.SQL("username IS NULL OR username <> ALL ({})").format(sql.Literal(list(KEPT)))
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE {}").format(
                    table.identifier, condition if table.name == "users" else sql.SQL("true")
                )
            )


def exported(table: Table, format_name: str, compression: str) -> tuple[bytes, str]:
    done = DataExporter(User.objects.get(username=KEPT[0])).export_table(
        table.name, format_name, options={"compression": compression} if format_name != "xlsx" else {}
    )
    assert done.job.status == "completed", (table.name, format_name, done.job.error_message)
    return done.content, done.job.filename


def imported(table: Table, format_name: str, content: bytes, filename: str) -> ImportJob:
    """The file into the table, as it is: keys, stamps and numbers are the file's."""
    heads = {
        (element_name(column.name) if format_name == "xml" else column.name): column.name
        for column in table.open_columns
        if column.writable
    }
    options = {"on_duplicate": "update", "flatten": False}
    job = files.upload(
        None, io.BytesIO(content), filename, table_name=table.name, mappings=heads, options=options, system=True
    )
    report = files.validate(job, None, system=True)
    assert report["errors"] == [], (table.name, format_name)
    files.start(job, None, system=True)
    runner.work(job.pk)
    job.refresh_from_db()
    assert job.status == "completed", (table.name, format_name, job.error_message)
    return job


def share(found: list[Table], format_name: str) -> list[Table]:
    """The tables to try: all in CSV, and in CI all in every format; else a fourth, and that of every type."""
    if THOROUGH or format_name == "csv":
        return found
    here = [name for name, _ in WAYS].index(format_name)
    return [table for number, table in enumerate(found) if number % 4 == here % 4 or table.name == "every_type"]


@pytest.mark.req("F-110", "F-165", "F-071", "F-084", "F-050", "N-020")
@pytest.mark.parametrize(("format_name", "compression"), WAYS, ids=[name for name, _ in WAYS])
def test_every_table_comes_back_unchanged(
    filled: list[Table],
    target: psycopg.Connection,  # noqa: F811
    format_name: str,
    compression: str,
) -> None:
    assert {"accounts", "users", "tickets", "ticket_comments", "time_entries", "every_type"} <= {t.name for t in filled}
    chosen = share(filled, format_name)
    before = {table.name: rows(target, table, format_name=format_name) for table in chosen}
    written = [exported(table, format_name, compression) for table in chosen]
    emptied(target, chosen)
    for table, (content, filename) in zip(chosen, written, strict=True):
        imported(table, format_name, content, filename)
    for table in chosen:
        after = rows(target, table, format_name=format_name)
        assert after.keys() == before[table.name].keys()
        for key, row in before[table.name].items():
            assert after[key] == row, table.name
    if format_name == "csv":
        again = imported(filled[-1], format_name, *written[-1])
        assert again.counters()["unchanged"] == again.counters()["read"] > 0
