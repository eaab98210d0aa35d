"""`manage.py pack`: from a new folder to an installed template, and what it says about a bad one."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from templates_registry.loader import PACKS
from templates_registry.models import Template
from templates_registry.platforms import PLATFORMS, platform, platforms

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("pack", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A pack as `init` makes it."""
    folder = tmp_path / "my_desk"
    run("init", str(folder))
    return folder


@pytest.mark.req("N-151", "N-152", "N-150")
def test_it_makes_a_pack_that_passes_its_own_test(new: Path) -> None:
    assert run("lint", str(new)) == f"{new}: ok\n"
    assert run("test", str(new)) == f"{new} core: 1 queries, 1 rows: ok\n"
    with pytest.raises(CommandError, match="not empty"):
        run("init", str(new))


@pytest.mark.req("N-152", "N-110")
def test_it_names_what_differs_and_writes_it_down_when_asked(new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixture = new / "fixtures" / "core.sql"
    fixture.write_text(fixture.read_text().replace("It burns", "It smokes"))
    out = io.StringIO()
    with pytest.raises(CommandError, match="Not everything"):
        call_command("pack", "test", str(new), stdout=out)
    assert "tickets 1 description: 'It smokes'; expected: 'It burns'." in out.getvalue()
    assert ": ok" in run("test", "--accept", str(new))


@pytest.mark.req("N-152")
def test_a_fixture_runs_without_power_over_the_server(new: Path) -> None:
    (new / "fixtures" / "core.sql").write_text("COPY (SELECT 1) TO PROGRAM 'touch /tmp/owned';")
    with pytest.raises(CommandError, match=r"fixtures/core\.sql: permission denied"):
        run("test", str(new))


@pytest.mark.req("N-151")
def test_it_refuses_a_faulty_pack_with_its_places(new: Path) -> None:
    text = (new / "pack.yaml").read_text()
    (new / "pack.yaml").write_text(text.replace("target: title", "target: tittle"))
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("pack", "install", str(new), stdout=out)
    assert out.getvalue().startswith("pack.yaml:18:11: configuration.queries.tickets.fields[1]: ")
    assert not Template.objects.filter(platform="my_desk").exists()


@pytest.mark.req("N-151", "N-153")
def test_it_signs_installs_exports_and_compares(new: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    assert "Its public key is" in run("sign", str(new), "--key", str(key), "--new-key", "--by", "Ann")
    assert key.stat().st_mode & 0o077 == 0
    assert "My Desk 1.0.0 is installed." in run("install", str(new))
    target = tmp_path / "out.zip"
    run("export", "my_desk", "--output", str(target))
    assert "My Desk 1.0.0 is replaced." in run("install", str(target))

    assert run("diff", str(new)) == ""
    shutil.copytree(new, tmp_path / "newer")
    text = (new / "pack.yaml").read_text()
    (tmp_path / "newer" / "pack.yaml").write_text(text.replace("version: 1.0.0", "version: 1.1.0"))
    assert "+version: 1.1.0" in run("diff", str(tmp_path / "newer"))
    assert "-version: 1.1.0" in run("diff", str(new), str(tmp_path / "newer"))
    with pytest.raises(CommandError, match="signature does not belong"):
        run("install", str(tmp_path / "newer"))


@pytest.mark.req("N-154")
def test_it_fetches_from_no_host_that_is_not_listed() -> None:
    with pytest.raises(CommandError, match="IMPORT_PACK_URLS"):
        run("install", "https://packs.example/x.zip")


@pytest.mark.req("N-151")
def test_it_lints_all_shipped_packs() -> None:
    lines = run("lint").splitlines()
    assert lines == [f"{path.name}: ok" for path in sorted(PACKS.iterdir())]


def test_it_knows_how_to_copy_what_is_not_in_postgresql() -> None:
    found = platform("osticket")
    assert found is not None
    text = "\n".join(command.text for command in found.commands)
    assert "pgloader osticket_copy.load" in text
    assert "GRANT SELECT ON ALL TABLES" in text
    assert [item.key for item in platforms("uvd")] == ["uvdesk"]
    known = {path.name for path in PACKS.iterdir()}
    assert all(item.pack in known or not item.pack for item in PLATFORMS)
    assert all("{copy}" not in command.text for item in PLATFORMS for command in item.commands)
