"""Every shipped pack against its fixtures: the nine points of acceptance (T32)."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.core.management import call_command

from importer import gateway
from importer.models import ImportJob, ImportRecord
from importer.sources.introspection import introspect
from importer.sources.schema import SourceSchema
from servicevault.models import Ticket
from templates_registry import operations
from templates_registry.detection import LIKELY_FROM, detect, fit
from templates_registry.fitting import fit_query
from templates_registry.models import Template
from templates_registry.pack import Requirement
from tests.importer.desk import Desk, make_desk, reader_url
from tests.importer.freescout import let_reader_in
from tests.templates_registry.samples import FIXTURES, NAMES, ZONE, Sample, end_state, pack

REWRITE = bool(os.environ.get("REWRITE_EXPECTED"))  # writes what it finds; look at the difference before you commit it
MAIN = [(name, fixture) for name, fixture in FIXTURES if fixture == "core"]


@pytest.fixture(scope="module")
def databases(source_database: Callable[..., str]) -> Iterator[Callable[[str, str], Sample]]:
    """One database for each fixture, made when first needed."""
    made: dict[tuple[str, str], Sample] = {}

    def sample(name: str, fixture: str) -> Sample:
        if (name, fixture) not in made:
            url = source_database(f"{name}_{fixture}")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(pack(name).files.texts[f"fixtures/{fixture}.sql"].encode())
                connection.execute("ANALYZE")
            made[name, fixture] = Sample(name, fixture, url)
        return made[name, fixture]

    return sample


@pytest.fixture
def sample(request: pytest.FixtureRequest, databases: Callable[[str, str], Sample]) -> Sample:
    return databases(*request.param)


@pytest.fixture
def desk(committed_db: None, sample: Sample) -> Desk:
    made = make_desk(sample.url, name=sample.name)
    let_reader_in(made)
    return made


def each(fixtures: list[tuple[str, str]]) -> Any:
    return pytest.mark.parametrize("sample", fixtures, indirect=True, ids=["-".join(found) for found in fixtures])


@pytest.mark.alike
@pytest.mark.req("T32", "T20", "N-010", "N-019")
@each(FIXTURES)
def test_it_ranks_first_on_its_fixture_and_low_on_the_others(desk: Desk, sample: Sample) -> None:
    with gateway.open_source(desk.profile, purpose="test") as session:
        found = detect(introspect(session), [pack(name).definition for name in NAMES], session=session)
    assert (found[0].platform, found[0].is_likely) == (sample.name, True)
    if sample.fixture == "core":
        assert [rule.rule for rule in found[0].evidence if not rule.matched] == []
    assert {other.platform for other in found[1:] if other.score >= LIKELY_FROM} == set()


@pytest.mark.req("T32", "N-152")
@pytest.mark.parametrize("name", NAMES)
def test_each_of_its_queries_gives_what_is_expected(name: str, db: None) -> None:
    for trial in operations.try_pack(pack(name).files):
        assert trial.differences == ()
        for query in trial.queries:
            counted = Counter(str(row["external_id"]) for row in query.rows)
            assert {identifier for identifier, times in counted.items() if times > 1} == set()


@pytest.mark.alike
@pytest.mark.req("T32", "T26", "T27", "T30", "T31", "E33", "E40")
@each(FIXTURES)
def test_an_import_leaves_what_is_expected_and_a_second_one_writes_nothing(desk: Desk, sample: Sample) -> None:
    desk.profile.source_timezone = ZONE
    desk.profile.save()
    template = Template.objects.get(platform=sample.name, is_system=True)
    operations.apply(desk.profile, template, parameters=sample.expected["parameters"])
    job = desk.run()
    assert job.status == "completed", job.error_message
    state = end_state(desk, job)
    if REWRITE:
        sample.file(".import").write_text(json.dumps(state, indent=1, ensure_ascii=False) + "\n")
    assert state == json.loads(sample.file(".import").read_text())

    again = desk.run()
    written = ImportRecord.objects.filter(run__job=again, action__in=("created", "updated"))
    assert [(record.run.key, record.source_identifier) for record in written] == []
    assert end_state(desk, again)["tickets"] == state["tickets"]


@pytest.mark.req("T10", "T22")
@each([("zammad", "core")])
def test_a_profile_made_of_a_pack_is_saved_as_a_template_that_does_the_same(desk: Desk, sample: Sample) -> None:
    operations.apply(desk.profile, Template.objects.get(platform=sample.name, is_system=True))
    specs = {query.key: query.spec for query in desk.profile.queries.all()}
    saved = operations.save_as_template(desk.profile, "Saved Zammad")
    operations.apply(desk.profile, saved, strategy="replace")
    assert {query.key: query.spec for query in desk.profile.queries.all()} == specs
    assert all(query.enabled for query in desk.profile.queries.all())
    assert desk.outcomes(desk.run(), "time_entries") == {"read": 2, "created": 2}


@pytest.mark.req("T22", "T31")
@each([("chatwoot", "core")])
def test_the_command_takes_an_answer_and_imports_that_tenant_only(desk: Desk, sample: Sample) -> None:
    command = ("import_profile", "--name", desk.profile.name, "--template", "chatwoot", "--url", reader_url(desk))
    with pytest.raises(SystemExit):
        call_command(*command, "--json")
    assert "Nothing is configured to import." in ImportJob.objects.get().error_message
    call_command(*command, "--parameter", "account_id=2", "--json")
    assert [ticket.title for ticket in Ticket.objects.all()] == ["Of another tenant"]


@pytest.mark.req("T32", "E33")
@each(MAIN)
def test_an_unknown_code_goes_to_the_value_map_and_the_hour_that_never_was_moves_on(desk: Desk, sample: Sample) -> None:
    expected = json.loads(sample.file(".import").read_text())
    held = [text for text in expected["not_imported"] if "review, unmapped_value" in text]
    assert any(text.startswith("tickets") for text in held)
    assert not [text for text in expected["warnings"] if "unresolved" in text]
    if sample.name != "libredesk":  # its timestamps carry their zone
        assert any("time_does_not_exist, created_at" in text for text in expected["warnings"])
    assert {row["created_at"] for row in expected["tickets"]} & {
        "2026-03-29 01:30:00+00:00",
        "2026-03-29 00:30:00+00:00",
    }


@pytest.mark.req("T32", "T21", "T25", "N-019")
@each(MAIN)
def test_a_renamed_column_is_named_with_the_one_that_is_there_now(desk: Desk, sample: Sample) -> None:
    with gateway.open_source(desk.profile, purpose="test") as session:
        schema = introspect(session)
        assert fit(sample.pack.definition, schema, session, parameters=sample.expected["parameters"]).score == 100
    columns = {need for view in sample.pack.definition.views for need in view.requires if need.column}
    checked = 0
    for need in sorted(columns, key=str):
        changed = renamed(schema, need)
        for query in sample.pack.definition.queries:
            found = fit_query(query, sample.pack.definition, changed)
            if found.status == "missing" and (
                gap := next((g for g in found.missing_required if g.needs == str(need)), None)
            ):
                # FreeScout's users have `email` and `emails`: as near as the new name.
                assert gap.nearest in (f"{need.table}.{need.column}2", f"{need.table}.{need.column}s")
                checked += 1
    assert checked > 20


def renamed(schema: SourceSchema, need: Requirement) -> SourceSchema:
    """The schema as it were after ALTER TABLE … RENAME COLUMN."""
    return replace(
        schema,
        tables=tuple(
            replace(
                table,
                columns=tuple(
                    replace(column, name=f"{column.name}2") if column.name == need.column else column
                    for column in table.columns
                ),
            )
            if table.name == need.table
            else table
            for table in schema.tables
        ),
    )


GUIDE = {
    "customers": (
        "customer_users",
        """SELECT customers.id as external_id, CONCAT(customers.first_name, ' ', customers.last_name) as name,
           emails.email, customers.company, customers.phone, customers.created_at, customers.updated_at
           FROM customers LEFT JOIN emails ON emails.customer_id = customers.id
           WHERE emails.type = 'work'""",
    ),
    "conversations": (
        "tickets",
        """SELECT conversations.id as external_id, conversations.subject as title, conversations.body as description,
           CASE conversations.status WHEN 1 THEN 'open' WHEN 2 THEN 'pending' WHEN 3 THEN 'closed' ELSE 'open' END
           as status, customers.id as customer_external_id, users.id as assigned_user_external_id,
           conversations.created_at, conversations.updated_at
           FROM conversations LEFT JOIN customers ON customers.id = conversations.customer_id
           LEFT JOIN users ON users.id = conversations.user_id""",
    ),
    "time_logs": (
        "time_entries",
        """SELECT time_logs.id as external_id, time_logs.description, ROUND(time_logs.time_spent / 60) as duration,
           time_logs.date as started_at, time_logs.user_id as user_external_id,
           time_logs.conversation_id as ticket_external_id, COALESCE(time_logs.billable, true) as billable,
           time_logs.rate_amount as rate_override, time_logs.created_at, time_logs.updated_at
           FROM time_logs LEFT JOIN conversations ON conversations.id = time_logs.conversation_id
           LEFT JOIN users ON users.id = time_logs.user_id""",
    ),
}


@pytest.mark.req("T32", "T28", "E33b")
@each([("freescout", "guide")])
def test_the_guides_own_statements_run_on_the_guides_shape(desk: Desk, sample: Sample) -> None:
    desk.query("agents", "users", {"external_id": "id", "name": "first_name", "email": "email"})
    for key, (target_type, text) in GUIDE.items():
        desk.profile.queries.create(
            key=key,
            name=key,
            entity=key,
            target_type=target_type,
            spec={"kind": "sql", "sql": text, "target_type": target_type},
        )
    job = desk.run()
    assert job.status == "completed", job.error_message
    assert desk.outcomes(job, "conversations") == {"read": 4, "created": 4}
    assert Ticket.objects.get(pk=desk.target_of("conversations", "4")).status == "open"
    assert desk.outcomes(job, "time_logs") == {"read": 2, "created": 2}
