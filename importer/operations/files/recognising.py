"""Which part of a document is what, by its name: `tickets`, `customers.csv`, a sheet called Organisations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.conf import settings

from importer.file_failures import FileRefused
from importer.file_options import file_options
from importer.mapping.auto import words
from importer.models import ImportJob
from importer.operations.files import rights, storing, uploading
from importer.operations.files.documents import BOOKS, members_of
from permissions import tables as granted
from permissions.tables import ImportAllowance
from servicevault import catalog, stored_files
from servicevault.tabular.options import ReadOptions
from servicevault.wording import say

CALLED = {
    "accounts": "account|company|companies|organisation|organisations|organization|organizations|clients|firmen|kunden",
    "agents": "agent|staff|technicians|employees|mitarbeiter|agenten",
    "customer_users": "customer|customers|contact|contacts|requesters|people|users|kontakte|ansprechpartner",
    "tickets": "ticket|issues|cases|conversations|requests|incidents|vorgange|anfragen",
    "ticket_comments": "comment|comments|replies|messages|articles|threads|notes|kommentare|antworten",
    "time_entries": "time|times|worklogs|worklog|timesheet|timesheets|zeiten|zeiteintrage",
}
FILE_ENDING = re.compile(r"\.(csv|tsv|txt|json|jsonl|xml|ya?ml|xlsx?)$", re.I)


def upload_document(
    user: Any,
    content: uploading.Content,
    filename: str,
    *,
    options: Mapping[str, Any] | None = None,
    known: Mapping[str, str] | None = None,
    system: bool = False,
    **given: Any,
) -> ImportJob:
    """A pending job for a document whose parts say by their names what they are, unless the option `tables` does.

    What `known` says of parts that the file has, counts before their names. Raises what `upload` raises, and FileRefused for a file of which no part is recognised.
    """
    if (options or {}).get("tables"):
        return uploading.upload(user, content, filename, options=options, system=system, **given)
    allowance = rights.require_any(user, system=system)
    stored = storing.keep(content, allowance.max_file_size_mb)
    try:
        with stored_files.opened(stored, settings.IMPORT_TEMP_DIR) as opened:
            places = places_of(opened, file_options(options or {}).read, allowance)
        said = {place: goal for place, goal in (known or {}).items() if place in _called(places)}
        unknown = [place for place in places if not {place, FILE_ENDING.sub("", place)} & set(said)]
        allowed = None if system else granted.importable_tables(user)
        found = said | (recognised(unknown, allowed, allowance, is_needed=not said) if unknown else {})
        chosen = {**(options or {}), "tables": found}
        return uploading.upload(user, stored_files.read(stored), filename, options=chosen, system=system, **given)
    finally:
        stored_files.delete(stored.path)


def places_of(content: IO[bytes], options: ReadOptions, allowance: ImportAllowance) -> list[str]:
    """The parts a file has: files of an archive, sheets of a workbook, lists of a document. Raises FileRefused."""
    members = members_of(content)
    if members is not None:
        return list(dict.fromkeys(members.values()))
    found = storing.looked_at(content, options, allowance).detection
    if found.format in BOOKS:
        return [sheet.name for sheet in found.sheets]
    return [path.path for path in found.record_paths]


def _called(places: Iterable[str]) -> set[str]:
    """The parts as the option `tables` may name them: files of an archive also without their endings."""
    return {name for place in places for name in (place, FILE_ENDING.sub("", place))}


def recognised(
    places: Iterable[str], allowed: Iterable[str] | None, allowance: ImportAllowance, *, is_needed: bool = True
) -> dict[str, str]:
    """Part → target type or table, for those that are called so; `allowed` are tables, None: any target type.

    Raises FileRefused when no part is, and one is needed.
    """
    places, found = list(places), {}
    tables = set(allowed or ())
    for place in places:
        plain = FILE_ENDING.sub("", place.rpartition("/")[2])
        name = next(filter(None, map(_target, reversed(plain.split(".")))), "")  # of `desk.tickets.row` what fits last
        if name and (allowed is None or catalog.get(name).table in tables):
            found[place] = name
        elif plain in tables:
            found[place] = f"table:{plain}"
    if not found and is_needed:
        raise FileRefused(
            say("No part of the file is called like something you may import."),
            allowed_formats=allowance.allowed_formats,
            hint=say(
                "Its parts: {places}. Say what they are, or name them {called}.",
                places=", ".join(places)[:500] or say("none"),
                called=", ".join(CALLED),
            ),
        )
    return found


def _target(name: str) -> str:
    called = " ".join(words(name))
    for target, others in CALLED.items():
        if called in (target.replace("_", " "), *others.split("|")) and target in catalog.names():
            return target
    return ""
