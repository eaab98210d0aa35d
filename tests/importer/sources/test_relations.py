"""Joins nobody declared are found, and those that are none are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from importer.sources.introspection import introspect
from importer.sources.relations import infer_relations
from importer.sources.schema import ForeignKey, Relation, SourceSchema, Table
from tests.importer.sources.conftest import OpenSource
from tests.importer.sources.filling import fill

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.sql"))
FREESCOUT = Path(__file__).parents[4] / "shared" / "sources" / "freescout.schema.sql"
FREESCOUT_JOINS = (
    "emails.customer_id->customers conversations.customer_id->customers conversations.user_id->users"
    " conversations.mailbox_id->mailboxes conversations.created_by_user_id->users"
    " conversations.created_by_customer_id->customers threads.conversation_id->conversations"
    " threads.created_by_user_id->users threads.created_by_customer_id->customers"
    " timelogs.conversation_id->conversations timelogs.user_id->users attachments.thread_id->threads"
).split()
Edge = tuple[str, tuple[str, ...], str, tuple[str, ...]]


def edge(relation: Relation) -> Edge:
    return (
        f"{relation.schema}.{relation.table}",
        relation.columns,
        f"{relation.ref_schema}.{relation.ref_table}",
        relation.ref_columns,
    )


def declared(schema: SourceSchema) -> set[Edge]:
    return {
        (table.full_name, key.columns, f"{key.ref_schema}.{key.ref_table}", key.ref_columns)
        for table in schema.tables
        for key in table.foreign_keys
    }


def hide_keys(schema: SourceSchema) -> SourceSchema:
    return replace(schema, tables=tuple(replace(table, foreign_keys=()) for table in schema.tables))


def load(url: str, ddl: str, open_source: OpenSource, keys: dict[str, tuple[str, str]] | None = None) -> SourceSchema:
    """Create a schema, fill it and return it; `keys` are references the DDL does not declare."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ddl)
        connection.execute("SET search_path = public")
        with open_source(url) as session:
            schema = introspect(session)
        fill(connection, with_keys(schema, keys or {}))
    return schema


def with_keys(schema: SourceSchema, keys: dict[str, tuple[str, str]]) -> SourceSchema:
    def extended(table: Table) -> Table:
        added = [
            ForeignKey((path.split(".")[1],), table.schema, parent, (key,))
            for path, (parent, key) in keys.items()
            if path.split(".")[0] == table.name
        ]
        return replace(table, foreign_keys=(*table.foreign_keys, *added))

    return replace(schema, tables=tuple(map(extended, schema.tables)))


@pytest.mark.req("N-001", "N-002", "N-005", "N-009")
def test_it_finds_the_hidden_keys_of_six_schemas_and_little_else(
    source_database: Callable[..., str], open_source: OpenSource
) -> None:
    found_right, found_all, wanted_all = 0, 0, 0
    report = []
    for fixture in FIXTURES:
        url = source_database(fixture.stem)
        schema = load(url, fixture.read_text(), open_source)
        shown = {edge(relation) for relation in infer_relations(open_source(url), hide_keys(schema), budget_seconds=60)}
        wanted = declared(schema)
        report += [f"{fixture.stem}: missed {one}" for one in wanted - shown]
        report += [f"{fixture.stem}: wrong {one}" for one in shown - wanted]
        found_right, found_all, wanted_all = (
            found_right + len(shown & wanted),
            found_all + len(shown),
            wanted_all + len(wanted),
        )
    assert len(FIXTURES) >= 6
    recall, precision = found_right / wanted_all, found_right / found_all
    print(f"recall {recall:.3f}, precision {precision:.3f} of {wanted_all} keys\n" + "\n".join(sorted(report)))
    assert recall >= 0.95, report
    assert precision >= 0.90, report


FREESCOUT_KEYS = {
    "emails.customer_id": ("customers", "id"),
    "conversations.customer_id": ("customers", "id"),
    "conversations.user_id": ("users", "id"),
    "conversations.mailbox_id": ("mailboxes", "id"),
    "conversations.folder_id": ("folders", "id"),
    "conversations.created_by_user_id": ("users", "id"),
    "conversations.created_by_customer_id": ("customers", "id"),
    "conversations.closed_by_user_id": ("users", "id"),
    "folders.mailbox_id": ("mailboxes", "id"),
    "folders.user_id": ("users", "id"),
    "threads.conversation_id": ("conversations", "id"),
    "threads.user_id": ("users", "id"),
    "threads.customer_id": ("customers", "id"),
    "threads.created_by_user_id": ("users", "id"),
    "threads.created_by_customer_id": ("customers", "id"),
    "threads.edited_by_user_id": ("users", "id"),
    "timelogs.conversation_id": ("conversations", "id"),
    "timelogs.user_id": ("users", "id"),
    "attachments.thread_id": ("threads", "id"),
    "attachments.user_id": ("users", "id"),
    "customer_channel.customer_id": ("customers", "id"),
    "followers.conversation_id": ("conversations", "id"),
    "followers.user_id": ("users", "id"),
    "followers.added_by_user_id": ("users", "id"),
    "conversation_tag.conversation_id": ("conversations", "id"),
    "conversation_tag.tag_id": ("tags", "id"),
    "mailbox_user.mailbox_id": ("mailboxes", "id"),
    "mailbox_user.user_id": ("users", "id"),
    "custom_fields.mailbox_id": ("mailboxes", "id"),
    "conversation_custom_field.conversation_id": ("conversations", "id"),
    "conversation_custom_field.custom_field_id": ("custom_fields", "id"),
    "conversation_folder.conversation_id": ("conversations", "id"),
    "conversation_folder.folder_id": ("folders", "id"),
    "subscriptions.user_id": ("users", "id"),
    "send_logs.thread_id": ("threads", "id"),
    "send_logs.customer_id": ("customers", "id"),
    "send_logs.user_id": ("users", "id"),
}


@pytest.mark.req("N-009")
@pytest.mark.skipif(not FREESCOUT.exists(), reason="FreeScout's schema is not beside this repository")
def test_it_finds_every_join_the_freescout_pack_uses(
    source_database: Callable[..., str], open_source: OpenSource
) -> None:
    url = source_database("freescout")
    schema = load(url, FREESCOUT.read_text(), open_source, FREESCOUT_KEYS)
    assert not declared(schema)

    relations = infer_relations(open_source(url), schema)

    bare = {f"{r.table}.{r.columns[0]}->{r.ref_table}" for r in relations if not r.polymorphic}
    print(
        "\n".join(
            f"{r.confidence:5} {r.table}.{r.columns} -> {r.ref_table} {r.polymorphic} {r.evidence}" for r in relations
        )
    )
    assert set(FREESCOUT_JOINS) <= bare
    assert bare <= {f"{path}->{parent}" for path, (parent, _) in FREESCOUT_KEYS.items()}
    flagged = {(r.table, r.columns[0]) for r in relations if r.polymorphic}
    assert flagged == {
        ("activity_logs", "subject_id"),
        ("activity_logs", "causer_id"),
        ("notifications", "notifiable_id"),
    }


MESSAGES = """
    CREATE TABLE users (id int PRIMARY KEY, email text);
    CREATE TABLE customers (id int PRIMARY KEY, email text);
    CREATE TABLE messages (id int PRIMARY KEY, sender_id int NOT NULL, sender_type text NOT NULL, user_id int);
    INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 50) n;
    INSERT INTO customers SELECT n, 'c' || n FROM generate_series(100, 400) n;
    INSERT INTO messages SELECT n, CASE n % 2 WHEN 0 THEN 1 + n % 50 ELSE 100 + n % 300 END,
        CASE n % 2 WHEN 0 THEN {user} ELSE {customer} END, 1 + n % 50 FROM generate_series(1, 1000) n;
"""


@pytest.mark.req("N-004", "N-009")
@pytest.mark.parametrize(
    ("user", "customer"), [("App\\Models\\User", "App\\Models\\Customer"), ("users", "customers"), ("1", "2")]
)
def test_it_flags_a_polymorphic_sender_and_never_suggests_it_bare(
    source_database: Callable[..., str], open_source: OpenSource, user: str, customer: str
) -> None:
    url = source_database("sender")
    schema = load_text(url, MESSAGES.format(user=f"'{user}'", customer=f"'{customer}'"), open_source)

    senders = [r for r in infer_relations(open_source(url), schema) if r.columns == ("sender_id",)]

    assert all(r.polymorphic and r.type_column == "sender_type" for r in senders)
    assert {(r.ref_table, r.type_values) for r in senders} == {("users", (user,)), ("customers", (customer,))}


@pytest.mark.req("N-003")
def test_it_says_in_words_how_many_values_exist(source_database: Callable[..., str], open_source: OpenSource) -> None:
    url = source_database("words")
    schema = load_text(
        url,
        """
        CREATE TABLE customers (id int PRIMARY KEY);
        CREATE TABLE tickets (id int PRIMARY KEY, customer_id int);
        INSERT INTO customers SELECT generate_series(1, 1998);
        INSERT INTO tickets SELECT n, n FROM generate_series(1, 2000) n;
        """,
        open_source,
    )
    (relation,) = infer_relations(open_source(url), schema)
    assert relation.evidence[0] == "1,998 of 2,000 sampled values exist in customers.id"
    assert relation.confidence == pytest.approx(100 * (0.4 + 0.4 * 0.999 + 0.1), abs=0.1)
    assert relation.multiplicity == "n:1"


@pytest.mark.req("N-002")
def test_it_hides_a_name_the_values_contradict(source_database: Callable[..., str], open_source: OpenSource) -> None:
    url = source_database("contradiction")
    schema = load_text(
        url,
        """
        CREATE TABLE customers (id int PRIMARY KEY);
        CREATE TABLE tickets (id int PRIMARY KEY, customer_id int UNIQUE);
        INSERT INTO customers SELECT generate_series(1, 100);
        INSERT INTO tickets SELECT n, 5000 + n FROM generate_series(1, 500) n;
        """,
        open_source,
    )
    assert infer_relations(open_source(url), schema) == []


@pytest.mark.req("N-006")
def test_it_judges_by_name_when_the_probes_are_used_up(
    source_database: Callable[..., str], open_source: OpenSource
) -> None:
    url = source_database("budget")
    schema = load_text(
        url,
        """
        CREATE TABLE customers (id int PRIMARY KEY);
        CREATE TABLE tickets (id int PRIMARY KEY, customer_id int);
        CREATE INDEX ON tickets (customer_id);
        """,
        open_source,
    )
    (relation,) = infer_relations(open_source(url), schema, max_probes=0)
    assert relation.confidence == 60.0
    assert relation.evidence[0].startswith("The values were not compared")


@pytest.mark.req("N-005")
def test_it_works_over_views_and_names_that_hold_anything(
    source_database: Callable[..., str], open_source: OpenSource
) -> None:
    url = source_database("views")
    schema = load_text(
        url,
        """
        CREATE SCHEMA "odd %s schema";
        CREATE TABLE "odd %s schema".people_data (id int, "100% name" text);
        CREATE VIEW "odd %s schema".customers AS SELECT id, "100% name" FROM "odd %s schema".people_data;
        CREATE TABLE "odd %s schema"."tick ""et" (id int PRIMARY KEY, customer_id int, "50%_user" text);
        INSERT INTO "odd %s schema".people_data SELECT n, 'x' FROM generate_series(1, 60) n;
        INSERT INTO "odd %s schema"."tick ""et" SELECT n, 1 + n % 60, '' FROM generate_series(1, 300) n;
        """,
        open_source,
    )
    (relation,) = infer_relations(open_source(url), schema)
    assert (relation.table, relation.ref_table, relation.ref_columns) == ('tick "et', "customers", ("id",))
    assert "unique in the rows that were sampled" in " ".join(relation.evidence)


def test_it_limits_relations_to_the_tables_asked_for(
    source_database: Callable[..., str], open_source: OpenSource
) -> None:
    url = source_database("limited")
    schema = load(url, FIXTURES[0].read_text(), open_source)
    everything = infer_relations(open_source(url), schema)
    name = everything[0].table
    limited = infer_relations(open_source(url), schema, tables=[name])
    assert limited
    assert all(name in (relation.table, relation.ref_table) for relation in limited)
    assert len(limited) < len(everything)


def load_text(url: str, ddl: str, open_source: OpenSource) -> SourceSchema:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ddl)
    return introspect(open_source(url))
