"""Who may bring files into which tables, and within which bounds: asked before anything is read, and by the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings

from importer import file_targets
from importer.file_bounds import Bounds
from importer.file_failures import ImportDenied, ImportInvalid, UnknownTable
from importer.file_parts import Part, parts_of
from importer.file_targets import Destination
from importer.models import FileImport
from importer.pipeline import defaults
from permissions import policy, preferences, roles
from permissions import tables as granted
from permissions.tables import ImportAllowance
from servicevault import tables
from servicevault.tables import Table
from servicevault.wording import say, say_count

PEOPLE = "users"
WORDS = {
    "can_import": say("import into"),
    "can_validate": say("validate files for"),
    "can_preview": say("preview files for"),
}


def table_of(table_name: str) -> Table:
    """The table as it is now. Raises UnknownTable, for internal ones too (F-009)."""
    try:
        return tables.find(table_name)
    except tables.UnknownTable as error:
        raise UnknownTable(str(error)) from None


def require(user: Any, table_name: str, action: str = "can_import", *, system: bool = False) -> ImportAllowance:
    """What the person may import into the table. Raises UnknownTable, then ImportDenied.

    `system` is the installation itself: only its own limits count.
    """
    table_name = table_of(table_name).name  # `public.users` is `users`
    if system:
        return whole()
    allowance = granted.import_allowance(user, table_name)
    if not getattr(allowance, action):
        raise ImportDenied(table_name, WORDS[action])
    if table_name == PEOPLE and action == "can_import" and not policy.has(user, *roles.EXECUTE):  # G16
        raise ImportDenied(table_name)
    return allowance


def require_parts(
    user: Any, parts: Sequence[Part], action: str = "can_import", *, within: Bounds, system: bool = False
) -> ImportAllowance:
    """What the person may do with a file of these parts: what every table of them allows, within the bounds of the page.

    Raises as `require` does, also for what the page does not allow.
    """
    names = tables_of(parts)
    allowance = within.narrowed(allowance_of([require(user, name, action, system=system) for name in names]))
    if not getattr(allowance, action):
        raise ImportDenied(
            ", ".join(names), WORDS[action], hint=say("The page that the file was given to does not allow it.")
        )
    return allowance


def require_file(user: Any, file: FileImport, action: str = "can_import", *, system: bool = False) -> ImportAllowance:
    """What is asked before rows are written: at the start, and again by the worker, for much can change in between.

    Raises ImportDenied, UnknownTable, and ImportInvalid for more rows than may be imported now.
    """
    allowance = require_parts(user, parts_of(file), action, within=file.bounds, system=system)
    check_rows(file, allowance)
    return allowance


def check_rows(file: FileImport, allowance: ImportAllowance) -> None:
    """Raise ImportInvalid when the file has more rows than may be imported at once (F-059)."""
    rows, most = file.validation_results.get("totalRows", 0), allowance.max_rows_per_import
    if rows > most:
        raise ImportInvalid(
            say_count(
                "The file has {count} row; at most {most:,} may be imported at once.",
                "The file has {count:,} rows; at most {most:,} may be imported at once.",
                rows,
                most=most,
            ),
            hint=say("Split it, or ask for a higher limit."),
            limit=most,
            rows=rows,
        )


def allowance_of(found: Sequence[ImportAllowance]) -> ImportAllowance:
    """What all of these allow together; columns, which are each table's own, are those of one table alone."""
    if len(found) == 1:
        return found[0]
    return ImportAllowance(
        can_import=all(each.can_import for each in found),
        can_validate=all(each.can_validate for each in found),
        can_preview=all(each.can_preview for each in found),
        max_file_size_mb=min(each.max_file_size_mb for each in found),
        max_rows_per_import=min(each.max_rows_per_import for each in found),
        allowed_formats=tuple(
            name for name in found[0].allowed_formats if all(name in each.allowed_formats for each in found)
        ),
        requires_approval=any(each.requires_approval for each in found),
    )


def seen(user: Any, parts: Sequence[Part], within: Bounds) -> ImportAllowance:
    """The same for pages: nothing is raised."""
    return within.narrowed(allowance_of([granted.import_allowance(user, name) for name in tables_of(parts)]))


def goal_of(user: Any, part: Part, within: Bounds, *, system: bool = False) -> Destination:
    """Where the part goes, with the fields that the person may fill there. Raises UnknownTable."""
    columns = () if system else granted.import_allowance(user, part.table_name).allowed_columns
    try:
        goal = file_targets.destination_of(part, columns, within)
    except tables.UnknownTable as error:
        raise UnknownTable(str(error)) from None
    if goal.target.default_account and not system:
        goal = replace(goal, makes_account=_may_make_account(user))
    return goal


def _may_make_account(user: Any) -> bool:
    """What a job makes beside its own rows needs the right that a file of such rows needs."""
    try:
        columns = require(user, defaults.TABLE).allowed_columns
    except (ImportDenied, UnknownTable):
        return False
    return not columns or defaults.NAME in columns


def tables_of(parts: Sequence[Part]) -> list[str]:
    return list(dict.fromkeys(part.table_name for part in parts))


def whole() -> ImportAllowance:
    """The installation's own limits and nothing else."""
    return ImportAllowance(
        can_import=True,
        can_validate=True,
        can_preview=True,
        max_file_size_mb=preferences.value("IMPORT_MAX_FILE_SIZE"),
        max_rows_per_import=settings.IMPORT_MAX_ROWS,
        allowed_formats=tuple(preferences.value("IMPORT_ALLOWED_EXTENSIONS")),
    )
