"""What an update may write (M15, M16), and times of the source (E40)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from importer.operations.frames import progress_of
from servicevault.models import Account, Ticket
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def company(desk: Desk) -> Desk:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text, notes text, phone text)")
    desk.execute("INSERT INTO c VALUES (1, 'Acme', 'Bonn', 'first', '1')")
    return desk


def again(desk: Desk, **changes: object) -> Account:
    for column, value in changes.items():
        desk.execute(f"UPDATE c SET {column} = %s", [value])
    desk.run()
    return Account.objects.get()


@pytest.mark.req("M15", "N-128")
def test_an_unmapped_column_is_never_written(company: Desk) -> None:
    company.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    company.run()
    Account.objects.update(phone="by hand", notes="by hand", timezone="Europe/Rome", custom_fields={"a": 1})
    found = again(company, city="Köln")
    assert (found.city, found.phone, found.notes, found.timezone, found.custom_fields) == (
        "Köln", "by hand", "by hand", "Europe/Rome", {"a": 1},
    )  # fmt: skip


@pytest.mark.req("M15")
@pytest.mark.parametrize(
    ("rule", "by_hand", "expected"),
    [
        ("overwrite", "hand", "second"),
        ("if_empty", "hand", "hand"),
        ("if_empty", None, "second"),
        ("never", "hand", "hand"),
        ("append", "hand", "hand\nsecond"),
    ],
)
def test_each_field_has_its_write_rule(company: Desk, rule: str, by_hand: str | None, expected: str) -> None:
    notes = {"source": "c.notes", "write_rule": rule}
    company.query("accounts", "c", {"external_id": "id", "name": "name", "notes": notes})
    company.run()
    Account.objects.update(notes=by_hand)
    assert again(company, notes="second").notes == expected


@pytest.mark.req("M16", "DEC-20")
def test_an_empty_value_is_written_unless_the_mapping_keeps_it(company: Desk) -> None:
    kept = {"source": "c.phone", "empty_values": "keep"}
    company.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city", "phone": kept})
    company.run()
    found = again(company, city=None, phone=None)
    assert (found.city, found.phone) == (None, "1")


@pytest.mark.req("M16")
def test_a_field_that_must_not_be_empty_is_never_cleared(company: Desk) -> None:
    company.query("accounts", "c", {"external_id": "id", "name": "name"})
    company.run()
    assert again(company, name=" ").name == "Acme"


@pytest.mark.alike
@pytest.mark.req("M15", "M16")
@pytest.mark.parametrize(
    ("rule", "by_hand", "second", "expected"),
    [
        ("overwrite", "hand", "second", "second"),
        ("overwrite", "hand", None, None),
        ("if_empty", "hand", "second", "hand"),
        ("if_empty", "", "second", "second"),
        ("never", "hand", "second", "hand"),
        ("append", "hand", "second", "hand\nsecond"),
        ("append", "second thoughts", "second", "second thoughts"),
        ("append", "hand", None, "hand"),
    ],
)
def test_a_custom_field_has_its_write_rule_too(
    company: Desk, rule: str, by_hand: str, second: str | None, expected: str | None
) -> None:
    kept = {"source": "c.notes", "write_rule": rule}
    company.query("accounts", "c", {"external_id": "id", "name": "name", "custom_fields.kept": kept})
    company.run()
    assert Account.objects.get().custom_fields == {"kept": "first"}
    Account.objects.update(custom_fields={"kept": by_hand, "mine": 1})
    assert again(company, notes=second).custom_fields == {"mine": 1} | ({"kept": expected} if expected else {})


@pytest.mark.req("M16", "DEC-20")
def test_an_empty_value_keeps_a_custom_field_where_the_mapping_says_so(company: Desk) -> None:
    kept = {"source": "c.notes", "empty_values": "keep"}
    company.query(
        "accounts", "c", {"external_id": "id", "name": "name", "custom_fields.a": kept, "custom_fields.b": "city"}
    )
    company.run()
    assert again(company, notes=None, city=None, name="Acme 2").custom_fields == {"a": "first"}


def test_custom_fields_are_merged_not_replaced(company: Desk) -> None:
    company.query("accounts", "c", {"external_id": "id", "name": "name", "custom_fields.old_city": "city"})
    company.run()
    Account.objects.update(custom_fields={"old_city": "Bonn", "mine": True})
    assert again(company, city="Ulm").custom_fields == {"old_city": "Ulm", "mine": True}


def test_a_shorter_list_in_a_custom_field_is_a_change(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, mails text[])")
    desk.execute("INSERT INTO c VALUES (1, 'Acme', ARRAY['a', 'b'])")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "custom_fields.mails": "mails"})
    desk.run()
    desk.execute("UPDATE c SET mails = ARRAY['a']")
    assert desk.outcomes(desk.run()) == {"read": 1, "updated": 1}
    assert Account.objects.get().custom_fields == {"mails": ["a"]}


@pytest.mark.req("E40", "C4", "E12")
def test_naive_times_are_read_in_the_profiles_zone(desk: Desk) -> None:
    desk.profile.source_timezone = "Europe/Berlin"
    desk.profile.save()
    desk.execute("CREATE TABLE t (id int PRIMARY KEY, title text, made timestamp(0), closed timestamptz)")
    desk.execute(
        "INSERT INTO t VALUES (1, 'summer', '2024-07-01 12:00', '2024-07-01 12:00+00'), (2, 'gap', '2026-03-29 02:30', NULL), "
        "(3, 'fold', '2026-10-25 02:30', NULL), (4, 'winter', '2024-01-01 12:00', NULL)"
    )
    desk.query(
        "tickets",
        "t",
        {"external_id": "id", "title": "title", "description": "title", "created_at": "made", "closed_at": "closed"},
    )
    job = desk.run()
    times = dict(Ticket.objects.values_list("title", "created_at"))
    assert times == {
        "summer": datetime(2024, 7, 1, 10, tzinfo=UTC),
        "gap": datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        "fold": datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        "winter": datetime(2024, 1, 1, 11, tzinfo=UTC),
    }
    assert Ticket.objects.get(title="summer").closed_at == datetime(2024, 7, 1, 12, tzinfo=UTC)
    assert desk.record(job, "2").warnings[0]["code"] == "time_does_not_exist"
    assert desk.record(job, "3").warnings[0]["code"] == "time_is_ambiguous"
    assert desk.record(job, "4").warnings is None


@pytest.mark.alike
@pytest.mark.parametrize("key", ["growth %", "100%s", 'a "quoted" {key}', "späße"])
def test_a_custom_field_may_have_any_name(company: Desk, key: str) -> None:
    upper = {"source": "c.city", "transformation": ["trim", "upper"]}
    company.query("accounts", "c", {"external_id": "id", "name": "name", f"custom_fields.{key}": upper})
    company.run()
    assert Account.objects.get().custom_fields == {key: "BONN"}
    assert again(company, city="Ulm").custom_fields == {key: "ULM"}


@pytest.mark.req("L4")
@pytest.mark.parametrize("dry_run", [False, True], ids=["import", "rehearsal"])
def test_a_job_tells_how_sure_it_was_of_the_rows_that_met_a_target(company: Desk, dry_run: bool) -> None:
    company.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    assert progress_of(company.run())["average_confidence"] is None  # a row that is new met nothing
    company.execute("UPDATE c SET city = 'Köln'")
    job = company.run(dry_run=dry_run)
    assert company.outcomes(job) == {"read": 1, "updated": 1}
    assert progress_of(job)["average_confidence"] == 100.0
