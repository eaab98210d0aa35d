"""Imports write as a role of the database that may write what is imported into, keep the books, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from importer import writer
from importer.models import ImportRecord
from servicevault import catalog, database, database_roles, tables, writer_role
from servicevault.catalog import Field
from servicevault.models import Account, User
from tests.importer.desk import Desk
from tests.importer.files.conftest import imported, outcomes

pytestmark = pytest.mark.usefixtures("committed_db")
DESK = {"accounts", "users", "tickets", "ticket_comments", "time_entries"}
BOOKS = {"importer_importrecord", "external_refs", "importer_pendingreference", "importer_queryrun"}
REFUSED = (
    "UPDATE users SET is_superuser = true",
    "UPDATE users SET password = 'x'",
    "UPDATE users SET role_id = NULL",
    "INSERT INTO users (id, name, is_superuser) VALUES (gen_random_uuid(), 'x', true)",
    "INSERT INTO users (id, name, password) VALUES (gen_random_uuid(), 'x', 'y')",
    "SELECT password FROM users",
    "DELETE FROM tickets",
    "UPDATE permissions_role SET permissions = '{}'",
    "INSERT INTO import_permissions DEFAULT VALUES",
    "INSERT INTO audit_log DEFAULT VALUES",
    "UPDATE audit_log SET operation = 'x'",
    "SELECT secret FROM importer_importprofile",
    "SELECT * FROM django_session",
    "UPDATE django_celery_beat_periodictask SET task = 'x'",
    "UPDATE importer_importrecord SET action = 'created'",
    "CREATE TABLE mine (id int)",
)


@pytest.fixture
def watched(target: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A table, and the accounts, tell who wrote their rows."""
    target.execute(
        'CREATE SCHEMA shop; CREATE TABLE shop."Big things" (id serial PRIMARY KEY, sku text UNIQUE, api_key text, '
        "account uuid REFERENCES accounts (id), who text DEFAULT current_user);"
        "ALTER TABLE accounts ADD COLUMN who text DEFAULT current_user"
    )
    yield target
    target.execute("DROP SCHEMA shop CASCADE; ALTER TABLE accounts DROP COLUMN who")


def small(desk: Desk) -> Desk:
    desk.execute(
        "CREATE TABLE orgs (id int PRIMARY KEY, name text); CREATE TABLE people (id int PRIMARY KEY, name text, mail text, org int);"
        "CREATE TABLE issues (id int PRIMARY KEY, title text, person int, agent int)"
    )
    desk.execute("INSERT INTO orgs VALUES (1, 'Acme'); INSERT INTO people VALUES (1, 'Ann', 'a@x.de', 1);"
                 "INSERT INTO issues VALUES (1, 'Broken', 1, 1)")  # fmt: skip
    person = {"external_id": "id", "name": "name", "email": "mail"}
    desk.query("accounts", "orgs", {"external_id": "id", "name": "name"})
    desk.query("agents", "people", person)
    desk.query("customer_users", "people", person | {"account_external_id": "org"})
    ticket = {"external_id": "id", "title": "title", "description": "title", "customer_external_id": "person"}
    desk.query("tickets", "issues", ticket | {"assigned_user_external_id": "agent"})
    return desk


@pytest.mark.req("G14", "G15", "G26")
def test_the_role_writes_the_help_desk_and_the_books_and_nothing_else(target: psycopg.Connection) -> None:
    role = writer.of_desk()
    assert role == database_roles.name(database_roles.IMPORT)
    held = target.execute(
        "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'f') "
        "AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) "
        "AND (has_table_privilege(%(role)s, c.oid, 'DELETE') OR has_any_column_privilege(%(role)s, c.oid, 'INSERT') "
        "OR has_any_column_privilege(%(role)s, c.oid, 'UPDATE'))",
        {"role": role},
    ).fetchall()
    assert {name for (name,) in held} == DESK | BOOKS
    with database.connect("test", role=role) as connection:
        connection.execute("INSERT INTO users (id, name) VALUES (gen_random_uuid(), 'Ann')")
        connection.execute("UPDATE users SET name = 'Anne' WHERE name = 'Ann'")
        connection.rollback()
        for statement in REFUSED:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()


@pytest.mark.req("E38", "G15")
def test_every_import_writes_as_the_role(watched: psycopg.Connection, desk: Desk) -> None:
    role = database_roles.name(database_roles.IMPORT)
    table = "shop.Big things"
    job = imported("sku\nA-1\n=B\n", table=table, mappings={"sku": "sku"})
    assert outcomes(job) == {"read": 2, "created": 2}
    again = imported("id,sku\n1,C-1\n7,D\n", table=table, mappings={"id": "id", "sku": "sku"},
                     options={"on_duplicate": "update", "duplicate_key": ["id"]})  # fmt: skip
    assert outcomes(again) == {"read": 2, "created": 1, "updated": 1}
    imported("external_id,name\n1,From a file\n", table="", target_type="accounts")
    small(desk)
    done = desk.run()
    assert done.status == "completed", done.error_message
    desk.execute("UPDATE orgs SET name = 'Acme Ltd'; UPDATE people SET name = 'Anne'")
    assert desk.outcomes(desk.run(), "customer_users") == {"read": 1, "updated": 1}
    writers = watched.execute('SELECT who FROM shop."Big things" UNION ALL SELECT who FROM accounts').fetchall()
    assert writers == [(role,)] * 5
    agent = User.objects.get(user_type="agent", name="Anne")
    assert (agent.role.name, agent.is_superuser, agent.has_usable_password()) == ("Agent", False, False)
    record = ImportRecord.objects.get(target_id=agent.pk, action="created")
    assert not {"password", "is_superuser", "role_id"} & set(record.after_image)


@pytest.mark.req("G15", "E4")
def test_a_forgotten_check_is_made_by_postgresql(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody registers a field that makes super admins."""
    careless = catalog.get("customer_users")
    fields = (*careless.fields, Field("is_superuser", "boolean"))
    monkeypatch.setitem(catalog._targets, "customer_users", replace(careless, fields=fields))
    small(desk)
    person = {"external_id": "id", "name": "name", "email": "mail", "is_superuser": {"source": "'true'"}}
    desk.query("customer_users", "people", person)
    job = desk.run(options={"selected_queries": ["customer_users"]})
    assert (job.status, job.error_code) == ("failed", "permission_denied")
    assert "users" in job.error_message
    assert not User.objects.filter(name="Ann").exists()
    with pytest.raises(ValueError, match="internal"):
        writer_role.writer([writer_role.Rights("permissions_role", written=True)], [])


def test_what_calls_functions_of_its_own_is_written_as_ourselves(watched: psycopg.Connection) -> None:
    table = tables.find("shop.Big things")
    assert writer_role.writer(writer_role.of_table(table), writer.BOOKS) is not None
    watched.execute(
        "CREATE FUNCTION shop.seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
        'CREATE TRIGGER seen BEFORE INSERT ON shop."Big things" FOR EACH ROW EXECUTE FUNCTION shop.seen()'
    )
    assert writer_role.writer(writer_role.of_table(table), writer.BOOKS) is None
    watched.execute('DROP TRIGGER seen ON shop."Big things"; ALTER TABLE shop."Big things" ENABLE ROW LEVEL SECURITY')
    assert writer_role.writer(writer_role.of_table(table), writer.BOOKS) is None


def test_without_the_role_imports_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_roles, "name", lambda purpose="": "nobody has made this role")
    small(desk)
    assert desk.run().status == "completed"
    assert Account.objects.filter(name="Acme").exists()
