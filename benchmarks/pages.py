"""How long the server takes for each page on the demo's data, and for the map of a source with 2,000 tables."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks import report
from benchmarks.world import PASSWORD, PROJECT, READER

TARGET, WIDE = "bench_pages", "bench_wide"
TABLES = 2000
REPEATS = 7
PAGE_LIMIT_MS, MAP_LIMIT_SECONDS = 150, 5  # what the pages and I4 promise


def run(*, write: bool) -> None:
    """Make the data, ask each page a few times, print the medians."""
    server = os.environ["DATABASE_URL"]
    urls = {name: urlunsplit(urlsplit(server)._replace(path=f"/{name}")) for name in (TARGET, WIDE)}
    environment = dict(os.environ) | {"DATABASE_URL": urls[TARGET], "SERVICEVAULT_EMBEDDED": "true"}
    try:
        with psycopg.connect(server, autocommit=True) as connection:
            for name in urls:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {name}")
        _make_wide(urls[WIDE])
        for arguments in (["migrate", "-v0"], ["demo", "--once", "--json"]):
            subprocess.run(
                [sys.executable, "manage.py", *arguments],
                cwd=PROJECT,
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.pages", urls[WIDE]],
            cwd=PROJECT,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        text = _text(json.loads(done.stdout.splitlines()[-1]))
        print(text)
        if write:
            report.write("pages", "`python -m benchmarks pages`\n\n" + text)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            for name in urls:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _make_wide(url: str) -> None:
    """Two thousand tables of twelve columns, as an old product with many modules has them."""
    columns = ", ".join(f"column_{number} text" for number in range(10))
    with psycopg.connect(url, autocommit=True) as source:
        for first in range(0, TABLES, 100):
            source.execute(
                "; ".join(
                    f"CREATE TABLE module_{number} (id integer PRIMARY KEY, customer_id integer, {columns})"
                    for number in range(first, first + 100)
                )
            )
        source.execute(
            f"DO $$ BEGIN CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        source.execute(f"GRANT USAGE ON SCHEMA public TO {READER}")
        source.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")


def measure(wide_url: str) -> list[dict[str, Any]]:
    """Medians in a process whose database is the benchmark's; the first answer of each page warms it up."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import NoReverseMatch, reverse

    from importer import operations
    from importer.models import ImportJob, ImportProfile
    from importer.sources.params import ConnectionParams
    from servicevault.models import Ticket

    browser = Client(SERVER_NAME="127.0.0.1")
    browser.force_login(get_user_model().objects.get(username="admin"), backend="permissions.backends.EmailBackend")
    demo, job = ImportProfile.objects.get(), ImportJob.objects.latest("created_at")
    wide = urlsplit(wide_url)
    large, _ = operations.profile_named(
        "Wide",
        ConnectionParams(
            host=wide.hostname or "", port=wide.port or 5432, database=WIDE, username=READER, password=PASSWORD
        ),
    )
    pages = [
        ("home", {}), ("import", {}), ("ticket_list", {}), ("ticket", {"pk": Ticket.objects.values_list("pk", flat=True)[0]}),
        ("job", {"pk": job.pk}), ("job_records", {"pk": job.pk}), ("profile_overview", {"pk": demo.pk}),
        ("profile_edit", {"pk": demo.pk}), ("profile_template", {"pk": demo.pk}),
        ("profile_value_maps", {"pk": demo.pk}), ("profile_matching", {"pk": demo.pk}),
        ("profile_preview", {"pk": demo.pk}), ("builder", {"pk": demo.pk}), ("api_profiles", {}),
        ("api_jobs", {}), ("api_templates", {}), ("tokens", {}),
    ]  # fmt: skip
    found = []
    for name, arguments in pages:
        try:
            url = reverse(name, kwargs=arguments)
        except NoReverseMatch:
            continue
        found.append({"what": name, "ms": _median(lambda url=url: _get(browser, url))})
    found.append(
        {"what": f"map of {TABLES:,} tables", "ms": _median(lambda: operations.source_map(large, refresh=True))}
    )
    wide_builder = reverse("builder", kwargs={"pk": large.pk})
    found.append({"what": f"builder, {TABLES:,} tables", "ms": _median(lambda: _get(browser, wide_builder))})
    return found


def _get(browser: Any, url: str) -> None:
    answer = browser.get(url)
    if answer.status_code == 302:
        answer = browser.get(answer["Location"])
    assert answer.status_code == 200, (url, answer.status_code)


def _median(act: Any) -> float:
    act()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 1)


def _text(found: list[dict[str, Any]]) -> str:
    lines = ["| page | median, ms |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {item['what']} | {item['ms']:,.0f} |" for item in found)])


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
