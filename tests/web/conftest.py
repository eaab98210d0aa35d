"""A browser; a shop's database to build queries for; a small FreeScout to lead from its connection to its run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections

from importer import operations, runner, tasks
from importer.models import ImportJob, ImportProfile
from importer.sources.params import ConnectionParams
from tests.importer import freescout
from tests.importer.desk import READER, READER_PASSWORD, make_reader
from tests.web.builder_desk import make_source

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]  # CI runs as root, without a screen


@pytest.fixture
def chromium(live_server: Any) -> Iterator[Any]:
    """A browser for one test. Ask for it after the fixtures that make rows: see below."""
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium here; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread. While it does, Django gives this thread connections of their
    # own and refuses to use them; so the loop ends before the database is cleaned, and takes them with it.
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
        connections.close_all()


@pytest.fixture
def tab(chromium: Any, live_server: Any) -> Iterator[Any]:
    """A tab that notes what must not happen in `tab.misdeeds`: dialogs, refused scripts, requests to other servers."""
    context = chromium.new_context(base_url=live_server.url, reduced_motion="reduce")
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    tab.misdeeds = []
    tab.on("dialog", lambda dialog: (tab.misdeeds.append(dialog.message), dialog.dismiss()))
    tab.on("console", lambda message: tab.misdeeds.append(message.text) if "Content Security" in message.text else None)
    tab.on("pageerror", lambda error: tab.misdeeds.append(str(error)))
    tab.on(
        "request",
        lambda request: None if request.url.startswith(live_server.url) else tab.misdeeds.append(request.url),
    )
    yield tab
    context.close()


WIDTHS = {"": (1440, 900), "-phone": (390, 844)}


@pytest.fixture
def picture() -> Callable[..., None]:
    """`picture(tab, "import-1-connect")` keeps the page at two widths in the folder PICTURES, when one is named."""
    folder = os.environ.get("PICTURES")

    def take(tab: Any, name: str) -> None:
        if not folder:
            return
        for suffix, (width, height) in WIDTHS.items():
            tab.set_viewport_size({"width": width, "height": height})
            tab.wait_for_timeout(700)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width}"
            tab.screenshot(path=f"{folder}/{name}{suffix}.png")
        tab.set_viewport_size({"width": 1280, "height": 720})

    return take


@pytest.fixture(scope="session")
def builder_source(source_database: Callable[..., str]) -> ConnectionParams:
    return make_source(source_database)


@pytest.fixture
def shop(db: None, builder_source: ConnectionParams, alice: Any) -> ImportProfile:
    """Alice's profile of the shop; without a query."""
    profile, _ = operations.profile_named("Shop", builder_source, created_by=alice)
    return profile


# -- the way of a profile

ROWS = """
INSERT INTO mailboxes (id, name, email) VALUES (1, 'Support', 'support@desk.example');
INSERT INTO users (id, first_name, last_name, email, password) VALUES (1, 'Ada', 'Agent', 'ada@desk.example', 'x');
INSERT INTO customers (id, first_name, last_name, company) VALUES (1, 'Cora', 'Customer', 'Acme'), (2, 'Dan', 'Day', 'Acme');
INSERT INTO emails (id, customer_id, email) VALUES (1, 1, 'cora@acme.example'), (2, 2, 'dan@acme.example');
INSERT INTO conversations (id, number, type, folder_id, status, state, preview, mailbox_id, source_via, source_type,
    subject, customer_id, customer_email)
    SELECT i, 1000 + i, 1, 1, CASE i WHEN 3 THEN 9 ELSE 1 END, 2, '', 1, 1, 1, 'Printer ' || i, 1, 'cora@acme.example'
    FROM generate_series(1, 3) i;
INSERT INTO threads (id, conversation_id, type, state, body, source_via, source_type, customer_id)
    SELECT i, i, 1, 2, 'It is green.', 1, 1, 1 FROM generate_series(1, 3) i;
ANALYZE;
"""


@pytest.fixture(scope="session")
def freescout_url(source_database: Callable[..., str]) -> str:
    """The owner's URL of a FreeScout with three conversations, one of which has a status nobody knows."""
    url = source_database("wizard")
    freescout.create_tables(url)
    with psycopg.connect(url, autocommit=True) as source:
        make_reader(source)
        source.execute("SET search_path = public")
        source.execute(ROWS)
        source.execute(f"GRANT USAGE ON SCHEMA public TO {READER}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")  # type: ignore[arg-type]  # fmt: skip
    return url


@pytest.fixture
def source_params(freescout_url: str) -> ConnectionParams:
    parts = psycopg.conninfo.conninfo_to_dict(freescout_url)
    return ConnectionParams(
        host=str(parts["host"]),
        port=int(str(parts["port"])),
        database=str(parts["dbname"]),
        username=READER,
        password=READER_PASSWORD,
    )


@pytest.fixture
def source_form(source_params: ConnectionParams) -> dict[str, Any]:
    """What a person types into the form of a new profile."""
    names = ("host", "port", "database", "username", "password")
    return {
        "name": "Green desk",
        "ssl_mode": "prefer",
        "source_timezone": "Europe/Berlin",
        "account_strategy": "company",
        "agent_strategy": "create",
        "is_active": "on",
        **{name: getattr(source_params, name) for name in names},
    }


@pytest.fixture
def desk_profile(source_params: ConnectionParams, alice: Any) -> ImportProfile:
    """Alice's profile of the small FreeScout, nothing configured."""
    profile, _ = operations.profile_named("Green desk", source_params, created_by=alice)
    return profile


@pytest.fixture
def here(committed_db: None) -> Callable[..., Any]:
    """`here("Ada Ng", "ada@x.de", "agent")` makes a person whom the pipeline's own connections see; answers the id."""

    def make(name: str, email: str | None = None, user_type: str = "account_user") -> Any:
        with runner.connect_target() as connection:
            row = connection.execute(
                "INSERT INTO users (id, name, email, user_type) VALUES (gen_random_uuid(), %s, %s, %s) RETURNING id",
                (name, email, user_type),
            ).fetchone()
        assert row is not None
        return row[0]

    return make


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[], ImportJob]:
    """`worker()` runs the newest job in the test process, as a worker would; nobody else does."""
    monkeypatch.setattr(tasks.run_job, "delay", lambda job_id: None)

    def run() -> ImportJob:
        job = ImportJob.objects.latest("number")
        runner.work(job.pk)
        job.refresh_from_db()
        return job

    return run
