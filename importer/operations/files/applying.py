"""An import template on a file: what it says of the parts that both have, and where the two differ (F-069)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.utils import timezone

from importer.file_part_options import PARTS
from importer.file_parts import Part, parts_of
from importer.models import ImportJob, ImportTemplate
from importer.operations.failures import Conflict
from importer.operations.files.uploading import configure, require_waiting
from servicevault import catalog
from servicevault.wording import say

SAID_OF_THE_FILE = ("source_key", "format")  # when it was sent: no template knows better


@dataclass(frozen=True)
class Difference:
    """What a part of a file and the template do not share."""

    part: str  # empty for a file that is one table
    missing_columns: tuple[str, ...] = ()  # the template maps them, the file has them not
    new_columns: tuple[str, ...] = ()  # the other way round
    only_in: str = ""  # "template" or "file", for a part that the other has not


def differences(template: ImportTemplate, job: ImportJob) -> list[Difference]:
    """Where the file and the template differ; nothing is changed."""
    pairs = _pairs(template, parts_of(job.file))
    found = [_compared(template, part, place) for part, place in pairs]
    if template.is_document:
        used = {place for _, place in pairs}
        unused = [place for place in template.import_options["tables"] if place not in used]
        found += [Difference(place, only_in="template") for place in unused]
    return [each for each in found if each.missing_columns or each.new_columns or each.only_in]


def apply(template: ImportTemplate, job: ImportJob, user: Any) -> list[Difference]:
    """Read and map a waiting file as the template says; of a document each part that both have. Counts the use.

    Columns the file does not have are left out; parts the template does not know stay as they are. Returns where the
    two differ. Raises Conflict for a template of another target, and what `configure` raises.
    """
    require_waiting(job)
    file, parts = job.file, parts_of(job.file)
    if template.is_document != (file.parts is not None) or (
        not template.is_document and (template.table_name, template.target_type) != (file.table_name, file.target_type)
    ):
        raise Conflict(
            say("“{template}” is for {goes_to}.", template=template.name, goes_to=template.goes_to),
            hint=say("Choose a template of files like this one."),
        )
    pairs = _pairs(template, parts)
    configure(job, user, options=_options(template, job, pairs))
    known = {part.key: part for part in parts_of(job.file)}  # their headers as they are read now
    for part, place in pairs:
        if place is not None:
            headers = known[part.key].headers
            usable = [each for each in _mappings(template, place) if each["source_column"] in headers]
            configure(job, user, part=part.place, mappings=usable)
    ImportTemplate.objects.filter(pk=template.pk).update(usage_count=F("usage_count") + 1, last_used_at=timezone.now())
    return differences(template, job)


def options_for_upload(template: ImportTemplate) -> dict[str, Any]:
    """Those of its options by which a file can be sent, before it is known which parts it has."""
    return {name: value for name, value in template.import_options.items() if name not in ("tables", PARTS)}


def _pairs(template: ImportTemplate, parts: Sequence[Part]) -> list[tuple[Part, str | None]]:
    """Each part with what the template calls it: by its place, else by its target where one alone has it."""
    if not template.is_document:
        return [(part, "") for part in parts]
    tables: Mapping[str, str] = template.import_options["tables"]
    goals = {place: _plain(name) for place, name in tables.items()}
    named = {part.key: next((place for place in (part.place, part.key) if place in tables), None) for part in parts}
    free = {place: goal for place, goal in goals.items() if place not in named.values()}
    pairs = []
    for part in parts:
        same = [place for place, goal in free.items() if goal == _plain(part.target_name)]
        pairs.append((part, named[part.key] or (same[0] if len(same) == 1 else None)))
    return pairs


def _plain(name: str) -> str:
    """A target as a part and the option `tables` both say it."""
    return name if name in catalog.names() or name.startswith("table:") else f"table:{name}"


def _mappings(template: ImportTemplate, place: str) -> list[dict[str, Any]]:
    if not template.is_document:
        return list(template.field_mappings)
    return list((template.field_mappings or {}).get(place) or ())


def _compared(template: ImportTemplate, part: Part, place: str | None) -> Difference:
    if place is None:
        return Difference(part.place, only_in="file")
    wanted = list(dict.fromkeys(each["source_column"] for each in _mappings(template, place)))
    return Difference(
        part.place,
        tuple(column for column in wanted if column not in part.headers),
        tuple(header for header in part.headers if header not in wanted),
    )


def _options(template: ImportTemplate, job: ImportJob, pairs: Sequence[tuple[Part, str | None]]) -> dict[str, Any]:
    """The template's options with the file's own parts in the place of its parts; what was said of the file stays."""
    of_file = {name: value for name, value in job.file.import_options.items() if name in SAID_OF_THE_FILE}
    options = options_for_upload(template) | of_file
    if not template.is_document:
        return options
    tables = job.file.import_options["tables"]
    said, kept = template.import_options.get(PARTS) or {}, job.file.import_options.get(PARTS) or {}
    own: dict[str, Any] = {}
    for part, place in pairs:
        name = part.key if part.key in tables else part.place
        own[name] = said.get(place) if place is not None else kept.get(name)
    return options | {"tables": tables, PARTS: {name: each for name, each in own.items() if each}}
