"""Auto-map on the columns of three real platforms, and the rules one by one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from importer.mapping.auto import Remembered, SourceColumn, auto_map, columns_of_query, columns_of_rows
from importer.mapping.synonyms import COMMON, SYNONYMS
from importer.query.parsing import parse_spec
from importer.sources.schema import Column, SourceSchema, Table
from servicevault import catalog

INT, TEXT, STAMP, BOOL = "integer", "character varying(191)", "timestamp without time zone", "boolean"

# Platform, target, table, its columns, and what a person who knows the platform would map.
PLATFORMS = [
    ("freescout", "tickets", "conversations",
     {"id": INT, "number": INT, "threads_count": INT, "type": INT, "folder_id": INT, "mailbox_id": INT, "status": INT, "state": INT,
      "subject": TEXT, "customer_email": TEXT, "cc": "text", "bcc": "text", "preview": TEXT, "imported": BOOL, "has_attachments": BOOL,
      "created_by_user_id": INT, "created_by_customer_id": INT, "source_via": INT, "source_type": INT, "user_id": INT, "customer_id": INT,
      "closed_by_user_id": INT, "closed_at": STAMP, "user_updated_at": STAMP, "last_reply_at": STAMP, "last_reply_from": INT,
      "read_by_user": BOOL, "created_at": STAMP, "updated_at": STAMP, "meta": "text"},
     {"external_id": "id", "ticket_number": "number", "status": "status", "title": "subject", "customer_email": "customer_email",
      "created_by_external_id": "created_by_user_id", "assigned_user_external_id": "user_id", "customer_external_id": "customer_id",
      "closed_at": "closed_at", "created_at": "created_at", "updated_at": "updated_at"}),
    ("freescout", "customer_users", "customers",
     {"id": INT, "first_name": TEXT, "last_name": TEXT, "company": TEXT, "job_title": TEXT, "phones": "text", "websites": "text",
      "social_profiles": "text", "address": TEXT, "city": TEXT, "state": TEXT, "zip": TEXT, "country": TEXT, "photo_url": TEXT,
      "notes": "text", "created_at": STAMP, "updated_at": STAMP},
     {"external_id": "id", "first_name": "first_name", "last_name": "last_name", "company": "company", "job_title": "job_title",
      "phone": "phones", "address": "address", "city": "city", "state": "state", "zip": "zip", "country": "country", "notes": "notes",
      "created_at": "created_at", "updated_at": "updated_at"}),
    ("freescout", "ticket_comments", "threads",
     {"id": INT, "conversation_id": INT, "user_id": INT, "type": INT, "subtype": INT, "status": INT, "state": INT, "action_type": INT,
      "body": "text", "headers": "text", "from": TEXT, "to": "text", "has_attachments": BOOL, "message_id": TEXT, "source_via": INT,
      "created_by_user_id": INT, "created_by_customer_id": INT, "created_at": STAMP, "updated_at": STAMP, "opened_at": STAMP},
     {"external_id": "id", "ticket_external_id": "conversation_id", "author_external_id": "created_by_user_id", "content": "body",
      "author_email": "from", "message_id": "message_id", "created_at": "created_at", "updated_at": "updated_at"}),
    ("zammad", "tickets", "tickets",
     {"id": INT, "group_id": INT, "priority_id": INT, "state_id": INT, "organization_id": INT, "number": TEXT, "title": TEXT,
      "owner_id": INT, "customer_id": INT, "note": TEXT, "first_response_at": STAMP, "close_at": STAMP, "escalation_at": STAMP,
      "last_contact_at": STAMP, "create_article_type_id": INT, "article_count": INT, "type": TEXT, "time_unit": "numeric(6,2)",
      "preferences": "text", "updated_by_id": INT, "created_by_id": INT, "created_at": STAMP, "updated_at": STAMP},
     {"external_id": "id", "priority": "priority_id", "status": "state_id", "account_external_id": "organization_id",
      "ticket_number": "number", "title": "title", "assigned_user_external_id": "owner_id", "customer_external_id": "customer_id",
      "closed_at": "close_at", "created_by_external_id": "created_by_id", "created_at": "created_at", "updated_at": "updated_at"}),
    ("zammad", "customer_users", "users",
     {"id": INT, "organization_id": INT, "login": TEXT, "firstname": TEXT, "lastname": TEXT, "email": TEXT, "image": TEXT, "web": TEXT,
      "password": TEXT, "phone": TEXT, "fax": TEXT, "mobile": TEXT, "department": TEXT, "street": TEXT, "zip": TEXT, "city": TEXT,
      "country": TEXT, "address": TEXT, "vip": BOOL, "verified": BOOL, "active": BOOL, "note": TEXT, "last_login": STAMP,
      "created_by_id": INT, "created_at": STAMP, "updated_at": STAMP},
     {"external_id": "id", "account_external_id": "organization_id", "first_name": "firstname", "last_name": "lastname",
      "email": "email", "phone": "phone", "zip": "zip", "city": "city", "country": "country", "address": "address",
      "is_active": "active", "notes": "note", "created_at": "created_at", "updated_at": "updated_at"}),
    ("redmine", "tickets", "issues",
     {"id": INT, "tracker_id": INT, "project_id": INT, "subject": TEXT, "description": "text", "due_date": "date", "category_id": INT,
      "status_id": INT, "assigned_to_id": INT, "priority_id": INT, "fixed_version_id": INT, "author_id": INT, "lock_version": INT,
      "created_on": STAMP, "updated_on": STAMP, "start_date": "date", "done_ratio": INT, "estimated_hours": "double precision",
      "parent_id": INT, "root_id": INT, "lft": INT, "rgt": INT, "is_private": BOOL, "closed_on": STAMP},
     {"external_id": "id", "title": "subject", "description": "description", "due_at": "due_date", "status": "status_id",
      "assigned_user_external_id": "assigned_to_id", "priority": "priority_id", "created_by_external_id": "author_id",
      "created_at": "created_on", "updated_at": "updated_on", "started_at": "start_date", "estimated_hours": "estimated_hours",
      "closed_at": "closed_on"}),
    ("redmine", "time_entries", "time_entries",
     {"id": INT, "project_id": INT, "author_id": INT, "user_id": INT, "issue_id": INT, "hours": "double precision", "comments": TEXT,
      "activity_id": INT, "spent_on": "date", "tyear": INT, "tmonth": INT, "tweek": INT, "created_on": STAMP, "updated_on": STAMP},
     {"external_id": "id", "user_external_id": "user_id", "ticket_external_id": "issue_id", "duration": "hours",
      "description": "comments", "started_at": "spent_on", "created_at": "created_on", "updated_at": "updated_on"}),
    ("german csv", "customer_users", "",
     {"Kunden-Nr": "", "Vorname": "", "Nachname": "", "E-Mail-Adresse": "", "Telefonnummer": "", "Straße": "", "PLZ": "", "Ort": "",
      "Land": "", "Firma": "", "Bemerkung": "", "Erstellt am": ""},
     {"first_name": "Vorname", "last_name": "Nachname", "email": "E-Mail-Adresse", "phone": "Telefonnummer", "address": "Straße",
      "zip": "PLZ", "city": "Ort", "country": "Land", "company": "Firma", "notes": "Bemerkung", "created_at": "Erstellt am"}),
    ("french csv", "tickets", "",
     {"Numéro": "", "Sujet": "", "Contenu": "", "Statut": "", "Priorité": "", "Date de création": "", "Échéance": ""},
     {"ticket_number": "Numéro", "title": "Sujet", "description": "Contenu", "status": "Statut", "priority": "Priorité",
      "created_at": "Date de création", "due_at": "Échéance"}),
    ("spanish csv", "customer_users", "",
     {"Nombre": "", "Apellidos": "", "Correo electrónico": "", "Móvil": "", "Ciudad": "", "País": "", "Empresa": ""},
     {"name": "Nombre", "last_name": "Apellidos", "email": "Correo electrónico", "phone": "Móvil", "city": "Ciudad", "country": "País",
      "company": "Empresa"}),
]  # fmt: skip


def columns(table: str, types: dict[str, str]) -> list[SourceColumn]:
    return [SourceColumn(name, table, kind, key=bool(table) and name == "id") for name, kind in types.items()]


@pytest.mark.req("M8", "F-053")
@pytest.mark.parametrize(("platform", "target", "table", "types", "expected"), PLATFORMS)
def test_it_maps_what_a_person_would(
    platform: str, target: str, table: str, types: dict[str, str], expected: dict[str, str]
) -> None:
    found = auto_map(catalog.get(target), columns(table, types))
    preselected = {item.target: item.source for item in found.mappings if item.preselected}
    right = {pair for pair in preselected.items() if pair in expected.items()}
    missed = set(expected.items()) - right
    wrong = set(preselected.items()) - right
    assert not missed, f"{platform}: missed {missed}"
    assert len(right) / max(1, len(preselected)) >= 0.9, f"{platform}: wrong {wrong}"


@pytest.mark.req("M8", "F-053")
@pytest.mark.parametrize(("platform", "target", "table", "types", "expected"), PLATFORMS)
def test_each_target_and_source_is_proposed_once_and_the_rest_is_listed(
    platform: str, target: str, table: str, types: dict[str, str], expected: dict[str, str]
) -> None:
    found = auto_map(catalog.get(target), columns(table, types))
    targets = [item.target for item in found.mappings]
    sources = [item.source for item in found.mappings]
    assert len(set(targets)) == len(targets)
    assert len(set(sources)) == len(sources)
    assert sorted([*targets, *found.unmapped_targets]) == sorted(field.name for field in catalog.get(target).fields)
    assert sorted([*sources, *found.unused_sources]) == sorted(types)
    assert all(item.reason and 0.5 <= item.confidence <= 1 for item in found.mappings)


@pytest.mark.req("F-053")
@pytest.mark.parametrize(
    ("column", "field", "confidence", "level"),
    [
        (SourceColumn("first_name"), "first_name", 1.0, "High"),
        (SourceColumn("First Name"), "first_name", 0.95, "High"),
        (SourceColumn("firstName"), "first_name", 0.95, "High"),
        (SourceColumn("customer_first_name", "customers"), "first_name", 0.95, "High"),
        (SourceColumn("mail"), "email", 0.85, "Medium"),
        (SourceColumn("work_email"), "email", 0.70, "Medium"),
        (SourceColumn("contry"), "country", 0.60, "Low"),
        (SourceColumn("anything", samples=("a@x.de", "b@y.org")), "email", 0.50, "Low"),
        (SourceColumn("phone", type="timestamp with time zone"), "phone", 1.0, "High"),
        (SourceColumn("is_active", type="timestamp with time zone"), "is_active", 0.70, "Medium"),
    ],
)
def test_each_rule_has_its_confidence(column: SourceColumn, field: str, confidence: float, level: str) -> None:
    [proposal] = auto_map(catalog.get("customer_users"), [column]).mappings
    assert (proposal.target, proposal.confidence, proposal.level) == (field, confidence, level)


@pytest.mark.parametrize(
    "column",
    [
        SourceColumn("email_verified_at", type="timestamp with time zone"),
        SourceColumn("is_email_confirmed", type="boolean"),
        SourceColumn("company_logo_id", type="integer"),
        SourceColumn("anything", samples=("a@x.de", "nobody")),
    ],
)
def test_a_word_in_passing_is_no_match(column: SourceColumn) -> None:
    assert auto_map(catalog.get("customer_users"), [column]).mappings == ()


@pytest.mark.req("F-053", "M11")
def test_a_proposal_brings_the_transformation_its_values_need() -> None:
    given = [
        SourceColumn("hours", type="numeric"),
        SourceColumn("date", type="text"),
        SourceColumn("billable", type="text"),
    ]
    found = {item.target: item.transformation for item in auto_map(catalog.get("time_entries"), given).mappings}
    assert found == {
        "duration": (("hours_to_minutes", {}),), "started_at": (("datetime", {}),), "billable": (("boolean", {}),),
    }  # fmt: skip


@pytest.mark.req("M8")
def test_mappings_that_exist_are_left_alone() -> None:
    found = auto_map(catalog.get("agents"), [SourceColumn("email"), SourceColumn("name")], taken=["email"])
    assert [item.target for item in found.mappings] == ["name"]
    assert "email" not in found.unmapped_targets


@pytest.mark.req("M17")
def test_what_a_person_confirmed_comes_first_and_says_so() -> None:
    memory = Remembered("field_7", "email", (("lower", {}),), datetime(2026, 3, 1, tzinfo=UTC), "Alice Ng")
    stale = Remembered("gone", "name")
    found = auto_map(
        catalog.get("agents"), [SourceColumn("email"), SourceColumn("field_7")], remembered=[memory, stale]
    )
    assert [(item.source, item.target, item.confidence, item.reason) for item in found.mappings] == [
        ("field_7", "email", 1.0, "used on 2026-03-01 by Alice Ng")
    ]
    assert found.mappings[0].transformation == (("lower", {}),)


@pytest.mark.req("M8")
def test_columns_of_joined_tables_are_told_from_the_rows_own() -> None:
    def table(name: str, types: dict[str, str]) -> Table:
        return Table("public", name, columns=tuple(Column(*item) for item in types.items()), primary_key=("id",))

    schema = SourceSchema(
        (
            table("conversations", {"id": INT, "subject": TEXT, "customer_id": INT, "status": INT}),
            table("customers", {"id": INT, "name": TEXT, "email": TEXT, "status": INT, "queue": TEXT}),
        )
    )
    spec = parse_spec({
        "base_table": {"table": "conversations", "alias": "c"}, "target_type": "tickets", "fields": ["id"],
        "joins": [{"table": "customers", "alias": "Kunde", "on": 'c.customer_id = "Kunde".id'}],
    })  # fmt: skip
    found = auto_map(catalog.get("tickets"), columns_of_query(spec, schema))
    assert {item.target: (item.source, item.level) for item in found.mappings} == {
        "external_id": ("c.id", "High"), "title": ("c.subject", "Medium"), "customer_external_id": ("c.customer_id", "Medium"),
        "status": ("c.status", "High"), "customer_name": ('"Kunde".name', "High"), "customer_email": ('"Kunde".email', "High"),
        "queue": ('"Kunde".queue', "Medium"),
    }  # fmt: skip


@pytest.mark.req("F-053", "F-043")
def test_headers_of_a_file_are_mapped_by_name_and_content() -> None:
    given = columns_of_rows(["Full Name", "Kontakt"], [["Ann", "ann@x.de"], ["Bob", None]])
    found = auto_map(catalog.get("agents"), given)
    assert {item.target: (item.source, item.confidence) for item in found.mappings} == {
        "name": ("Full Name", 0.85), "email": ("Kontakt", 0.50),
    }  # fmt: skip


def test_synonyms_belong_to_fields_that_exist() -> None:
    for name, words in SYNONYMS.items():
        known = {field.name for field in catalog.get(name).fields}
        assert set(words) - known <= {"locale", "company", "account_external_id", "zip", "role", "city", "state", "country",
                                      "address", "notes"}, name  # fmt: skip
    assert COMMON
