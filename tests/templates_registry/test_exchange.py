"""Templates as files: the same bytes after a round trip, faults with their place, hostile files refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from importer.errors import PackError
from templates_registry import operations, signing
from templates_registry.files import MAX_ENTRIES, MAX_FILE, PackFiles, read_folder, read_zip, to_zip
from templates_registry.lint import LintFailed
from templates_registry.loader import PACKS
from templates_registry.models import Template
from tests.templates_registry.samples import NAMES


@pytest.fixture
def files() -> PackFiles:
    return read_folder(PACKS / "zammad")


def edited(files: PackFiles, old: str, new: str) -> PackFiles:
    assert old in files.main
    return PackFiles({**files.texts, "pack.yaml": files.main.replace(old, new, 1)})


@pytest.mark.django_db
@pytest.mark.req("T11", "N-110")
@pytest.mark.parametrize("format", ["json", "yaml", "zip"])
@pytest.mark.parametrize("name", [*NAMES, "custom"])
def test_it_gives_the_same_bytes_after_a_round_trip(name: str, format: Any) -> None:
    first = operations.export_template(Template.objects.get(platform=name, is_system=True), format)
    found = operations.import_template(first.content, first.filename)
    again = operations.export_template(Template.objects.get(pk=found.template.pk), format)
    assert (again.filename, again.content) == (first.filename, first.content)


@pytest.mark.django_db
@pytest.mark.req("N-153", "N-150")
def test_it_installs_an_unsigned_pack_with_a_warning_and_replaces_it(files: PackFiles, root: Any) -> None:
    found = operations.install(files, by=root)
    assert (found.created, found.template.created_by) == (True, root)
    assert found.warnings == ("The pack is not signed; Root Admin installed it.",)
    assert found.template.files["fixtures/core.sql"] == files.texts["fixtures/core.sql"]
    newer = operations.install(edited(files, "version: 1.0.0", "version: 1.1.0"), by=root)
    assert (newer.created, newer.template.pk, newer.template.version) == (False, found.template.pk, "1.1.0")


@pytest.mark.django_db
@pytest.mark.req("N-153")
def test_it_knows_who_signed_and_refuses_a_wrong_signature(files: PackFiles, settings: Any) -> None:
    signed = PackFiles({**files.texts, "signature": signing.sign(files, signing.new_key(), "Ann")})
    signature = signing.check(signed)
    assert signature is not None
    assert (signature.signed_by, signature.valid) == ("Ann", True)
    assert "a key that is not listed here" in operations.install(signed).warnings[0]
    settings.IMPORT_PACK_KEYS = [signature.key]
    found = operations.install(signed)
    assert (found.warnings, found.signed_by) == ((), "Ann")
    assert operations.files_of(found.template) == signed
    for changed in (edited(signed, "version: 1.0.0", "version: 9.0.0"), PackFiles({**signed.texts, "signature": "{}"})):
        with pytest.raises(PackError, match="signature"):
            operations.install(changed)


@pytest.mark.req("N-151", "N-110")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SELECT o.id AS", "WITH gone AS (DELETE FROM organizations RETURNING 1) SELECT o.id AS", "exactly one SELECT"),
        ("{source: vip, target: custom_fields.vip}", "{source: vip, target: vipp}", "have no field “vipp”"),
        ("target: priority}", "target: prioritty}", "Did you mean priority"),
        ("t.priority_id AS priority", "CASE t.priority_id WHEN 1 THEN 'low' ELSE 'high' END AS priority", "CASE without ELSE"),
        ("source: zammad_tickets.state_type,", "source: CASE zammad_tickets.state_type WHEN 'new' THEN 'open' ELSE 'closed' END,", "CASE with ELSE"),
        ("base_table: zammad_accounts", "base_tabel: zammad_accounts", "Unknown member"),
        ("version: 1.0.0", "version: one", "three numbers"),
    ],
)  # fmt: skip
def test_it_names_file_line_and_column_of_a_fault(files: PackFiles, old: str, new: str, message: str) -> None:
    changed = edited(files, old, new)
    report = operations.lint(changed)
    found = next(finding for finding in report.errors if message in finding.message)
    assert (found.file, found.column > 1) == ("pack.yaml", True)
    wanted = changed.main[: changed.main.index(new)].count("\n") + 1
    assert 0 <= wanted - found.line <= 5  # a block of SQL is named by its first line
    with pytest.raises(LintFailed):
        operations.install(changed)


@pytest.mark.req("N-151", "N-110")
def test_it_refuses_a_query_without_test(files: PackFiles) -> None:
    bare = PackFiles({path: text for path, text in files.texts.items() if not path.startswith("expected/")})
    assert {finding.message.split(":")[0] for finding in operations.lint(bare).errors} == {
        f"The query {key} has no test"
        for key in ("accounts", "agents", "customers", "tickets", "comments", "time_entries")
    }


@pytest.mark.parametrize(
    "text", ["a: [", "a: b: c", "\x00", "&a [*a]", "- a", "!!python/object/apply:os.system ['id']", "{" * 9000]
)
def test_it_says_where_a_text_stops_being_yaml(text: str) -> None:
    report = operations.lint(text, "mine.yaml")
    assert not report.valid
    assert report.errors[0].file == "mine.yaml"
    assert operations.lint(b"\xff\xfe", "mine.yaml").errors[0].message == "This is not UTF-8."
    assert operations.lint(b'{"name": }', "mine.json").errors[0].column == 10


# -- zips --------------------------------------------------------------------------------------------------------


def archive(*entries: tuple[Any, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made:
        for name, content in entries:
            made.writestr(name, content)
    return target.getvalue()


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("fixtures/link.sql")
    entry.external_attr = 0o120777 << 16
    return entry


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "not a zip": (lambda: b"PK\x03\x04 no", "not a zip"),
    "absolute": (lambda: archive(("/etc/passwd", b"x")), "no relative path"),
    "upwards": (lambda: archive(("pack.yaml", b""), ("fixtures/../../x.sql", b"x")), "no relative path"),
    "backslash": (lambda: archive(("fixtures\\x.sql", b"x")), "no relative path"),
    "drive": (lambda: archive(("C:x.sql", b"x")), "no relative path"),
    "link": (lambda: archive(("pack.yaml", b""), (link(), b"/etc/passwd")), "no plain file"),
    "program": (lambda: archive(("pack.yaml", b""), ("run.py", b"x")), "does not belong"),
    "no pack": (lambda: archive(("CHANGELOG.md", b"x")), "There is no pack.yaml"),
    "many": (lambda: archive(*((f"fixtures/{n}.sql", b"") for n in range(MAX_ENTRIES + 1))), "more than 200"),
    "bomb": (lambda: archive(("pack.yaml", b" " * (MAX_FILE + 1))), "more than 5 MB"),
    "together": (lambda: archive(("pack.yaml", b""), *((f"fixtures/{n}.sql", b" " * MAX_FILE) for n in range(5))), "more than 20 MB"),
    "latin": (lambda: archive(("pack.yaml", b"\xff")), "not UTF-8"),
    "nul": (lambda: archive(("pack.yaml", b"a\x00")), "no text can hold"),
    "cut": (lambda: archive(("pack.yaml", b"x" * 500))[:-90], "not a zip"),
}  # fmt: skip


@pytest.mark.req("N-151")
@pytest.mark.parametrize("case", HOSTILE)
def test_it_refuses_a_hostile_zip(case: str) -> None:
    build, message = HOSTILE[case]
    with pytest.raises(PackError, match=message):
        operations.import_template(build(), "pack.zip")


@pytest.mark.req("N-151")
def test_it_refuses_an_encrypted_and_a_doubled_entry(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(PackError, match="twice"):
        read_zip(archive(("pack.yaml", b""), ("pack.yaml", b"")))
    content = bytearray(archive(("pack.yaml", b"x")))
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        content[content.index(mark) + (6 if mark.endswith(b"\x04") else 8)] |= 1
    with pytest.raises(PackError, match="encrypted"):
        read_zip(bytes(content))


@pytest.mark.req("N-150")
def test_it_writes_equal_packs_as_equal_bytes_and_refuses_links_in_folders(files: PackFiles, tmp_path: Path) -> None:
    assert to_zip(read_zip(to_zip(files))) == to_zip(files)
    (tmp_path / "pack.yaml").write_text(files.main)
    (tmp_path / "CHANGELOG.md").symlink_to("/etc/hostname")
    with pytest.raises(PackError, match="is a link"):
        read_folder(tmp_path)


@pytest.mark.req("N-154")
@pytest.mark.parametrize(
    "url", ["http://packs.example/p.zip", "https://evil.example/p.zip", "file:///etc/passwd", "https://"]
)
def test_it_fetches_from_listed_hosts_only(url: str, settings: Any) -> None:
    settings.IMPORT_PACK_URLS = ["packs.example"]
    with pytest.raises(PackError, match="not fetched"):
        operations.fetch_pack(url)


@pytest.mark.req("T14")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("x.exe", b"MZ", "no template"), ("x.json", b"[1]", "object"), ("x.yaml", b"\xff", "UTF-8")],
)
def test_it_refuses_other_files(name: str, content: bytes, message: str) -> None:
    with pytest.raises(PackError, match=message):
        operations.import_template(content, name)
