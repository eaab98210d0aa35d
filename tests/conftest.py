"""The ground every test stands on: real PostgreSQL and Valkey, and source databases that are second databases."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
import pytest
from django.conf import settings as configured
from django.contrib.auth import get_user_model
from django.db import connections
from django.test.utils import setup_databases, teardown_databases
from psycopg import sql

from permissions import roles
from tests.pseudo import pseudo_language as pseudo_language
from tests.thoroughness import pytest_collection_modifyitems as pytest_collection_modifyitems

# Processes that test side by side have a database each and one cache: what is kept for draft 5 of one is not the other's.
configured.CACHES["default"]["KEY_PREFIX"] = os.environ.get("PYTEST_XDIST_WORKER", "")

# --- source databases ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def source_database() -> Iterator[Callable[..., str]]:
    """Return `source_database(name_hint="src")`, which creates an empty database and returns its owner's URL.

    Each call makes a new one, so tests in parallel workers never meet. All are dropped when the session ends, even
    when something is still connected.
    """
    server = urlsplit(os.environ["DATABASE_URL"])
    created: list[str] = []

    def create(name_hint: str = "src") -> str:
        name = f"{re.sub(r'[^a-z0-9_]', '_', name_hint.lower())[:30]}_{os.getpid()}_{secrets.token_hex(4)}"
        with psycopg.connect(server.geturl(), autocommit=True) as connection:
            # template0: nobody can be connected to it, which CREATE DATABASE requires of its template.
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        created.append(name)
        return urlunsplit(server._replace(path=f"/{name}"))

    yield create
    with psycopg.connect(server.geturl(), autocommit=True) as connection:
        for name in created:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def spare_databases() -> list[str]:
    """Databases that a test is done with and that are empty again: emptying one takes a tenth of making one."""
    return []


# --- a database that really commits ----------------------------------------------------------------------------------

SEEDED = (
    "django_migrations", "django_content_type", "auth_permission", "permissions_role", "ticket_statuses",
    "ticket_priorities", "ticket_categories", "billing_rates", "templates_registry_template",
)  # fmt: skip
SWEEP = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'service-vault/import';
    FOR name IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            AND relname <> ALL (string_to_array('{seeded}', ' ')) AND relname NOT LIKE 'django_celery_beat%' LOOP
        IF name LIKE 'importer_stage_%' THEN
            EXECUTE format('DROP TABLE %I', name);
        ELSIF name = 'users' THEN
            DELETE FROM users WHERE username IS DISTINCT FROM 'service-vault-import';
        ELSE
            EXECUTE format('DELETE FROM %I', name);
        END IF;
    END LOOP;
END $$
""".replace("{seeded}", " ".join(SEEDED))


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: Any
) -> Iterator[None]:
    """The test database, for `committed_db` too: pytest-django only makes one for tests that carry its own mark."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"}, serialized_aliases={"default"})
        with connections["default"].cursor() as cursor:  # tests that commit are swept up by TRUNCATE
            cursor.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_stays_whole")
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The application's database without a transaction around the test: imports use connections of their own.

    Afterwards every row but the seeded ones is deleted, which takes a tenth of Django's flush.
    """
    with django_db_blocker.unblock():
        default = connections["default"]
        if not get_user_model().objects.exists():  # a test that flushes took the seeded rows
            default.creation.deserialize_db_from_string(default._test_serialized_contents)
        yield
        connections.close_all()
        database = connections["default"].settings_dict
        assert database["NAME"].startswith("test_"), "never sweep a database that somebody uses"
        with psycopg.connect(
            host=database["HOST"],
            port=database["PORT"],
            dbname=database["NAME"],
            user=database["USER"],
            password=database["PASSWORD"],
            options="-c lock_timeout=10s",
        ) as connection:
            connection.execute(SWEEP)


@pytest.fixture(autouse=True)
def unhurried(settings: Any) -> None:
    """No test waits because another one asked often; tests of the limits set their own."""
    from servicevault.api.limits import LIMITS

    settings.RATE_LIMITS = dict.fromkeys(LIMITS, (10**9, 60))


# --- people ----------------------------------------------------------------------------------------------------------
# Tests are told through five people; tests/matrix.py says what each of them gets.


@pytest.fixture
def root(db: None) -> Any:
    """A super admin."""
    return person("root", name="Root Admin", is_superuser=True)


@pytest.fixture
def alice(db: None) -> Any:
    """Runs imports and owns a restricted profile; opens the pages of files and exports."""
    alice = person("alice", name="Alice Ng", role="Import Operator")
    pages = ("pages.settings.data_import", "pages.settings.data_export", "pages.exports")
    for permission in (*roles.CONFIGURE, *pages):
        alice.grants.create(permission=permission)
    return alice


@pytest.fixture
def bob(db: None) -> Any:
    """Opens the import pages and may look at Alice's profile (see `profile`); nothing else."""
    from permissions.models import Role

    Role.objects.create(name="Viewer", permissions=["system.import", "pages.import.manage"])
    return person("bob", name="Bob Ruiz", role="Viewer")


@pytest.fixture
def charlie(db: None) -> Any:
    """An agent without any permission."""
    return person("charlie", name="Charlie Day", role=roles.AGENT)


@pytest.fixture
def anonymous(client: Any) -> Any:
    """A browser in which nobody is logged in."""
    return client


@pytest.fixture
def logged_in() -> Callable[[Any], Any]:
    """`logged_in(alice)`: a browser of Alice's."""
    from django.test import Client

    def browser(who: Any) -> Any:
        client = Client()
        client.force_login(who, backend="permissions.backends.EmailBackend")
        return client

    return browser


def person(username: str, *, role: str = "", **fields: Any) -> Any:
    from permissions.models import Role
    from servicevault.models import User, UserType

    found = Role.objects.get(name=role) if role else None
    fields = {"name": username.capitalize(), "user_type": UserType.AGENT} | fields
    return User.objects.create(
        username=username, email=f"{username}@desk.example", role=found, password=hashed_password(), **fields
    )


@cache
def hashed_password() -> str:
    """Hashed once for all people: a good hash takes a twentieth of a second."""
    from django.contrib.auth.hashers import make_password

    return make_password(PASSWORD)


PASSWORD = "correct horse battery staple"


# --- what they work with -----------------------------------------------------------------------------------------------


@pytest.fixture
def profile(alice: Any, bob: Any) -> Any:
    """Alice's restricted profile with one query; Bob may view it."""
    from guardian.shortcuts import assign_perm

    from importer.models import ImportProfile, Visibility
    from importer.query.dumping import dump_spec
    from importer.query.parsing import parse_spec

    profile = ImportProfile.objects.create(
        name="Old desk", host="127.0.0.1", port=9, database="desk", username="reader", source_key="old-desk",
        visibility=Visibility.RESTRICTED, created_by=alice,
    )  # fmt: skip
    sources = {"external_id": "id", "title": "subject", "description": "body"}
    query = {
        "base_table": "tickets",
        "target_type": "tickets",
        "fields": [{"source": source, "target": target} for target, source in sources.items()],
    }
    spec = dump_spec(parse_spec(query))
    profile.queries.create(key="tickets", name="Tickets", entity="tickets", target_type="tickets", spec=spec)
    assign_perm("importer.view_importprofile", bob, profile)
    return profile


@pytest.fixture
def finished_job(profile: Any, alice: Any) -> Any:
    """A completed job of Alice's: ten tickets read, of which one failed and one waits for a person."""
    from datetime import UTC, datetime

    from importer.models import ImportJob, ImportRecord, SourceEntity
    from servicevault.jobs.models import JobStatus

    job = ImportJob.objects.create(
        profile=profile, mode="upsert", created_by=alice, status=JobStatus.COMPLETED,
        started_at=datetime(2025, 3, 1, 8, 0, tzinfo=UTC), completed_at=datetime(2025, 3, 1, 8, 6, 12, tzinfo=UTC),
    )  # fmt: skip
    entity = SourceEntity.objects.create(source_key="old-desk", entity="tickets", target_type="tickets")
    run = job.runs.create(
        key="tickets", name="Tickets", target_type="tickets", source_table="public.tickets", entity=entity,
        position=0, status="done", total=10, read=10, created=8, failed=1, review=1, warnings=2,
    )  # fmt: skip
    problem = {"field": "created_at", "code": "not_a_date", "value": "31.02.2024", "message": "This is not a date."}
    ImportRecord.objects.create(
        run=run, batch_no=1, source_identifier="9", action="failed", code="not_a_date", problems=[problem]
    )
    ImportRecord.objects.create(run=run, batch_no=1, source_identifier="10", action="review", code="ambiguous")
    return job


@pytest.fixture
def rehearsed_job(finished_job: Any) -> Any:
    """A rehearsal of Alice's: one person would be created, one changed, two fail for one reason."""
    from datetime import UTC, datetime
    from uuid import uuid4

    from importer.models import ImportJob, ImportRecord
    from servicevault.jobs.models import JobStatus

    job = ImportJob.objects.create(
        profile=finished_job.profile, kind="rehearsal", mode="upsert", created_by=finished_job.created_by,
        status=JobStatus.COMPLETED, started_at=datetime.now(UTC), completed_at=datetime.now(UTC),  # plans expire
    )  # fmt: skip
    run = job.runs.create(
        key="people", name="People", target_type="customer_users", source_table="public.people", position=0,
        status="done", total=4, read=4, created=1, updated=1, failed=2,
    )  # fmt: skip
    problem = {"field": "email", "code": "not_an_email", "value": "nobody at home", "message": "This is no address."}
    rows: list[dict[str, Any]] = [
        {"action": "created", "after_image": {"id": "x", "name": "Cora Customer", "email": "cora@acme.example"}},
        {"action": "updated", "target_id": uuid4(), "before_image": {"phone": "030 111", "timezone": "UTC"},
         "after_image": {"phone": "030 222", "timezone": "Europe/Berlin"}, "changed_fields": ["phone", "timezone"]},
        {"action": "failed", "code": "not_an_email", "problems": [problem]},
        {"action": "failed", "code": "not_an_email", "problems": [problem]},
    ]  # fmt: skip
    for number, fields in enumerate(rows, 1):
        ImportRecord.objects.create(run=run, batch_no=1, source_identifier=str(number), **fields)
    return job


@pytest.fixture
def previewed_rollback(finished_job: Any) -> Any:
    """What a rollback of the finished job would do: a ticket goes, one that somebody edited stays."""
    from uuid import uuid4

    from importer.models import ImportJob, ImportRecord, Reversal
    from servicevault.jobs.models import JobStatus

    job = ImportJob.objects.create(
        profile=finished_job.profile, kind="rollback", mode="upsert", created_by=finished_job.created_by,
        origin=finished_job, options={"dry_run": True, "target_actions": ["created", "updated"]},
        status=JobStatus.COMPLETED, started_at=finished_job.started_at, completed_at=finished_job.completed_at,
    )  # fmt: skip
    run = job.runs.create(
        key="reversal-0", name="Tickets", target_type="tickets", position=0, status="done", total=2, read=2,
        updated=1, skipped=1, plan={"table": "tickets", "types": ["tickets"], "key": ["id"]},
    )  # fmt: skip
    for number, (bucket, code, kept) in enumerate([("reversed", "", None), ("kept_edited", "edited", ["title"])]):
        record = ImportRecord.objects.create(
            run=finished_job.runs.get(), batch_no=1, source_identifier=f"c{number}", action="created", target_id=uuid4()
        )
        Reversal.objects.create(
            run=run, record=record, key=str(record.target_id), purpose="preview", is_new=True, bucket=bucket, code=code,
            kept=kept, written=bucket == "reversed", judged_at=finished_job.completed_at,
        )  # fmt: skip
    return job


@pytest.fixture
def pending_job(profile: Any, alice: Any) -> Any:
    """A job of Alice's that no worker has taken yet."""
    from importer.models import ImportJob

    return ImportJob.objects.create(profile=profile, mode="upsert", created_by=alice)


@pytest.fixture
def ticket(finished_job: Any, charlie: Any) -> Any:
    """An imported ticket: a customer's question, an agent's answer, an internal note, time, and where all came from."""
    from datetime import UTC, datetime

    from importer.models import ExternalRef, SourceEntity
    from servicevault.models import Account, Ticket, TimeEntry, User

    account = Account.objects.create(name="Acme Ltd")
    customer = User.objects.create(name="Cora Customer", email="cora@acme.example", account=account)
    ticket = Ticket.objects.create(
        ticket_number="TKT-2024-0007", title="The printer prints in green", description="Since Monday.",
        account=account, customer=customer, agent=charlie, created_by=customer, queue="Hardware",
        created_at=datetime(2024, 5, 6, 7, 8, tzinfo=UTC),
    )  # fmt: skip
    entity = SourceEntity.objects.get(source_key="old-desk", entity="tickets")
    ExternalRef.objects.create(
        entity=entity, external_id="4711", target_id=ticket.pk, source_number="OLD-4711", job_id=finished_job.pk
    )
    said_at = datetime(2024, 5, 6, 9, 0, tzinfo=UTC)
    notes = SourceEntity.objects.create(source_key="old-desk", entity="notes", target_type="ticket_comments")
    said = [("customer", customer, "It is green.", False), ("agent", charlie, "<b>Change the ink.</b>", False)]
    for number, (kind, author, content, is_internal) in enumerate([*said, ("agent", charlie, "Odd one.", True)], 1):
        comment = ticket.comments.create(
            author_kind=kind, author=author, content=content, is_internal=is_internal,
            body_format="html" if content.startswith("<") else "text", created_at=said_at,
            id=UUID(int=(0x018F << 112) + number),  # imported keys grow with the row
        )  # fmt: skip
        ExternalRef.objects.create(entity=notes, external_id=f"n{number}", target_id=comment.pk)
    TimeEntry.objects.create(user=charlie, account=account, ticket=ticket, duration=25, started_at=said_at)
    return ticket


@pytest.fixture
def waiting_file(alice: Any) -> Any:
    """A file that Alice sent for the table tickets and nobody has started; its content is not kept any more."""
    from importer.models import FileImport, ImportJob

    job = ImportJob.objects.create(kind="file", mode="create", created_by=alice, awaits_start=True)
    FileImport.objects.create(
        job=job, table_name="tickets", original_filename="tickets.csv", file_size=20, sha256="0" * 64,
        file_format="csv", headers=["title"], field_mappings=[{"source_column": "title", "target_column": "title"}],
    )  # fmt: skip
    job.runs.create(key="file", name="tickets.csv", target_type="table:tickets", source_table="tickets.csv", position=0)
    return job


@pytest.fixture
def sent_file(alice: Any) -> Any:
    """A file that Alice sent for the table accounts, which she may import into; its content is not kept any more."""
    from importer.models import FileImport, ImportJob
    from permissions.models import ImportPermission

    ImportPermission.objects.create(user=alice, table_name="accounts")
    job = ImportJob.objects.create(kind="file", mode="create", created_by=alice, awaits_start=True)
    FileImport.objects.create(
        job=job, table_name="accounts", original_filename="accounts.csv", file_size=20, sha256="0" * 64,
        file_format="csv", headers=["name"], field_mappings=[{"source_column": "name", "target_column": "name"}],
    )  # fmt: skip
    job.runs.create(key="file", name="accounts.csv", target_type="table:accounts", position=0)
    return job
