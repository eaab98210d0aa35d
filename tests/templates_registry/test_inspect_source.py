"""`manage.py inspect_source`: what a database is, and why it cannot be reached."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.importer.desk import Desk, reader_url
from tests.importer.freescout import create_tables, let_reader_in


@pytest.mark.req("T20", "T21")
def test_it_reports_tables_relations_platform_and_fit(desk: Desk) -> None:
    create_tables(desk.url)
    let_reader_in(desk)
    out = io.StringIO()
    call_command("inspect_source", "--url", reader_url(desk), "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert found["success"]
    assert {check["status"] for check in found["test"]["checks"]} == {"ok"}
    assert "conversations" in {table["name"] for table in found["tables"]}
    assert ("threads", "conversations") in {(item["table"], item["ref_table"]) for item in found["relations"]}
    assert found["candidates"][0]["platform"] == found["suggestion"] == found["fit"]["platform"] == "freescout"


def test_it_prints_tables_for_people(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    create_tables(desk.url)
    let_reader_in(desk)
    call_command("inspect_source", "--name", desk.profile.name.upper())
    printed = capsys.readouterr().out
    assert "FreeScout Platform: 100 %" in printed
    assert "emails.customer_id" in printed


def test_it_suggests_custom_for_an_unknown_shape(desk: Desk) -> None:
    desk.execute("CREATE TABLE things (id int PRIMARY KEY)")
    out = io.StringIO()
    call_command("inspect_source", "--name", desk.profile.name, "--json", stdout=out)
    assert (json.loads(out.getvalue())["suggestion"], json.loads(out.getvalue())["fit"]) == ("custom", None)


@pytest.mark.django_db
def test_it_names_cause_and_remedy_when_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command("inspect_source", "--url", "postgresql://a:secret-pw@127.0.0.1:1/x")
    assert caught.value.code == 1
    printed = capsys.readouterr().out
    assert "Nothing accepts connections at 127.0.0.1:1." in printed
    assert "secret-pw" not in printed


@pytest.mark.django_db
def test_it_asks_what_to_inspect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_URL", raising=False)
    with pytest.raises(CommandError, match="Say what to inspect"):
        call_command("inspect_source")
    with pytest.raises(CommandError, match="There is no profile “nobody”"):
        call_command("inspect_source", "--name", "nobody")
