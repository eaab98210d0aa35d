"""Templates as files: out, in, checked, tried (T11, N-150 to N-154)."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from importer.errors import PackError
from servicevault.wording import say
from templates_registry import notation, signing
from templates_registry.files import MAIN, MAX_TOTAL, PackFiles, read_zip, to_zip
from templates_registry.lint import Finding, LintFailed, LintReport, lint_pack, lint_text
from templates_registry.models import Template
from templates_registry.operations.registry import create, record, update
from templates_registry.trial import FixtureTrial
from templates_registry.trial import try_pack as try_definition

Format = Literal["json", "yaml", "zip"]
_CONTENT_TYPES = {"json": "application/json", "yaml": "application/yaml", "zip": "application/zip"}


@dataclass(frozen=True)
class Exported:
    """A file to hand out."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Imported:
    """What became of a file: the template, whether it is new, and what to know about it."""

    template: Template
    created: bool
    warnings: tuple[str, ...]
    signed_by: str = ""


def export_template(template: Template, format: Format = "zip") -> Exported:
    """The template as a file; importing it and exporting again gives the same bytes."""
    if format not in _CONTENT_TYPES:
        raise PackError(
            say("“{format}” is no format of templates.", format=format),
            hint=say("Use json, yaml or zip."),
            code="validation_error",
        )
    name = f"{slugify(template.platform)}-{template.version}.{format}"
    if format == "json":
        content = notation.to_json(template.definition).encode()
    elif format == "yaml":
        content = _source(template).encode()
    elif not is_pack(template):
        raise PackError(
            say(
                "“{template}” has no tests, and a pack without is refused wherever it is installed.",
                template=template.name,
            ),
            hint=say("Export it as yaml or json, or write tests with manage.py pack init."),
            code="validation_error",
        )
    else:
        content = to_zip(files_of(template))
    return Exported(name, _CONTENT_TYPES[format], content)


def is_pack(template: Template) -> bool:
    """Whether the template can be had as a pack: queries without tests would be refused wherever it is installed."""
    return not template.definition.get("configuration", {}).get("queries") or any(
        path.startswith("expected/") for path in template.files
    )


def files_of(template: Template) -> PackFiles:
    """The template as the files of a pack."""
    return PackFiles({MAIN: _source(template), **template.files})


def import_template(content: bytes, filename: str, *, by: Any = None) -> Imported:
    """Install a template from a JSON, YAML or zip file; one of the same platform and name is replaced.

    Raises LintFailed for faults in it, PackError for a file that is none or whose signature is wrong.
    """
    kind = PurePosixPath(filename.lower()).suffix
    if kind == ".zip" or content[:4] == b"PK\x03\x04":
        return install(read_zip(content), by=by)
    if kind not in (".json", ".yaml", ".yml"):
        raise PackError(
            say("“{filename}” is no template.", filename=filename[:80]),
            hint=say("Choose a .json, .yaml or .zip file."),
            code="validation_error",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PackError(
            say("{filename} is not UTF-8.", filename=filename[:80]),
            hint=say("Save it as UTF-8."),
            code="validation_error",
        ) from None
    report = lint_text(text, filename)
    if not report.valid:
        raise LintFailed(report)
    data = notation.read(text, filename).data
    source = text if kind != ".json" and not content.startswith(b"\xef\xbb\xbf") else notation.to_yaml(data)
    return _store(PackFiles({MAIN: source}), report, data, by)


def install(files: PackFiles, *, by: Any = None) -> Imported:
    """Install a whole pack. Raises LintFailed, PackError for a wrong signature."""
    report = lint_pack(files)
    if not report.valid:
        raise LintFailed(report)
    signature = signing.check(files)
    if signature is not None and not signature.valid:
        raise PackError(
            say("The signature does not belong to these files."),
            hint=say("Get the pack again from whoever signed it."),
            where="signature",
        )
    found = _store(files, report, notation.read(files.main).data, by)
    who = getattr(by, "name", "") or say("the command line")
    if signature is None:
        return _with(found, say("The pack is not signed; {who} installed it.", who=who))
    trusted = settings.IMPORT_PACK_KEYS
    if signature.key not in trusted:
        return _with(
            found,
            say(
                "Signed by “{signed_by}” with a key that is not listed here; {who} installed it.",
                signed_by=signature.signed_by,
                who=who,
            ),
        )
    return Imported(found.template, found.created, found.warnings, signature.signed_by)


def lint(data: bytes | str | PackFiles, filename: str = MAIN) -> LintReport:
    """Everything wrong with a text, a zip or a pack's files; never raises for what is in them."""
    try:
        if isinstance(data, PackFiles):
            return lint_pack(data)
        if isinstance(data, bytes):
            if filename.lower().endswith(".zip"):
                return lint_pack(read_zip(data))
            data = data.decode("utf-8-sig")
        return lint_text(data, filename)
    except UnicodeDecodeError:
        return _one_fault(filename, say("This is not UTF-8."))
    except PackError as error:
        return _one_fault(error.where or filename, str(error))


def try_pack(files: PackFiles) -> list[FixtureTrial]:
    """Run the pack's tests in scratch databases (N-152). Raises LintFailed for a pack that cannot be read."""
    report = lint_pack(files)
    if report.definition is None:
        raise LintFailed(report)
    return try_definition(files, report.definition)


def fetch_pack(url: str) -> PackFiles:
    """The pack behind an https address of a host that IMPORT_PACK_URLS lists (N-154). Follows no redirect."""
    parts = urlsplit(url)
    if parts.scheme != "https" or (parts.hostname or "") not in settings.IMPORT_PACK_URLS:
        raise PackError(
            say("Packs are not fetched from there."),
            hint=say("List the host in IMPORT_PACK_URLS, or download the file and upload it."),
            code="host_not_allowed",
        )
    connection = http.client.HTTPSConnection(
        str(parts.hostname), parts.port or 443, timeout=30, context=ssl.create_default_context()
    )
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        answer = connection.getresponse()
        content = answer.read(MAX_TOTAL + 1)
    except (OSError, http.client.HTTPException):
        raise PackError(
            say("{hostname} did not give the pack.", hostname=parts.hostname), hint=say("Try again later.")
        ) from None
    finally:
        connection.close()
    if answer.status != http.client.OK or len(content) > MAX_TOTAL:
        raise PackError(
            say("{hostname} answered {status}, not with a pack.", hostname=parts.hostname, status=answer.status),
            hint=say("Check the address."),
        )
    return read_zip(content)


def _store(files: PackFiles, report: LintReport, data: dict[str, Any], by: Any) -> Imported:
    definition = report.definition
    assert definition is not None
    warnings = tuple(str(finding) for finding in report.warnings)
    with transaction.atomic():
        known = Template.objects.select_for_update().filter(
            platform=definition.platform, name=definition.name, is_system=False
        )
        before = known.first()
        if before is not None:
            template = update(before, data, by=by, source=files.main, files=files.others)
        else:
            template = create(data, by=by, source=files.main, files=files.others)
        record("pack_installed", template, by)
        return Imported(template, before is None, warnings)


def _with(found: Imported, warning: str) -> Imported:
    return Imported(found.template, found.created, (*found.warnings, warning))


def _source(template: Template) -> str:
    return template.source or notation.to_yaml(template.definition)


def _one_fault(name: str, message: str) -> LintReport:
    return LintReport((Finding(name, 1, 1, message),))
