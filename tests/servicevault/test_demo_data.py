"""Something to try on: made as often as asked, taken away without touching anything else; and the selftest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from importer import runner, tasks
from importer.operations import files
from permissions.models import ExportPermission, ImportPermission
from tests.conftest import person

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def made(folder: Path) -> None:
    call_command("create_demo_data", files=folder, no_source=True)


@pytest.fixture
def boss(db: None) -> Any:
    return person("boss", is_superuser=True)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS orders, products, customers")


@pytest.mark.req("F-144")
def test_it_makes_the_demo_twice_imports_its_files_and_takes_it_away(boss: Any, folder: Path) -> None:
    made(folder)
    made(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "customers.json",
        "orders.csv",
        "products.csv",
        "users.csv",
    ]
    row = ImportPermission.objects.get(table_name="products")
    assert (row.max_file_size_mb, row.max_rows_per_import, "xml" in row.allowed_formats) == (50, 50_000, True)
    assert ExportPermission.objects.get(table_name="users").max_rows_per_export == 200_000
    for name in ("products.csv", "customers.json"):
        table = name.split(".")[0]
        with (folder / name).open("rb") as content:
            job = files.upload(None, content, name, table_name=table, system=True)
        assert files.validate(job, None, system=True)["errorRows"] == 0
        files.start(job, None, system=True)
        assert runner.work(job.pk) == "completed"
    with connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM products), (SELECT count(*) FROM customers)")
        assert cursor.fetchone() == (130, 220)
    call_command("create_demo_data", files=folder, remove=True, no_source=True)
    assert list(folder.iterdir()) == []
    assert not ImportPermission.objects.exists()


@pytest.mark.req("F-144")
def test_it_leaves_tables_of_others_alone(boss: Any, folder: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE products (id integer)")
    with pytest.raises(CommandError, match="not the demo's"):
        made(folder)
    with pytest.raises(CommandError, match="not the demo's"):
        call_command("create_demo_data", files=folder, remove=True, no_source=True)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs run beside the requests, as workers run them."""
    from exporter import run as exporting
    from exporter import tasks as export_tasks

    running: list[threading.Thread] = []

    def beside(work: Callable[[], Any]) -> None:
        def go() -> None:
            try:
                work()
            finally:
                connections.close_all()

        running.append(threading.Thread(target=go))
        running[-1].start()

    monkeypatch.setattr(tasks.run_job, "delay", lambda job_id: beside(lambda: runner.work(job_id, patient=False)))
    monkeypatch.setattr(export_tasks.run_export, "delay", lambda job_id: beside(lambda: exporting.work(job_id)))
    yield
    for thread in running:
        thread.join()


@pytest.mark.req("F-145")
def test_the_selftest_proves_a_running_service(boss: Any, live_server: Any, worker: None, capsys: Any) -> None:
    call_command("selftest", url=live_server.url)
    assert "imports and exports as it must" in capsys.readouterr().out
    with pytest.raises(CommandError, match="does not answer"):
        call_command("selftest", url="http://127.0.0.1:9")
    assert not boss.api_tokens.filter(revoked_at=None).exists()
