"""`manage.py pack`: make, check, try, compare, sign, install and export packs (N-151 to N-154)."""

from __future__ import annotations

import difflib
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from importer.errors import ImporterError, PackError
from servicevault.wording import say, say_count
from templates_registry import operations, signing, trial
from templates_registry.files import CHANGELOG, MAIN, SIGNATURE, PackFiles, read_folder, read_zip
from templates_registry.lint import LintFailed, LintReport
from templates_registry.loader import PACKS
from templates_registry.models import Template

NEW_PACK = """\
name: {name}
platform: {platform}
database_type: postgresql
version: 1.0.0
description: What it imports, and what stays behind.
source_timezone: UTC
fingerprint:
  - {{column: tickets.subject, weight: 1}}
configuration:
  priority_order: [tickets]
  queries:
    tickets:
      name: Tickets
      target_type: tickets
      base_table: tickets
      fields:
        - {{source: id, target: external_id}}
        - {{source: subject, target: title}}
        - {{source: body, target: description}}
        - {{source: status, target: status}}
      value_maps:
        status: {{1: open, 2: closed}}
"""
NEW_FIXTURE = """\
CREATE TABLE tickets (id integer PRIMARY KEY, subject text, body text, status integer);
INSERT INTO tickets VALUES (1, 'Printer on fire', 'It burns', 1);
"""


class Command(BaseCommand):
    help = say("Packs: init, lint, test, diff, sign, install, export.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        init = actions.add_parser("init", help=say("a new pack with one query, a fixture and its expected rows"))
        init.add_argument("folder")
        lint = actions.add_parser("lint", help=say("everything that keeps packs from being installed"))
        lint.add_argument(
            "packs", nargs="*", help=say("folders, zips or names of shipped packs (default: all shipped)")
        )
        test = actions.add_parser("test", help=say("run the queries on the fixtures and compare"))
        test.add_argument(
            "packs", nargs="*", help=say("folders, zips or names of shipped packs (default: all shipped)")
        )
        test.add_argument(
            "--accept", action="store_true", help=say("write what was found as what is expected (folders)")
        )
        diff = actions.add_parser("diff", help=say("two packs, or a pack and what is installed of its platform"))
        diff.add_argument("pack")
        diff.add_argument("other", nargs="?", default="")
        sign = actions.add_parser("sign", help=say("write the signature of a folder"))
        sign.add_argument("folder")
        sign.add_argument("--key", required=True, help=say("file with an Ed25519 private key in PEM"))
        sign.add_argument("--new-key", action="store_true", help=say("make the key file first"))
        sign.add_argument("--by", required=True, help=say("who signs"))
        install = actions.add_parser(
            "install", help=say("install a folder, a zip, or an https address listed in settings")
        )
        install.add_argument("pack")
        export = actions.add_parser("export", help=say("write an installed template to a file"))
        export.add_argument("template", help=say("its id, platform or name"))
        export.add_argument("--format", default="zip", choices=["json", "yaml", "zip"])
        export.add_argument("--output", default="", help=say("file (default: platform-version.format)"))

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            getattr(self, f"_{action}")(**options)
        except LintFailed as error:
            self._print_lint("", error.report)
            raise CommandError(say("The pack has faults."), returncode=1) from error
        except (ImporterError, OSError) as error:
            raise CommandError(str(error), returncode=1) from error

    # -- actions

    def _init(self, folder: str, **_: Any) -> None:
        path = Path(folder)
        if path.exists() and any(path.iterdir()):
            raise PackError(say("{folder} is not empty.", folder=folder), hint=say("Choose a new folder."))
        platform = "".join(letter if letter.isalnum() else "_" for letter in path.name.lower()).strip("_") or "pack"
        files = PackFiles(
            {
                MAIN: NEW_PACK.format(name=path.name.replace("_", " ").title(), platform=platform),
                CHANGELOG: f"# {path.name}\n\n## 1.0.0\n\nFirst version.\n",
                "fixtures/core.sql": NEW_FIXTURE,
            }
        )
        _write(path, files)
        self._accept(path, files)
        self.stdout.write(
            say(
                "{folder}: edit {main} and fixtures/core.sql, then run: manage.py pack test {folder} --accept",
                folder=folder,
                main=MAIN,
            )
        )

    def _lint(self, packs: list[str], **_: Any) -> None:
        reports = {name: operations.lint(files) for name, files in _chosen(packs)}
        for name, report in reports.items():
            self._print_lint(name, report)
        if not all(report.valid for report in reports.values()):
            raise CommandError(say("There are faults."), returncode=1)

    def _test(self, packs: list[str], accept: bool, **_: Any) -> None:
        failed = False
        for name, files in _chosen(packs):
            if accept and Path(name).is_dir():
                self._accept(Path(name), files)
                files = read_folder(Path(name))  # noqa: PLW2901 - with what was just accepted
            report = operations.lint(files)
            if not report.valid:
                raise LintFailed(report)
            for found in operations.try_pack(files):
                rows = sum(len(query.rows) for query in found.queries)
                outcome = (
                    "ok"
                    if found.passed
                    else say_count("{count} difference", "{count} differences", len(found.differences))
                )
                self.stdout.write(
                    say(
                        "{name} {fixture}: {queries} queries, {rows} rows: {outcome}",
                        name=name,
                        fixture=found.fixture,
                        queries=len(found.queries),
                        rows=rows,
                        outcome=outcome,
                    )
                )
                failed = failed or not found.passed
                for difference in found.differences[:20]:
                    self.stdout.write(f"  {difference}")
        if failed:
            raise CommandError(say("Not everything is as expected."), returncode=1)

    def _diff(self, pack: str, other: str, **_: Any) -> None:
        old, new = (_files(other), _files(pack)) if other else (_installed(_files(pack)), _files(pack))
        for path in sorted({*old.texts, *new.texts}):
            before, after = (found.texts.get(path, "").splitlines() for found in (old, new))
            self.stdout.writelines(
                line.rstrip("\n")
                for line in difflib.unified_diff(before, after, f"old/{path}", f"new/{path}", lineterm="")
            )

    def _sign(self, folder: str, key: str, new_key: bool, by: str, **_: Any) -> None:
        path, key_file = Path(folder), Path(key)
        if new_key:
            if key_file.exists():
                raise PackError(say("{key} is there already.", key=key), hint=say("Leave --new-key out to use it."))
            key_file.touch(mode=0o600)
            key_file.write_text(signing.new_key())
        text = signing.sign(read_folder(path), key_file.read_text(), by)
        (path / SIGNATURE).write_text(text)
        self.stdout.write(
            say("{folder} is signed. Its public key is {key}", folder=folder, key=json.loads(text)["key"])
        )

    def _install(self, pack: str, **_: Any) -> None:
        files = operations.fetch_pack(pack) if "://" in pack else _files(pack)
        found = operations.install(files)
        for warning in found.warnings:
            self.stderr.write(warning)
        made = "installed" if found.created else "replaced"
        self.stdout.write(
            say(
                "{template} {version} is {made}.",
                template=found.template.name,
                version=found.template.version,
                made=made,
            )
        )

    def _export(self, template: str, format: Any, output: str, **_: Any) -> None:
        exported = operations.export_template(_template(template), format)
        path = Path(output or exported.filename)
        path.write_bytes(exported.content)
        self.stdout.write(str(path))

    # -- parts

    def _accept(self, path: Path, files: PackFiles) -> None:
        """Write what the queries give now as what is expected."""
        for found in operations.try_pack(files):
            target = path / "expected" / f"{found.fixture}.json"
            target.parent.mkdir(exist_ok=True)
            target.write_text(trial.as_expected(found))

    def _print_lint(self, name: str, report: LintReport) -> None:
        prefix = f"{name}/" if name else ""
        for finding in report.findings:
            self.stdout.write(f"{prefix}{finding}{'' if finding.is_error else ' (warning)'}")
        if name and report.valid:
            self.stdout.write(say("{name}: ok", name=name))


def _chosen(packs: list[str]) -> list[tuple[str, PackFiles]]:
    """The named packs; all shipped ones that have queries when none is named."""
    if packs:
        return [(name, _files(name)) for name in packs]
    return [(path.parent.name, read_folder(path.parent)) for path in sorted(PACKS.glob(f"*/{MAIN}"))]


def _files(name: str) -> PackFiles:
    path = Path(name)
    if path.is_file():
        return read_zip(path.read_bytes())
    if not path.is_dir() and (PACKS / name).is_dir():
        path = PACKS / name
    return read_folder(path)


def _installed(pack: PackFiles) -> PackFiles:
    """What is installed of the pack's platform. Raises PackError when nothing is."""
    report = operations.lint(pack)
    platform = report.definition.platform if report.definition else ""
    template = Template.objects.filter(platform=platform).order_by("-is_system", "name").first()
    if template is None:
        raise PackError(
            say("Nothing is installed for “{platform}”.", platform=platform),
            hint=say("Name a second pack to compare with."),
        )
    return operations.files_of(template)


def _template(name: str) -> Template:
    found = [
        item
        for item in Template.objects.order_by("-is_system", "name")
        if name in (str(item.pk), item.platform, item.name)
    ]
    if not found:
        raise PackError(
            say("There is no template “{name}”.", name=name), hint=say("Give its id, its platform or its name.")
        )
    return found[0]


def _write(path: Path, files: PackFiles) -> None:
    for name, text in files.texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
