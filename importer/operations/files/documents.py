"""Several tables in one file: a document, a workbook or an archive, each part with its own target (F-067)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import IO, Any

from importer import file_targets
from importer.file_failures import FileRefused, UnknownTable
from importer.file_options import FileOptions, file_options
from importer.file_parts import Part
from importer.file_targets import Destination
from importer.operations.files import storing
from importer.options import InvalidOption
from permissions.tables import ImportAllowance
from servicevault import catalog, tables
from servicevault.tabular import containers
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import DEFAULT
from servicevault.tabular.records import Inspection
from servicevault.wording import say

KEY_CHARACTERS = 64  # of a run
WHERE = "import_options.tables"
TREES = ("json", "xml", "yaml")
BOOKS = ("xlsx", "xls")


def goal_of(*, table_name: str = "", target_type: str = "") -> Destination:
    """The destination of these names. Raises UnknownTable, InvalidOption for a target type that is none."""
    if bool(table_name) == bool(target_type):
        raise InvalidOption(
            say("Say where the file goes: a table_name, or a target_type."),
            hint=say("Target types: {names}.", names=", ".join(catalog.names())),
            where="target_type",
        )
    if target_type and target_type not in catalog.names():  # `table:<name>` is what queries say
        raise InvalidOption(
            say("“{target_type}” is not a target type.", target_type=target_type[:80]),
            hint=say("Target types: {names}. A table is named by table_name.", names=", ".join(catalog.names())),
            where="target_type",
        )
    try:
        return file_targets.destination(table_name=table_name, target_type=target_type)
    except tables.UnknownTable as error:
        raise UnknownTable(str(error)) from None


def parts_named(options: FileOptions) -> list[Part]:
    """The parts that the option `tables` names, parents first; where they are in the file is not known yet.

    A name is that of a target type, else of a table; `table:users` is the table where a type has its name too.
    Raises UnknownTable, InvalidOption.
    """
    goals = [
        (place, goal_of(target_type=name))
        if name in catalog.names()
        else (place, goal_of(table_name=name.removeprefix("table:")))
        for place, name in options.tables.items()
    ]
    of_desk = sorted(((place, goal) for place, goal in goals if goal.is_desk), key=lambda pair: pair[1].target.order)
    plain = [(place, goal) for place, goal in goals if not goal.is_desk]
    names = [goal.table.name for _, goal in plain]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise InvalidOption(
            say("Two parts go into {twice}.", twice=twice), hint=say("Put their rows into one."), where=WHERE
        )
    order = [table.name for table in tables.parents_first(goal.table for _, goal in plain)]
    plain.sort(key=lambda pair: order.index(pair[1].table.name))
    return [
        Part(
            key=place if len(place) <= KEY_CHARACTERS else f"part {number}",
            table_name=goal.table.name,
            target_type=goal.target.name if goal.is_desk else "",
            reads={"record_path": place},
        )
        for number, (place, goal) in enumerate([*of_desk, *plain], start=1)
    ]


def placed(
    content: IO[bytes], parts: list[Part], options: Mapping[str, Any], allowance: ImportAllowance
) -> tuple[str, dict[str, Inspection]]:
    """The file's format and what each part is, by its key; the parts know then how they are read.

    Raises FileRefused, also for a part that is not in the file.
    """
    members = members_of(content)
    if members is not None:
        _name(parts, members, "member", allowance)
        return "zip", {part.key: _looked_at(content, part, options, allowance) for part in parts}
    first = storing.looked_at(content, file_options(options).read, allowance)
    kind = first.detection.format
    if kind in BOOKS:
        _name(parts, {sheet.name: sheet.name for sheet in first.detection.sheets}, "sheet", allowance)
    elif kind not in TREES:
        raise FileRefused(
            say("A file of the format {kind} holds one table.", kind=kind),
            allowed_formats=allowance.allowed_formats,
            hint=say(
                "Several come as JSON, YAML, XML, a workbook with a sheet for each, or a zip with a file for each."
            ),
        )
    return kind, {part.key: _looked_at(content, part, options, allowance) for part in parts}


def members_of(content: IO[bytes]) -> dict[str, str] | None:
    """What an archive holds, by name and by name without extension; None for a file that is none, or a workbook."""
    content.seek(0)
    head = content.read(4)
    content.seek(0)
    if not head.startswith(containers.ZIP_MAGICS):
        return None
    try:
        with containers.open_zip(content, DEFAULT) as archive:
            names = [member.filename for member in containers.files_in(archive)]
    except (FileRejected, zipfile.BadZipFile):
        return None  # said by whoever reads it
    finally:
        content.seek(0)
    if containers.is_workbook(names):
        return None
    return {name.rpartition(".")[0]: name for name in names} | {name: name for name in names}


def _name(parts: list[Part], known: Mapping[str, str], option: str, allowance: ImportAllowance) -> None:
    for part in parts:
        if part.place not in known:
            raise FileRefused(
                say("The file has no “{part}”.", part=part.place[:80]),
                allowed_formats=allowance.allowed_formats,
                hint=say("There is: {known}.", known=", ".join(dict.fromkeys(known.values()))[:500]),
            )
        part.reads = {option: known[part.place]}


def _looked_at(content: IO[bytes], part: Part, options: Mapping[str, Any], allowance: ImportAllowance) -> Inspection:
    found = storing.looked_at(content, part.read_options(options), allowance)
    describe(part, found)
    return found


def describe(part: Part, found: Inspection) -> None:
    """Note at the part what was found out about it."""
    part.headers, part.detected = found.headers, storing.detected(found)
    part.file_format = found.detection.format
    part.notices = [notice._asdict() for notice in found.notices]
    part.total_rows = found.total_rows if found.total_rows_exact else None
