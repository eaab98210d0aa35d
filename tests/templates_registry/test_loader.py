"""Loading the shipped packs: repeatable, all or none, and nobody's copy is touched."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from importer.errors import PackError
from templates_registry import loader
from templates_registry.models import Template

FAULTY = "name: X\nplatform: x\ndatabase_type: postgresql\nconfiguration: {queries: {}}\nsurprise: 1\n"


def folder(tmp_path: Path, name: str, text: str) -> Path:
    """A pack's folder with this pack.yaml."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "pack.yaml").write_text(text)
    return tmp_path / name


@pytest.mark.django_db
@pytest.mark.req("T12", "T4", "T5")
def test_it_finds_the_packs_loaded_after_migrating_and_loads_them_twice_without_change() -> None:
    before = dict(Template.objects.values_list("platform", "updated_at"))
    assert set(before) == {
        "chatwoot", "custom", "freescout", "libredesk", "odoo_helpdesk", "peppermint", "redmine", "request_tracker",
        "zammad", "znuny",
    }  # fmt: skip
    assert {found.outcome for found in loader.load_packs()} == {"unchanged"}
    assert dict(Template.objects.values_list("platform", "updated_at")) == before


@pytest.mark.django_db
@pytest.mark.req("T12")
def test_it_updates_what_changed_and_leaves_other_peoples_templates_alone() -> None:
    Template.objects.create(name="Mine", platform="freescout", definition={"mine": True})
    Template.objects.filter(is_system=True, platform="freescout").update(version="0.9.0", definition={})
    out = io.StringIO()
    call_command("import_templates", "sync", "--json", stdout=out)
    found = {item["platform"]: item["outcome"] for item in json.loads(out.getvalue())}
    assert (found.pop("freescout"), set(found.values())) == ("updated", {"unchanged"})
    assert Template.objects.get(name="Mine").definition == {"mine": True}


@pytest.mark.django_db
def test_it_loads_none_when_one_is_faulty(tmp_path: Path) -> None:
    folder(tmp_path, "a", FAULTY.replace("surprise: 1\n", ""))
    folder(tmp_path, "b", FAULTY)
    with pytest.raises(PackError, match=r"b: surprise: Unknown member"):
        loader.load_packs(tmp_path)
    assert not Template.objects.filter(platform="x").exists()


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system ['id']", "a: [", "\x00", "&a [*a]", "- just\n- a list"]
)
def test_it_refuses_hostile_yaml(tmp_path: Path, text: str) -> None:
    with pytest.raises(PackError, match=r"bad: "):
        loader.read_pack(folder(tmp_path, "bad", text))


def test_it_reads_the_word_on_as_a_word(tmp_path: Path) -> None:
    text = (
        "name: X\nplatform: x\ndatabase_type: postgresql\nconfiguration:\n  queries:\n    t:\n      base_table: a\n"
        "      target_type: tickets\n      joins: [{type: left, table: b, on: a.id = b.a_id}]\n      fields: [id]\n"
    )
    (query,) = loader.read_pack(folder(tmp_path, "p", text)).definition.queries
    assert len(query.forms[0].spec.joins[0].conditions) == 1


@pytest.mark.django_db
def test_it_says_which_pack_is_faulty_on_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder(tmp_path, "b", FAULTY)
    monkeypatch.setattr(loader, "PACKS", tmp_path)
    with pytest.raises(CommandError, match=r"b: surprise"):
        call_command("import_templates", "sync")
