"""The report of a validation, and that it changes nothing (F-027, F-070 to F-083)."""

from __future__ import annotations

import io
from typing import Any

import psycopg
import pytest

from importer.models import FileFinding, TableRule
from importer.operations import Conflict, files
from importer.operations.files import ImportInvalid
from importer.options import InvalidOption
from tests.importer.files.conftest import imported, outcomes, uploaded


def report(content: str, **given: Any) -> dict[str, Any]:
    return files.validate(uploaded(content, **given), None, system=True)


@pytest.mark.req("F-027", "F-080", "F-082", "F-083")
def test_the_report_names_row_column_field_and_value(shop: psycopg.Connection) -> None:
    mappings = [
        {"source_column": "Article", "target_column": "sku"},
        {"source_column": "Left", "target_column": "stock"},
    ]
    found = report("Left,Article,Colour\nabc,A,red\n1,B,\n-1,,red\n", mappings=mappings)
    assert {name: found[name] for name in ("isValid", "totalRows", "validRows", "errorRows", "errorsTotal", "truncated")} == {
        "isValid": False, "totalRows": 3, "validRows": 1, "errorRows": 2, "errorsTotal": 3, "truncated": False,
    }  # fmt: skip
    first = found["errors"][0]
    assert set(first) == {"row", "record", "column", "field", "message", "severity", "value", "code", "suggestion"}
    assert (first["row"], first["record"], first["column"], first["field"], first["severity"], first["value"]) == (
        2, 1, "Left", "stock", "error", "abc",
    )  # fmt: skip
    assert [(error["row"], error["field"]) for error in found["errors"]] == [(2, "stock"), (4, "sku"), (4, "stock")]
    assert "severity" not in found["warnings"][0]
    assert found["warnings"][0]["code"] == "unmapped_columns"
    assert "Colour" in found["warnings"][0]["message"]


@pytest.mark.req("F-027")
def test_a_hundred_errors_are_shown_and_all_are_kept(shop: psycopg.Connection) -> None:
    job = uploaded("sku,stock\n" + "".join(f"S{number},x\n" for number in range(130)))
    found = files.validate(job, None, system=True)
    assert (len(found["errors"]), found["errorsTotal"], found["truncated"]) == (100, 130, True)
    assert len(files.report_of(job.file, limit=1000)["errors"]) == 130
    page, total = files.errors(job, skip=120, limit=100)
    assert ([item["row"] for item in page], total) == (list(range(122, 132)), 130)


@pytest.mark.req("F-076", "F-077")
def test_a_required_column_nobody_mapped_is_said_once(shop: psycopg.Connection) -> None:
    found = report("name\nx\ny\n")
    assert [(error["row"], error["code"], error["field"]) for error in found["errors"][:1]] == [
        (0, "unmapped_required", "sku")
    ]
    assert sum(error["code"] == "unmapped_required" for error in found["errors"]) == 1
    assert (found["validRows"], found["errorRows"]) == (0, 2)


@pytest.mark.req("F-078")
def test_what_looks_odd_is_a_warning(shop: psycopg.Connection) -> None:
    shop.execute(
        "CREATE TABLE people (id serial PRIMARY KEY, name text, email text, age integer, born date, pay numeric)"
    )
    try:
        lines = [f"P{number},p{number}@x.example,{20 + number},1990-01-01,{1000 + number}" for number in range(40)]
        lines += [
            "Old,o@x.example,150,1850-01-01,1000",
            "Rich,r@x.example,030,2990-01-01,99999999",
            "Lost\ufffd,l@x.example,5,2000-01-01,1001",
        ]
        found = report("name,email,age,born,pay\n" + "\n".join(lines) + "\n", table="people")
        assert found["isValid"], found["errors"]
        odd = [
            (warning["row"], warning["field"], warning["code"]) for warning in found["warnings"] if warning["row"] > 41
        ]
        assert (42, "age", "unusual_value") in odd
        assert (42, "born", "unusual_date") in odd
        assert (43, "age", "leading_zeros") in odd
        assert (43, "born", "unusual_date") in odd
        assert (43, "pay", "unusual_value") in odd
        assert (44, "name", "replacement_character") in odd
        bad = report("name,email\nx,nobody\ny,\n", table="people")
        assert [(error["row"], error["code"]) for error in bad["errors"]] == [(2, "bad_email")]
    finally:
        shop.execute("DROP TABLE people")


@pytest.mark.req("F-073")
def test_addresses_links_and_dates_have_a_form(shop: psycopg.Connection) -> None:
    shop.execute(
        "CREATE DOMAIN email_address AS text; CREATE TABLE people (id serial PRIMARY KEY, work_email text, contact "
        "email_address, mail_body text, email_id text, site text, born date, joined text)"
    )
    try:
        header = "work_email,contact,mail_body,email_id,site,born,joined\n"
        rules = [{"column": "site", "rule": "url"}, {"column": "joined", "rule": "date"}]
        good = "a@b.example,c.d+e@f.g.example,any text,7,https://x.example/a?b#c,2024-02-29,2024-12-31\n"
        bad = (
            "a@b,@f.example,,,x.example,2023-02-29,31st of May\n"
            + "a b@c.example,c@@d.example,,,ftp://x.example,2024,\n"
        )
        found = report(header + good + ",,,7,,,\n" + bad, table="people", options={"validation_rules": rules})
        told = [(error["row"], error["field"], error["code"]) for error in found["errors"]]
        assert told == [
            (4, "work_email", "bad_email"), (4, "contact", "bad_email"), (4, "site", "bad_url"),
            (4, "born", "bad_date"), (4, "joined", "bad_date"),
            (5, "work_email", "bad_email"), (5, "contact", "bad_email"), (5, "site", "bad_url"), (5, "born", "bad_date"),
        ]  # fmt: skip
        assert (found["validRows"], found["errorRows"]) == (2, 2)
    finally:
        shop.execute("DROP TABLE people; DROP DOMAIN email_address")
    people = report("external_id,name,email\n1,Ann,ann@x.example\n2,Bob,bob at x\n", target_type="customer_users")
    assert [(error["row"], error["code"]) for error in people["errors"]] == [(3, "bad_email")]  # by the field's type


@pytest.mark.req("F-074", "F-075")
@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ({"column": "name", "rule": "not_empty"}, ""),
        ({"column": "name", "rule": "pattern", "value": "^[a-z]+$"}, "X1"),
        ({"column": "stock", "rule": "min", "value": 5}, "4"),
        ({"column": "stock", "rule": "max", "value": 5}, "6"),
        ({"column": "made_on", "rule": "min", "value": "2024-01-01"}, "2023-12-31"),
        ({"column": "name", "rule": "min_length", "value": 3}, "ab"),
        ({"column": "name", "rule": "max_length", "value": 3}, "abcd"),
        ({"column": "name", "rule": "one_of", "value": ["a", "b"]}, "c"),
        ({"column": "name", "rule": "email"}, "nobody"),
        ({"column": "name", "rule": "url"}, "example"),
        ({"column": "name", "rule": "date"}, "31.12.2024"),
        ({"column": "name", "rule": "unique"}, "twice"),
    ],
    ids=lambda value: value["rule"] if isinstance(value, dict) else "",
)
def test_rules_of_the_import(shop: psycopg.Connection, rule: dict[str, Any], bad: str) -> None:
    column = rule["column"]
    if rule["rule"] == "unique":
        shop.execute("INSERT INTO products (sku, name) VALUES ('OLD', 'twice')")
    found = report(f"sku,{column}\nA,{bad}\n", options={"validation_rules": [rule]})
    assert [error["field"] for error in found["errors"]] == [column]
    gentle = report(
        f"sku,{column}\nA,{bad}\n", options={"validation_rules": [rule | {"severity": "warning", "message": "Look."}]}
    )
    if rule["rule"] != "unique":
        assert gentle["isValid"]
        assert [(warning["field"], warning["message"]) for warning in gentle["warnings"]] == [(column, "Look.")]


@pytest.mark.req("F-075")
def test_rules_of_the_table_always_apply(shop: psycopg.Connection) -> None:
    TableRule.objects.create(table_name="products", column="stock", rule="max", value=10)
    assert report("sku,stock\nA,11\n")["errorRows"] == 1


@pytest.mark.req("F-081", "F-033")
def test_validating_changes_nothing(shop: psycopg.Connection) -> None:
    shop.execute("INSERT INTO products (sku) VALUES ('OLD')")

    def state() -> Any:
        return shop.execute(
            "SELECT md5(string_agg(p::text, '|' ORDER BY id)), (SELECT last_value FROM products_id_seq) FROM products p"
        ).fetchone()

    before = state()
    found = files.validate_file(
        None, io.BytesIO(b"sku,stock\nOLD,1\nB,x\n"), "p.csv", table_name="products", system=True
    )
    assert (found["totalRows"], found["errorRows"], found["errors"][0]["row"]) == (2, 1, 3)
    job = uploaded("sku\nB\n", options={"validate_only": True})
    files.validate(job, None, system=True)
    with pytest.raises(Conflict):
        files.start(job, None, system=True)
    assert not FileFinding.objects.exists()
    after = state()
    assert after == before


@pytest.mark.req("F-029")
def test_a_start_needs_the_validation_of_the_same_file_mapping_and_options(shop: psycopg.Connection) -> None:
    job = uploaded("sku,stock\nA,1\nB,x\n")
    with pytest.raises(ImportInvalid, match="not validated"):
        files.start(job, None, system=True)
    files.validate(job, None, system=True)
    with pytest.raises(ImportInvalid) as refused:
        files.start(job, None, system=True)
    assert refused.value.more == {"totalRows": 2, "validRows": 1, "errorRows": 1}
    files.configure(job, None, mappings=[{"source_column": "sku", "target_column": "sku"}], system=True)
    with pytest.raises(ImportInvalid, match="not validated"):
        files.start(job, None, accept_errors=True, system=True)
    job.refresh_from_db()
    assert (job.status, job.awaits_start) == ("pending", True)


@pytest.mark.req("F-054")
@pytest.mark.parametrize(
    "mappings",
    [
        [{"source_column": "nothing", "target_column": "sku"}],
        [{"source_column": "sku", "target_column": "nothing"}],
        [{"source_column": "sku", "target_column": "sku"}, {"source_column": "name", "target_column": "sku"}],
        [{"source_column": "sku", "target_column": "sku", "transform": "explode"}],
        [{"source_column": "sku"}],
        "sku",
    ],
)
def test_a_mapping_that_cannot_be_is_refused(shop: psycopg.Connection, mappings: Any) -> None:
    with pytest.raises(InvalidOption):
        uploaded("sku,name\nA,x\n", mappings=mappings)


@pytest.mark.req("F-055", "F-054")
def test_transformations_and_defaults(shop: psycopg.Connection) -> None:
    mappings = [
        {"source_column": "a", "target_column": "sku", "transform": "uppercase"},
        {"source_column": "b", "target_column": "name", "transform": ["trim", "lower"]},
        {"source_column": "c", "target_column": "stock", "transform": "number", "default": 7},
        {"source_column": "d", "target_column": "active", "transform": "boolean"},
        {"source_column": "e", "target_column": "made_on", "transform": "date"},
    ]
    job = imported("a,b,c,d,e\nx1, Big ,,yes,2024-05-06\nx2,,5,no,\n", mappings=mappings)
    assert outcomes(job) == {"read": 2, "created": 2}
    assert shop.execute("SELECT sku, name, stock, active, made_on::text FROM products ORDER BY id").fetchall() == [
        ("X1", "big", 7, True, "2024-05-06"), ("X2", None, 5, False, None),
    ]  # fmt: skip
